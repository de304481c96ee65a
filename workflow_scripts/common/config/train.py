"""Settings of the model and its training."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, TypeVar

from pydantic import Field, field_validator, model_validator

from workflow_scripts.common.captions import TEXT_TYPES, Captions, template_columns
from workflow_scripts.common.config.base import Section, Seed
from workflow_scripts.common.config.model_source import FORMS, PRETRAIN, ModelSource
from workflow_scripts.common.open_clip_names import model_config

# open_clip's default for model configs that do not state it.
OPEN_CLIP_IMAGE_SIZE = 224

S = TypeVar("S", bound=Section)

Momentum = Annotated[float, Field(ge=0, lt=1)]
AreaShare = Annotated[float, Field(gt=0, le=1)]


class ModelSettings(ModelSource):
    """The model to train: architecture, preprocessing and starting weights."""

    keywords = (PRETRAIN,)
    trainable = True

    start: str | None = Field(
        None,
        description=f"Starting weights: {FORMS}, `pretrain` (the config's own pretraining on replay), or null for "
        "random weights. With `architecture`, give only the tag or the file.",
    )
    replay_projector_from: Literal["proj", "random"] = Field(
        "proj",
        description="Initial value of the replay projector if the starting weights have none: a copy of the "
        "first projector, or random.",
    )

    @property
    def fetched(self) -> ModelSource:
        """The weights that training starts from; with `pretrain`, those that pretraining starts from."""
        start = None if self.kind == "pretrain" else self.start
        return ModelSource(architecture=self.architecture, start=start, mean=self.mean, std=self.std)

    @property
    def image_size(self) -> int | None:
        """Side of the square images that the model takes, pixels; None if only the weights state it."""
        config = self.given_architecture
        if isinstance(config, str):
            config = model_config(config)
        if config is None:
            return None
        size = config["vision_cfg"].get("image_size", OPEN_CLIP_IMAGE_SIZE)
        return size if isinstance(size, int) else None


class CorpusShards(Section):
    """Biology shards of one corpus, as read in training."""

    shards: list[str] = Field(min_length=1, description="Folders with `train`, and optionally `train_small` and `val`.")
    labels: str | None = Field(
        None, description="Table of names for captions. None: the tars contain their captions (published layout)."
    )
    replay: str | None = Field(None, description="Folder of its replay shards, which its digest covers.")
    weight: float | None = Field(None, gt=0, description="Its share of a step's biology pairs.")
    digest: str | None = Field(None, description="Expected digest of the corpus.")


class ValidationShards(Section):
    """A further validation set, as read in training."""

    name: str = Field(description="Name of the set in its metrics.")
    shards: str = Field(description="Folder with a split `val` in the published layout.")


class MixEntry(Section):
    """One of several corpora to train on."""

    corpus: str | None = Field(
        None,
        description="Corpus by name (`results/corpora/<name>`), or the folder of a corpus made elsewhere. "
        "Corpora other than the config's own are only read.",
    )
    tars: str | None = Field(
        None, description="Instead of `corpus`: tars in the published layout, as a glob. They contain their captions."
    )
    val_tars: str | None = Field(None, description="Validation tars for `tars`, as a glob.")
    weight: float | None = Field(
        None, gt=0, description="Share of a step's biology pairs. Default for all: in proportion to their sizes."
    )
    digest: str | None = Field(
        None,
        description="Expected digest of the corpus. Training stops if it differs. `python -m "
        "workflow_scripts.train.data --corpus FOLDER` prints it; model cards and `corpus.json` state it.",
    )

    @model_validator(mode="after")
    def _one_kind(self) -> "MixEntry":
        if (self.corpus is None) == (self.tars is None):
            raise ValueError("give either corpus or tars")
        return self


class TrainSettings(Section):
    """Settings of one training. Changing any of them trains again."""

    epochs: float = Field(
        gt=0,
        description="Passes over the training images (replay pairs in pretraining), rounded up to whole steps.",
    )
    global_batch: int = Field(ge=1, description="Biology pairs per step, over all processes.")
    replay_batch: int = Field(0, ge=0, description="Replay pairs per step, over all processes. 0 turns replay off.")
    second_projector: bool = Field(
        True, description="Whether replay images have their own visual projector (BioCLIP 2)."
    )
    lr: float = Field(1e-4, gt=0, le=1, description="Peak learning rate.")
    betas: tuple[Momentum, Momentum] = Field((0.9, 0.98), description="AdamW betas.")
    eps: float = Field(1e-6, gt=0, lt=1, description="AdamW epsilon.")
    weight_decay: float = Field(
        0.2, ge=0, le=10, description="AdamW weight decay. Norms, biases and logit_scale are not decayed."
    )
    warmup_steps: int = Field(1000, ge=0, description="Steps of linear warm-up, followed by a cosine schedule to 0.")
    precision: Literal["fp32", "bf16", "pure_bf16"] = Field(
        "bf16",
        description="`bf16`: autocast over fp32 weights and optimiser state (`amp_bf16` in open_clip). "
        "`pure_bf16`: weights, gradients and optimiser state in bf16, as in open_clip and in BioCLIP 2's code "
        "since v2.0.0. Updates smaller than a weight's last bit are lost: at a learning rate of 1e-4, "
        "logit_scale does not change. Neither equals `bf16` in BioCLIP 2's code at v1.0.1, which holds weights "
        "other than norms and embeddings in bf16, without fp32 copies and without autocast.",
    )
    grad_checkpointing: bool = Field(
        False, description="Whether to recompute activations in the backward pass: less memory, a third more time."
    )
    compile: bool = Field(False, description="Whether to compile the transformer blocks with torch.compile.")
    clip_norm: float | None = Field(
        None, gt=0, description="Maximum norm of the gradient; larger gradients are scaled down. Default: no clipping."
    )
    tune_blocks: int | None = Field(
        None,
        ge=0,
        description="Number of transformer blocks to train at the end of each tower, with the layers after "
        "them (norms, projectors, logit_scale). Default: all.",
    )
    layer_decay: float = Field(
        1.0,
        gt=0,
        le=1,
        description="Factor by which the learning rate falls from each transformer block to the one before "
        "it. 1: the same rate everywhere.",
    )
    augment_scale: tuple[AreaShare, AreaShare] = Field(
        (0.9, 1.0), description="Range of the area that RandomResizedCrop keeps, as shares."
    )
    text_types: list[str] = Field(
        default=list(TEXT_TYPES),
        min_length=1,
        description="Text types that captions are drawn from: sci, com, taxon, sci_com, taxon_com, or names "
        "in `templates`.",
    )
    validation_text_type: str = Field("taxon_com", description="Text type of captions in validation.")
    text_type_per: Literal["step", "sample"] = Field(
        "step", description="Whether a text type is drawn per step, for the whole global batch, or per sample."
    )
    templates: dict[str, str] = Field(
        default_factory=dict,
        description="Further text types by name, such as `a photo of {sci}[, {lifeStage}].` Names in braces "
        "are sci, com, taxon, taxonTag and columns that sources `keep`. Text in square brackets is left out if "
        "such a column is empty.",
    )
    captions: Captions = Field(
        "standard",
        description="How captions name a label that is not resolved to a species. `standard`: by the most "
        "specific known name. The others follow the published shards. `treeoflife10m`: the scientific name is "
        "genus and species only, so the caption of a taxon above the genus is `a photo of .`; the taxonomic name "
        "replaces a missing common name (a tenth of TreeOfLife-10M). `treeoflife200m`: dots at the end of a "
        "scientific name are removed, and ranks named `unknown` are left out. Tars in the published layout "
        "contain their captions.",
    )
    split: Literal["train", "train_small"] = Field(
        "train", description="Images to train on: `train`, or `train_small`, a tenth of it for trials."
    )
    shuffle_window: int = Field(
        16, ge=1, description="Number of shards whose samples are shuffled together. The order of shards is random."
    )
    val_batches: int = Field(8, ge=0, description="Number of validation batches after each epoch.")
    max_skipped: int = Field(
        100,
        ge=0,
        description="Maximum number of skipped steps. A step is skipped if its loss or gradient is not finite.",
    )
    max_broken_share: float = Field(
        0.01,
        ge=0,
        le=1,
        description="Maximum share of unreadable samples, each of which is replaced by another one. A larger share "
        "stops training.",
    )
    seed: Seed = Field(42, description="Seed of order, augmentation and text types.")
    allow_cpu: bool = Field(False, description="Whether training without a GPU is allowed.")
    deterministic: bool = Field(False, description="Whether to use deterministic algorithms only, which are slower.")

    @property
    def caption_columns(self) -> list[str]:
        """Kept columns that caption templates use."""
        return sorted({name for template in self.templates.values() for name in template_columns(template)})

    @field_validator("templates")
    @classmethod
    def _templates_are_valid(cls, value: dict[str, str]) -> dict[str, str]:
        for name, template in value.items():
            if not name.isidentifier():
                raise ValueError(f"{name!r} is not a valid name; use letters, digits and _, with a letter first")
            template_columns(template)
        return value

    @model_validator(mode="after")
    def _text_types_are_known(self) -> "TrainSettings":
        known = (*TEXT_TYPES, *self.templates)
        used = [("text_types", name) for name in self.text_types]
        for key, name in [*used, ("validation_text_type", self.validation_text_type)]:
            if name not in known:
                raise ValueError(f"{key}: {name!r} is not one of {', '.join(known)}")
        if self.augment_scale[0] > self.augment_scale[1]:
            raise ValueError("augment_scale: the first number must not be greater than the second")
        return self


class ExportSettings(Section):
    """How a trained model is exported. Changing it trains nothing again."""

    weights: Literal["last", "best"] = Field(
        "last", description="Weights to export: the last ones, or those with the lowest validation loss."
    )
    start_share: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Share of the starting weights in the exported average (WiSE-FT). After fine-tuning, "
        "it recovers some of what was forgotten.",
    )
    species_templates: Literal["caption", "openai"] = Field(
        "openai",
        description="Prompts that are averaged into a species' text embedding: `openai`, the 80 templates that "
        "pybioclip uses, or `caption`, the training caption alone.",
    )


class WandbSettings(Section):
    """Metrics for Weights & Biases, in addition to metrics.jsonl."""

    project: str = Field(description="Name of the project.")
    entity: str | None = Field(None, description="User or team. Default: as logged in.")
    mode: Literal["online", "offline"] = Field(
        "online", description="`offline` writes to the work folder; upload it later with `wandb sync`."
    )


class AblationSettings(Section):
    """The papers' ablations of the run's recipe, for the target `ablations`."""

    seeds: list[Seed] = Field(
        [42, 43, 44], min_length=1, description="Seeds. Each replay variant is trained with each of them."
    )
    benchmarks: list[str] = Field(
        min_length=1, description="Benchmarks (CSV layout, with ranks) to test every variant on."
    )
    replay: str = Field(description="Benchmark (layout `replay`) to measure forgetting on.")

    def variants(self, recipe: TrainSettings) -> dict[str, TrainSettings]:
        """Training settings by name, `<variant>.<seed>`.

        Three replay variants for each seed, and each text type alone for the first seed. The first seed's
        `two_projectors` is also the mix of text types.
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
        """Benchmarks to score, by name and text type.

        Each benchmark is scored with each text type, zero-shot only; replay with its captions.

        Args:
            benchmarks: the recipe's benchmarks, by name.
            text_types: the recipe's text types.
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
    """Limits of training. They do not change what is learned, so changing them trains nothing again."""

    nodes: int = Field(
        1, ge=1, description="Number of machines. More than one needs a cluster (`--profile profiles/slurm`)."
    )
    processes: int = Field(2, ge=1, description="Processes per machine: one per GPU, or a few on the CPU.")
    workers: int = Field(1, ge=0, description="Loader workers per process.")
    max_batch: int | None = Field(
        None,
        ge=1,
        description="Maximum number of pairs in a microbatch. Default: as many as fit the GPU, tried when "
        "training starts. A process splits its share of the global batch into microbatches and passes each "
        "through the model twice: the same loss with less memory.",
    )
    stage_gb: float | None = Field(
        None,
        gt=0,
        description="GB of shards to copy to the node's local disk (the site's `scratch`) before reading "
        "them, for file systems that are slow at small reads. It must hold the shards of the shuffle window and "
        "of the prefetched batches, or shards are copied repeatedly. Default: no copying.",
    )
    checkpoint_steps: int = Field(500, ge=1, description="Steps between checkpoints.")
    checkpoint_minutes: float = Field(20.0, gt=0, description="Minutes between checkpoints.")
    keep_checkpoints: int = Field(2, ge=1, description="Number of newest checkpoints to keep.")
    restarts: int = Field(
        2, ge=0, description="Number of immediate restarts after a crash, from the newest checkpoint."
    )
    keep_epochs: bool = Field(True, description="Whether to also keep a checkpoint of each epoch.")
    wandb: WandbSettings | None = Field(None, description="Metrics for Weights & Biases. Default: none.")
