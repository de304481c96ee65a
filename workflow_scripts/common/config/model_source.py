"""Model sources: weights from a folder, the hub, open_clip, a checkpoint or timm."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, ValidationError, ValidationInfo, field_validator, model_validator

from workflow_scripts.common.config.base import Section
from workflow_scripts.common.errors import InputError, did_you_mean
from workflow_scripts.common.open_clip_names import (
    architectures,
    check_model_config,
    model_config,
    pretrained_config,
    pretrained_tags,
)

RUN_START = "start"
PRETRAIN = "pretrain"
TIMM = "timm:"
FOLDER = "local-dir:"
HUB = "hf-hub:"
CHECKPOINTS = (".pt", ".pth", ".bin", ".safetensors")

FORMS = (
    "`local-dir:PATH` (an open_clip folder), `hf-hub:NAME@COMMIT`, an architecture and a tag of open_clip "
    "(`ViT-B-16-quickgelu:openai`), an architecture and a checkpoint file (`ViT-B-16:PATH`)"
)
TIMM_FORMS = "`timm:local-dir:PATH`, `timm:hf-hub:NAME@COMMIT`"

Architecture = str | dict[str, Any] | None
Mean = Annotated[float, Field(ge=0, le=1)]
Deviation = Annotated[float, Field(gt=0, le=1)]
Kind = Literal["random", "run", "pretrain", "folder", "hub", "tag", "file"]

_PINNED = re.compile(r"[\w.-]+/[\w.-]+@[0-9a-f]{40}")
_NAME = re.compile(r"[A-Za-z0-9][\w.-]*")


class ModelSource(Section):
    """A model: its weights, and settings that the weights do not contain. A string sets `start` alone."""

    # Values of `start` with a special meaning.
    keywords: ClassVar[tuple[str, ...]] = ()
    # Whether the trainer must be able to train the model.
    trainable: ClassVar[bool] = False

    architecture: str | dict[str, Any] | None = Field(
        None,
        description="Name of an open_clip model config, or the config itself (embed_dim, vision_cfg, "
        "text_cfg). Optional for `hf-hub:` and `local-dir:`, which contain it, and if `start` names it. "
        "OpenAI's weights need an architecture with `-quickgelu`.",
    )
    start: str | None = Field(
        None, description=f"The weights: {FORMS}. With `architecture`, give only the tag or the file."
    )
    mean: tuple[Mean, Mean, Mean] | None = Field(
        None,
        description="Mean for image normalisation, RGB. Default: the weights' own; for random weights, "
        "ImageNet's. Required for weights that do not state it, such as a checkpoint file.",
    )
    std: tuple[Deviation, Deviation, Deviation] | None = Field(
        None, description="Standard deviation for image normalisation, RGB. Default: as for `mean`."
    )

    @model_validator(mode="before")
    @classmethod
    def _from_string(cls, value: Any) -> Any:
        return {"start": value} if isinstance(value, str) else value

    @field_validator("architecture")
    @classmethod
    def _check_architecture(cls, value: str | dict[str, Any] | None) -> str | dict[str, Any] | None:
        if value is not None:
            _config_of(value, trainable=cls.trainable)
        return value

    @field_validator("start")
    @classmethod
    def _check_start(cls, value: str | None, info: ValidationInfo) -> str | None:
        # A wrong architecture is reported before weights that do not fit it.
        if "architecture" in info.data:
            kind, place, architecture = cls._parse(value, info.data["architecture"])
            if architecture is not None:
                config = _config_of(architecture, trainable=cls.trainable)
                if kind == "tag":
                    _check_tag(place, architecture, config, cls.keywords)
        return value

    @model_validator(mode="after")
    def _check_consistent(self) -> Self:
        if self.given_architecture is None and self.kind in ("random", "pretrain"):
            raise ValueError("architecture: missing; random weights and `pretrain` need one")
        if (self.mean is None) != (self.std is None):
            raise ValueError("give both mean and std, or neither")
        if not self.has_text and (self.architecture is not None or self.mean is not None):
            raise ValueError(f"{self.start}: a timm model contains its architecture, mean and std; remove these keys")
        if self.kind == "file" and self.mean is None:
            raise ValueError(
                f"mean, std: the checkpoint file {self.place} does not state its image normalisation; give both"
            )
        return self

    @classmethod
    def _parse(cls, start: str | None, architecture: Architecture) -> tuple[Kind, str, Architecture]:
        """Split `start` into kind, place and architecture of the weights.

        Raises:
            ValueError: `start` has none of the forms, or names a repository without a commit.
        """
        if start is None:
            return "random", "", architecture
        if start in cls.keywords:
            return ("run" if start == RUN_START else "pretrain"), "", architecture
        named = start.removeprefix(TIMM)
        has_text = named == start
        if has_text or not cls.trainable:
            if named.startswith(HUB):
                if not _PINNED.fullmatch(named.removeprefix(HUB)):
                    raise ValueError(
                        f"{start!r} has no commit; write {HUB}NAME@COMMIT with all 40 digits, which the hub shows "
                        "under Files, History"
                    )
                return "hub", named.removeprefix(HUB), architecture
            if named.startswith(FOLDER) and named != FOLDER:
                return "folder", named.removeprefix(FOLDER), architecture
        place = start
        if architecture is None:
            architecture, _, place = start.partition(":")
        if not has_text or not place or (isinstance(architecture, str) and not _NAME.fullmatch(architecture)):
            forms = ", ".join(
                [*(f"`{word}`" for word in cls.keywords), FORMS, *([] if cls.trainable else [TIMM_FORMS])]
            )
            raise ValueError(
                f"{start!r} is not a model source; expected one of {forms}{did_you_mean(start, cls.keywords)}"
            )
        return ("file" if PurePosixPath(place).suffix in CHECKPOINTS else "tag"), place, architecture

    @property
    def kind(self) -> Kind:
        """Where the weights come from.

        `random`: none; `run`: the run's starting weights; `pretrain`: the config's own pretraining; `folder` and
        `file`: the local disk; `hub`: Hugging Face at a commit; `tag`: open_clip.
        """
        return self._parse(self.start, self.architecture)[0]

    @property
    def place(self) -> str:
        """The folder, the repository with its commit, the tag, or the file."""
        return self._parse(self.start, self.architecture)[1]

    @property
    def given_architecture(self) -> Architecture:
        """The architecture, from `architecture` or `start`; None if only the weights contain it."""
        return self._parse(self.start, self.architecture)[2]

    @property
    def has_text(self) -> bool:
        """Whether the model has a text tower; timm's vision models have none."""
        return not (self.start or "").startswith(TIMM)

    @property
    def is_ready(self) -> bool:
        """Whether it is a folder that can be loaded without changes."""
        return self.kind == "folder" and self.architecture is None and self.mean is None

    @property
    def config_name(self) -> str:
        """Name of the config file in a model's folder."""
        return "open_clip_config.json" if self.has_text else "config.json"

    @property
    def given_file(self) -> str | None:
        """The local file that must exist: a folder's config or the checkpoint; None for other kinds."""
        if self.kind == "folder":
            return f"{self.place}/{self.config_name}"
        return self.place if self.kind == "file" else None

    @property
    def files(self) -> list[str]:
        """Local files of the model. For a folder, all its JSON and weight files."""
        if self.kind != "folder":
            return [self.place] if self.kind == "file" else []
        kinds = (".json", *CHECKPOINTS)
        return sorted(str(path) for path in Path(self.place).glob("*") if path.suffix in kinds) or [
            str(self.given_file)
        ]

    def __str__(self) -> str:
        return self.start or "random weights"


