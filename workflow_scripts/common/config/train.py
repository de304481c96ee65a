"""The model and its training."""

from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from workflow_scripts.common.captions import TEXT_TYPES, template_columns
from workflow_scripts.common.config.base import Section


class ModelSettings(Section):
    """An open_clip model, its preprocessing and where its weights come from."""

    architecture: str | dict[str, Any] = Field(
        description="Name of an open_clip model config, or such a config itself (embed_dim, vision_cfg, text_cfg)."
    )
    start: str | None = Field(
        None,
        description="Starting weights: an open_clip pretrained tag, `hf-hub:NAME@REVISION`, `local-dir:PATH`, a "
        "checkpoint file, `pretrain` (the config's own pretraining on replay), or null for random weights.",
    )
    mean: tuple[float, float, float] = Field((0.485, 0.456, 0.406), description="Image mean, RGB.")
    std: tuple[float, float, float] = Field((0.229, 0.224, 0.225), description="Image standard deviation, RGB.")
    replay_projector_from: Literal["proj", "random"] = Field(
        "proj", description="What the replay projector starts as, when the starting weights have none."
    )

    @property
    def files(self) -> list[str]:
        """The files that the starting weights are read from, where a person gives them."""
        if self.start is None:
            return []
        if self.start.startswith("local-dir:"):
            folder = self.start.removeprefix("local-dir:")
            return [f"{folder}/open_clip_config.json", f"{folder}/open_clip_model.safetensors"]
        return [self.start] if self.start.endswith((".pt", ".pth", ".safetensors")) else []


class CorpusShards(Section):
    """Biology shards of one corpus, as a training reads them."""

    shards: list[str] = Field(min_length=1, description="Folders with `train` and perhaps `train_small` and `val`.")
    labels: str | None = Field(
        None, description="The names that captions are written from; none: the tars hold captions (reference layout)."
    )
    weight: float | None = Field(None, gt=0, description="Its share of the biology pairs of a step.")
    digest: str | None = Field(None, description="What `python -m workflow_scripts.train.data` must print for it.")


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
        None, description="Refuses a corpus with another one; `python -m workflow_scripts.train.data` prints it."
    )

    @model_validator(mode="after")
    def _one_kind(self) -> "MixEntry":
        if (self.corpus is None) == (self.tars is None):
            raise ValueError("give either corpus or tars")
        return self

    def folder(self, results: str) -> str:
        """Where its corpus lies."""
        assert self.corpus is not None
        return self.corpus if "/" in self.corpus else f"{results}/corpora/{self.corpus}"


class TrainSettings(Section):
    """One training run. Every field belongs to the recipe's fingerprint."""

    epochs: float = Field(
        gt=0,
        description="Passes over the training images (replay pairs in pretraining), rounded up to whole steps.",
    )
    global_batch: int = Field(ge=1, description="Biology pairs a step, over all ranks.")
    replay_batch: int = Field(0, ge=0, description="Replay pairs a step, over all ranks; 0 turns replay off.")
    lr: float = Field(1e-4, gt=0, description="Peak learning rate.")
    betas: tuple[float, float] = Field((0.9, 0.98), description="AdamW betas.")
    eps: float = Field(1e-6, gt=0, description="AdamW epsilon.")
    weight_decay: float = Field(0.2, ge=0, description="AdamW weight decay; norms, biases and logit_scale have none.")
    warmup_steps: int = Field(1000, ge=0, description="Linear warm-up, steps; then cosine to 0.")
    precision: Literal["fp32", "bf16", "pure_bf16"] = Field("bf16", description="bf16 keeps fp32 master weights.")
    grad_checkpointing: bool = Field(False, description="Recompute activations in the backward pass.")
    compile: bool = Field(False, description="torch.compile the model.")
    clip_norm: float | None = Field(None, gt=0, description="Clip the gradient's norm.")
    augment_scale: tuple[float, float] = Field((0.9, 1.0), description="Area range of RandomResizedCrop.")
    text_types: list[str] = Field(
        default=list(TEXT_TYPES),
        min_length=1,
        description="Caption types to draw from (sci, com, taxon, sci_com, taxon_com, or names of `templates`); a "
        "single one is an ablation.",
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
    split: Literal["train", "train_small"] = Field(
        "train", description="Which images are trained on; train_small is a tenth of train, to try things out."
    )
    shuffle_window: int = Field(
        16, ge=1, description="Shards that are shuffled together; the order of shards is random."
    )
    val_batches: int = Field(8, ge=0, description="Validation batches after each epoch, where there is a val split.")
    max_broken_share: float = Field(
        0.01, ge=0, le=1, description="Unreadable samples are replaced; more than this share of them stops the run."
    )
    seed: int = Field(42, ge=0, description="Seed of order, augmentation and text types.")
    allow_cpu: bool = Field(False, description="Whether training without a GPU is meant. Otherwise it is refused.")
    deterministic: bool = Field(False, description="Deterministic algorithms, at some cost.")

    @property
    def caption_columns(self) -> list[str]:
        """The kept columns that captions are written from."""
        return sorted({name for template in self.templates.values() for name in template_columns(template)})

    @field_validator("templates")
    @classmethod
    def _templates_are_such(cls, value: dict[str, str]) -> dict[str, str]:
        for template in value.values():
            template_columns(template)
        return value

    @model_validator(mode="after")
    def _whole(self) -> "TrainSettings":
        for name in self.text_types:
            if name not in (*TEXT_TYPES, *self.templates):
                raise ValueError(f"text_types: {name!r} is none of {', '.join((*TEXT_TYPES, *self.templates))}")
        if self.augment_scale[0] > self.augment_scale[1]:
            raise ValueError("augment_scale: the first number is the smaller one")
        return self


class TrainLimits(Section):
    """How training is run. It cannot change what is learned, so changing it trains nothing again."""

    nodes: int = Field(1, ge=1, description="Machines; more than one takes a cluster (`--profile profiles/slurm`).")
    processes: int = Field(2, ge=1, description="Processes a machine: one a GPU, or a few on the CPU.")
    workers: int = Field(1, ge=0, description="Loader workers a process.")
    stage_gb: float | None = Field(
        None,
        gt=0,
        description="Copy shards to the node's own disk (the site's `scratch`) before reading them, up to so many GB; "
        "at least the shuffle window's. For file systems that dislike small reads.",
    )
    checkpoint_steps: int = Field(500, ge=1, description="Steps between checkpoints.")
    checkpoint_minutes: float = Field(20.0, gt=0, description="Minutes between checkpoints.")
    keep_checkpoints: int = Field(2, ge=1, description="How many of the newest checkpoints are kept.")
