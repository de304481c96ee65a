"""The model and its training."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, TypeVar

from pydantic import Field, field_validator, model_validator

from workflow_scripts.common.captions import TEXT_TYPES, Captions, template_columns
from workflow_scripts.common.config.base import Section, Seed
from workflow_scripts.common.config.model_source import FORMS, PRETRAIN, ModelSource
from workflow_scripts.common.open_clip_names import model_config

# What open_clip takes where a model's config does not say.
OPEN_CLIP_IMAGE_SIZE = 224

S = TypeVar("S", bound=Section)

Momentum = Annotated[float, Field(ge=0, lt=1)]
AreaShare = Annotated[float, Field(gt=0, le=1)]


class ModelSettings(ModelSource):
    """The model that is trained: its architecture, preprocessing and starting weights."""

    words = (PRETRAIN,)
    trainable = True

    start: str | None = Field(
        None,
        description=f"Starting weights: {FORMS}, `pretrain` (the config's own pretraining on replay), or null for "
        "random weights. Beside `architecture` the tag or the file stands alone.",
    )
    replay_projector_from: Literal["proj", "random"] = Field(
        "proj", description="What the replay projector starts as, when the starting weights have none."
    )

    @property
    def fetched(self) -> ModelSource:
        """What training starts from, or with `pretrain` what pretraining starts from."""
        start = None if self.kind == "pretrain" else self.start
        return ModelSource(architecture=self.architecture, start=start, mean=self.mean, std=self.std)

    @property
    def image_size(self) -> int | None:
        """Side of the square images that the model takes, pixels; None where only its weights know."""
        config = self.given_architecture
        if isinstance(config, str):
            config = model_config(config)
        if config is None:
            return None
        size = config["vision_cfg"].get("image_size", OPEN_CLIP_IMAGE_SIZE)
        return size if isinstance(size, int) else None


class CorpusShards(Section):
    """Biology shards of one corpus, as a training reads them."""

    shards: list[str] = Field(min_length=1, description="Folders with `train` and perhaps `train_small` and `val`.")
    labels: str | None = Field(
        None, description="The names that captions are written from; none: the tars hold captions (reference layout)."
    )
    replay: str | None = Field(None, description="The folder of its replay shards, which its digest covers.")
    weight: float | None = Field(None, gt=0, description="Its share of the biology pairs of a step.")
    digest: str | None = Field(None, description="The digest that the corpus must have.")


class ValidationShards(Section):
    """A further validation set, as a training reads it."""

    name: str = Field(description="What its metrics are named by.")
    shards: str = Field(description="Folder with a split `val` in the published layout.")


class MixEntry(Section):
    """One of several corpora that are trained on together."""

    corpus: str | None = Field(
        None,
        description="A corpus by its name (`results/corpora/<name>`), or the folder of one that was made elsewhere. "
        "Any but the config's own is read as it is: no rule makes it.",
    )
    tars: str | None = Field(
        None, description="Or tars in the published layout, as a glob; their captions are their own members."
    )
    val_tars: str | None = Field(None, description="The tars held out of `tars`, as a glob.")
    weight: float | None = Field(
        None, gt=0, description="Its share of a step's biology pairs. None for all: one corpus after another's size."
    )
    digest: str | None = Field(
        None,
        description="Expected digest of the corpus; another one is refused. Model cards, `corpus.json` and "
        "`python -m workflow_scripts.train.data --corpus FOLDER` print it.",
    )

    @model_validator(mode="after")
    def _one_kind(self) -> "MixEntry":
        if (self.corpus is None) == (self.tars is None):
            raise ValueError("give either corpus or tars")
        return self


class TrainSettings(Section):
    """One training run. Every field belongs to the recipe's fingerprint."""

    epochs: float = Field(
        gt=0,
        description="Passes over the training images (replay pairs in pretraining), rounded up to whole steps.",
    )
    global_batch: int = Field(ge=1, description="Biology pairs a step, over all ranks.")
    replay_batch: int = Field(0, ge=0, description="Replay pairs a step, over all ranks; 0 turns replay off.")
    second_projector: bool = Field(
        True, description="Whether replay images have a visual projector of their own (BioCLIP 2)."
    )
    lr: float = Field(1e-4, gt=0, le=1, description="Peak learning rate.")
    betas: tuple[Momentum, Momentum] = Field((0.9, 0.98), description="AdamW betas.")
    eps: float = Field(1e-6, gt=0, lt=1, description="AdamW epsilon.")
    weight_decay: float = Field(
        0.2, ge=0, le=10, description="AdamW weight decay; norms, biases and logit_scale have none."
    )
    warmup_steps: int = Field(1000, ge=0, description="Linear warm-up, steps; then cosine to 0.")
    precision: Literal["fp32", "bf16", "pure_bf16"] = Field(
        "bf16",
        description="`bf16`: autocast over fp32 weights and optimiser state (open_clip's `amp_bf16`). `pure_bf16`: "
        "weights, gradients and optimiser state in bf16, as open_clip's of that name (BioCLIP 2's code since v2.0.0); "
        "changes smaller than a weight's last bit are lost, so at a rate of 1e-4 logit_scale stays where it starts. "
        "Neither is the `bf16` of BioCLIP 2's code at v1.0.1, whose weights are bf16 but for norms and embeddings, "
        "without fp32 masters and without autocast.",
    )
    grad_checkpointing: bool = Field(False, description="Recompute activations in the backward pass.")
    compile: bool = Field(False, description="torch.compile the transformer blocks.")
    clip_norm: float | None = Field(None, gt=0, description="Clip the gradient's norm.")
    tune_blocks: int | None = Field(
        None,
        ge=0,
        description="Train only the last so many transformer blocks of each tower, and what follows them (norms, "
        "projectors, logit_scale); null trains everything.",
    )
    layer_decay: float = Field(
        1.0,
        gt=0,
        le=1,
        description="Learning rate of a transformer block, as a share of the next one's; the first stands behind the "
        "blocks. 1 for the same rate everywhere.",
    )
    augment_scale: tuple[AreaShare, AreaShare] = Field((0.9, 1.0), description="Area range of RandomResizedCrop.")
    text_types: list[str] = Field(
        default=list(TEXT_TYPES),
        min_length=1,
        description="Caption types to draw from (sci, com, taxon, sci_com, taxon_com, or names of `templates`); a "
        "single one is an ablation.",
    )
    validation_text_type: str = Field(
        "taxon_com", description="Caption type that validation uses, one of the same names."
    )
    text_type_per: Literal["step", "sample"] = Field(
        "step", description="Whether one type is drawn per step, for the whole global batch, or one per sample."
    )
    templates: dict[str, str] = Field(
        default_factory=dict,
        description="Further caption types by name, such as `a photo of {sci}[, {lifeStage}].` In braces stand sci, "
        "com, taxon, taxonTag and columns that the sources `keep`; what stands in square brackets is left out where "
        "such a column is empty.",
    )
    captions: Captions = Field(
        "standard",
        description="How training captions name a label that is not known to the species. `standard`: by its most "
        "specific known name. The others do what the writers of the published shards did. `treeoflife10m`: the "
        "scientific name is genus and species alone, so above the genus a caption says `a photo of .`, and the whole "
        "taxonomic name stands in for a missing common name (a tenth of TreeOfLife-10M). `treeoflife200m`: dots behind "
        "a scientific name are stripped, and ranks named `unknown` are left out. Tars in the published layout bring "
        "their own captions.",
    )
    split: Literal["train", "train_small"] = Field(
        "train", description="Which images are trained on; train_small is a tenth of train, to try things out."
    )
    shuffle_window: int = Field(
        16, ge=1, description="Shards that are shuffled together; the order of shards is random."
    )
    val_batches: int = Field(8, ge=0, description="Validation batches after each epoch, where there is a val split.")
    max_skipped: int = Field(
        100, ge=0, description="A step is skipped when its loss or gradient is not finite; more in all stop the run."
    )
    max_broken_share: float = Field(
        0.01, ge=0, le=1, description="Unreadable samples are replaced; more than this share of them stops the run."
    )
    seed: Seed = Field(42, description="Seed of order, augmentation and text types.")
    allow_cpu: bool = Field(False, description="Whether training without a GPU is meant. Otherwise it is refused.")
    deterministic: bool = Field(False, description="Deterministic algorithms, at some cost.")

    @property
    def caption_columns(self) -> list[str]:
        """The kept columns that captions are written from."""
        return sorted({name for template in self.templates.values() for name in template_columns(template)})

    @field_validator("templates")
    @classmethod
    def _templates_are_such(cls, value: dict[str, str]) -> dict[str, str]:
        for name, template in value.items():
            if not name.isidentifier():
                raise ValueError(f"{name!r} must be a name of letters, digits and _")
            template_columns(template)
        return value

    @model_validator(mode="after")
    def _whole(self) -> "TrainSettings":
        known = (*TEXT_TYPES, *self.templates)
        named = [("text_types", name) for name in self.text_types]
        for key, name in [*named, ("validation_text_type", self.validation_text_type)]:
            if name not in known:
                raise ValueError(f"{key}: {name!r} is none of {', '.join(known)}")
        if self.augment_scale[0] > self.augment_scale[1]:
            raise ValueError("augment_scale: the first number is the smaller one")
        return self