class Baseline(ModelSource):
    """A model to score besides the run's own."""

    keywords = (RUN_START,)

    start: str = Field(description="The weights, as listed for `baselines`; `start` is the run's starting weights.")


def model_source(text: str) -> ModelSource:
    """Parse a model source from a command line: the value of `start`, or JSON.

    Raises:
        InputError: it is not a model source.
    """
    try:
        found = ModelSource.model_validate_json(text) if text.startswith("{") else ModelSource.model_validate(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = "".join(f"{part}: " for part in first["loc"])
        raise InputError(f"{text}: {where}{first['msg'].removeprefix('Value error, ')}") from None
    return found


def check_trainable(config: Mapping[str, Any]) -> None:
    """Check that the trainer can train an open_clip model config.

    Raises:
        ValueError: one of its towers is not open_clip's own.
    """
    foreign = ("timm_model_name", "hf_model_name")
    if found := [key for key in foreign if key in config["vision_cfg"] or key in config["text_cfg"]]:
        raise ValueError(f"only open_clip's own ViT CLIP models can be trained, not one with {', '.join(found)}")


def _config_of(architecture: str | Mapping[str, Any], *, trainable: bool) -> Mapping[str, Any]:
    """The model config for an architecture, which is a name or the config itself.

    Raises:
        ValueError: open_clip does not know the name, or the config is invalid or cannot be trained.
    """
    found = model_config(architecture) if isinstance(architecture, str) else architecture
    if found is None:
        raise ValueError(
            f"open_clip has no architecture {architecture!r}{did_you_mean(str(architecture), architectures())}"
        )
    if found is architecture:
        check_model_config(found)
    if trainable:
        check_trainable(found)
    return found


def _check_tag(
    tag: str, architecture: str | Mapping[str, Any], config: Mapping[str, Any], keywords: Sequence[str]
) -> None:
    """Check that open_clip has weights of that tag for the architecture, with the same activation."""
    if not isinstance(architecture, str):
        raise ValueError(
            f"{tag!r} is not a folder, a repository or a checkpoint file ({', '.join(CHECKPOINTS)}); a tag "
            f"needs an architecture given by name{did_you_mean(tag, keywords)}"
        )
    tags = pretrained_tags(architecture)
    weights = pretrained_config(architecture, tag)
    if not weights:
        guess = did_you_mean(tag, [*keywords, *tags]) or f"; its tags: {', '.join(tags) or 'none'}"
        raise ValueError(f"open_clip has no weights {tag!r} for {architecture}{guess}")
    # open_clip only warns, and then uses an activation that the weights were not trained with.
    if weights.get("quick_gelu", False) != config.get("quick_gelu", False):
        plain = architecture.removesuffix("-quickgelu")
        other, uses = (plain, "plain GELU") if plain != architecture else (f"{plain}-quickgelu", "QuickGELU")
        raise ValueError(f"the weights {tag!r} use {uses}; set architecture to {other}")