class ExportSettings(Section):
    """What is made of a trained model. Another choice trains nothing again."""

    weights: Literal["last", "best"] = Field(
        "last", description="The last weights, or those of the lowest validation loss."
    )
    start_share: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Share of the starting weights in an average with the trained ones (WiSE-FT): after fine-tuning it "
        "gives back some of what was forgotten.",
    )
    species_templates: Literal["caption", "openai"] = Field(
        "openai",
        description="What the text embeddings of species are the mean of: open_clip's 80 templates, as pybioclip's "
        "own, or the one caption of training.",
    )


class WandbSettings(Section):
    """Metrics for Weights & Biases, besides metrics.jsonl."""

    project: str = Field(description="Project.")
    entity: str | None = Field(None, description="User or team; null for the login's own.")
    mode: Literal["online", "offline"] = Field(
        "online", description="`offline` writes to the work folder, for `wandb sync` from where there is an internet."
    )


class AblationSettings(Section):
    """The papers' ablations of the run's own recipe, for the target `ablations`."""

    seeds: list[Seed] = Field(
        [42, 43, 44], min_length=1, description="Each replay variant is trained with each of them."
    )
    benchmarks: list[str] = Field(
        min_length=1, description="Benchmarks (CSV layout, with ranks) that every variant is tested on."
    )
    replay: str = Field(description="The benchmark (layout replay) that forgetting is measured on.")

    def variants(self, recipe: TrainSettings) -> dict[str, TrainSettings]:
        """The trainings by name, `<variant>.<seed>`: replay in three ways for each seed, each text type for the first.

        `two_projectors` of the first seed is the mix of text types, too.
        """
        replay: dict[str, dict[str, Any]] = {
            "no_replay": {"replay_batch": 0},
            "one_projector": {"second_projector": False},
            "two_projectors": {"second_projector": True},
        }
        changes = {f"{name}.{seed}": {**change, "seed": seed} for name, change in replay.items() for seed in self.seeds}
        first = self.seeds[0]
        changes |= {
            f"{name}.{first}": {"text_types": [name], "validation_text_type": name, "seed": first}
            for name in recipe.text_types
        }
        return {name: recipe.model_copy(update=change) for name, change in changes.items()}

    def tested(self, benchmarks: Mapping[str, S], text_types: Sequence[str]) -> dict[tuple[str, str], S]:
        """What is scored, by benchmark and by how its classes are written.

        Each benchmark under each text type, and asked nothing else; replay under its captions.

        Args:
            benchmarks: the recipe's, by name.
            text_types: the recipe's.
        """
        tested = {
            (name, text_type): benchmarks[name].model_copy(
                update={"text_type": text_type, "published_text_type": None, "shots": []}
            )
            for name in self.benchmarks
            for text_type in text_types
        }
        return tested | {(self.replay, "captions"): benchmarks[self.replay]}


class TrainLimits(Section):
    """How training is run. It cannot change what is learned, so changing it trains nothing again."""

    nodes: int = Field(1, ge=1, description="Machines; more than one takes a cluster (`--profile profiles/slurm`).")
    processes: int = Field(2, ge=1, description="Processes a machine: one a GPU, or a few on the CPU.")
    workers: int = Field(1, ge=0, description="Loader workers a process.")
    max_batch: int | None = Field(
        None,
        ge=1,
        description="Pairs that a process takes through the model at once, at most; null: as many as it can. It takes "
        "its share of the global batch in as many pieces as that and the GPU's memory need (tried out when training "
        "starts), each through the model twice: same loss, less memory.",
    )
    stage_gb: float | None = Field(
        None,
        gt=0,
        description="Copy shards to the node's own disk (the site's `scratch`) before reading them, up to so many GB; "
        "with less than the shards of the shuffle window and of the batches prepared ahead take, they are copied again "
        "and again. For file systems that dislike small reads.",
    )
    checkpoint_steps: int = Field(500, ge=1, description="Steps between checkpoints.")
    checkpoint_minutes: float = Field(20.0, gt=0, description="Minutes between checkpoints.")
    keep_checkpoints: int = Field(2, ge=1, description="How many of the newest checkpoints are kept.")
    restarts: int = Field(
        2, ge=0, description="How often a training that crashed is started again at once, from its newest checkpoint."
    )
    keep_epochs: bool = Field(True, description="Whether each epoch's checkpoint is made and kept besides.")
    wandb: WandbSettings | None = Field(None, description="Weights & Biases.")
