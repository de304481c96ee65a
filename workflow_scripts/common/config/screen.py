"""Settings of judges that examine downloaded images, and thresholds by which images are refused."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from workflow_scripts.common.config.base import Section
from workflow_scripts.common.config.catalog import Remote, SourceFile
from workflow_scripts.common.config.model_source import CHECKPOINTS, Baseline
from workflow_scripts.common.errors import did_you_mean

UNJUDGED = "unjudged"
"""The label of an image that a judge could not read; no threshold refuses it."""

Threshold = Annotated[float, Field(ge=-1, le=1)]
"""A cosine similarity or a probability."""
Probability = Annotated[float, Field(ge=0, le=1)]

NOT_JUDGED = ("of", "refuse", "sample", "labels")
"""Settings that do not change a judge's labels and scores."""

FACE, ANIMAL, PERSON, VEHICLE, EMPTY = "face", "animal", "person", "vehicle", "empty"
DETECTED = (ANIMAL, PERSON, VEHICLE)
CLASS_EMBEDDINGS = ".safetensors"
MOST_HEADER_BYTES = 1 << 24


class Refusal(Section):
    """A rule by which an image is refused."""

    judge: str = Field(description="The judge's name.")
    label: str = Field(description="The label of the score.")
    reason: str = Field(description="Reason of the refusal.")
    at_least: Threshold | None = Field(None, description="Refuse this score and higher ones.")
    below: Threshold | None = Field(None, description="Refuse lower scores than this.")


class Refusals(Section):
    """All rules by which images are refused."""

    rules: list[Refusal] = Field(description="The rules.")


class Look(Section):
    """The images that a judge examines, for cost estimates."""

    name: str = Field(description="The judge's name.")
    cost: str = Field(description="Step of `unit_costs.csv`: the judge, and its model's architecture.")
    of: str = Field(description="SQL predicate over the catalog.")


class Screening(Section):
    """The images that all judges examine."""

    looks: list[Look] = Field(description="The judges.")
    jobs: int = Field(1, ge=1, description="Number of jobs per judge.")


class JudgeSettings(Section):
    """Settings common to all judges."""

    of: str = Field(
        "true",
        description="Images to examine, as an SQL predicate over the catalog's columns (`img_type = 'Camera-trap'`).",
    )
    refuse: dict[str, Threshold] = Field(
        default_factory=dict,
        description="Thresholds by class: an image is refused if its class has a threshold and the score reaches it. "
        "Changing thresholds reruns `curate` but no judge.",
    )

    sample: int = Field(24, ge=1, le=1000, description="Images per class on the page of `snakemake screen_sample`.")
    labels: str | None = Field(
        None,
        description="CSV (`uuid`, `truth`) saved from the page of `snakemake screen_sample`, to compute precision "
        "and recall. It changes no verdict.",
    )

    @field_validator("of")
    @classmethod
    def _is_one_predicate(cls, value: str) -> str:
        if not value.strip():
            raise ValueError("empty; remove it to examine every image")
        return value

    def refusals(self, name: str) -> list[Refusal]:
        """Rules for the thresholds: a class is refused at its threshold and above.

        Args:
            name: the judge's name.
        """
        return [
            Refusal(judge=name, label=label, reason=label, at_least=threshold)
            for label, threshold in self.refuse.items()
        ]

    def judged_by(self) -> str:
        """Settings that its scores depend on, as JSON: not the choice of images, nor the thresholds."""
        defaults = {name: type(self).model_fields[name].get_default(call_default_factory=True) for name in NOT_JUDGED}
        return self.model_copy(update=defaults).to_json()

    @property
    def cost(self) -> str:
        """Its step in `unit_costs.csv`, without the stage."""
        raise NotImplementedError

    @property
    def given(self) -> dict[str, str]:
        """Files and folders that the user provides, by key."""
        return {}

    @property
    def fetched(self) -> list[Remote]:
        """Files to download."""
        return []

    def classes_known(self) -> list[str] | None:
        """Classes that may be refused; None if not known yet."""
        return None


class ClipJudge(JudgeSettings):
    """The nearest of several classes by a CLIP model, with the cosine similarity as its score."""

    judge: Literal["clip"] = Field(description="Kind of judge.")
    model: Baseline = Field(description="The model, written as under `baselines`.")
    classes: str | None = Field(
        None,
        description="Classes given by examples: class embeddings (`.safetensors` with a vector named `CLASS` or "
        "several named `CLASS/N`), or a folder with one folder of support images per class. Or give `prompts`.",
    )
    prompts: dict[str, Annotated[list[str], Field(min_length=1)]] | None = Field(
        None, description="Classes given by prompts. A class is the mean of its prompts' features. Or give `classes`."
    )
    clusters: int = Field(
        20,
        ge=1,
        le=10_000,
        description="Maximum number of cluster centres per class (k-means over its support images).",
    )
    seed: int = Field(42, ge=0, le=2**32 - 1, description="Seed of the clustering.")

    @model_validator(mode="after")
    def _one_source(self) -> "ClipJudge":
        if (self.classes is None) == (self.prompts is None):
            raise ValueError("give either classes or prompts")
        if self.prompts is not None and not self.model.has_text:
            raise ValueError(f"prompts: {self.model} has no text tower; give classes")
        return self

    @field_validator("prompts")
    @classmethod
    def _are_classes(cls, value: dict[str, list[str]] | None) -> dict[str, list[str]] | None:
        if value is not None and len(value) < 2:
            raise ValueError("give two classes or more; each image gets the nearest one")
        for label, texts in (value or {}).items():
            if not label.strip() or label == UNJUDGED or class_of(label) != label:
                raise ValueError(f"{label!r} cannot name a class: it is empty, `{UNJUDGED}` or ends in `/NUMBER`")
            if not all(text.strip() for text in texts):
                raise ValueError(f"{label}: one of its prompts is empty")
        return value

    @property
    def cost(self) -> str:
        """Its step in `unit_costs.csv`, by the model's architecture."""
        architecture = self.model.architecture
        named = architecture.removesuffix("-quickgelu") if isinstance(architecture, str) else self.model
        return f"clip {named}"

    @property
    def given(self) -> dict[str, str]:
        """Files and folders that the user provides, by key."""
        files = {"classes": self.classes, "model": self.model.given_file}
        return {key: path for key, path in files.items() if path is not None}

    @property
    def brings_embeddings(self) -> bool:
        """Whether `classes` is a file of class embeddings."""
        return self.classes is not None and self.classes.endswith(CLASS_EMBEDDINGS)

    def classes_known(self) -> list[str] | None:
        """Classes by the prompts, the folder's subfolders or the file's header; None if not known yet."""
        if self.prompts is not None:
            return list(self.prompts)
        path = Path(str(self.classes))
        if path.is_dir():
            return sorted(entry.name for entry in path.iterdir() if entry.is_dir() and not entry.name.startswith("."))
        return _named_in(path) if path.is_file() else None


def class_of(name: str) -> str:
    """The class of an embedding named `CLASS` or `CLASS/N`."""
    base, _, number = name.rpartition("/")
    return base if base and number.isdigit() else name


def _named_in(path: Path) -> list[str] | None:
    """Classes in the header of a file of class embeddings; None if it is damaged, which the judge reports."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if not 0 < length <= MOST_HEADER_BYTES:
            return None
        try:
            header = json.loads(file.read(length))
        except ValueError:
            return None
    return sorted({class_of(name) for name in header if name != "__metadata__"})


class FacesJudge(JudgeSettings):
    """Human faces by MTCNN. Class: `face`. The score is the mean probability of the faces in an image."""

    judge: Literal["faces"] = Field(description="Kind of judge.")
    refuse: dict[str, Probability] = Field(
        {FACE: 0.985}, description="Threshold of the class `face`. Changing it reruns `curate` but no judge."
    )
    thresholds: tuple[Probability, Probability, Probability] = Field(
        (0.9, 0.95, 0.95), description="Minimum scores after each of MTCNN's three networks."
    )
    size: int = Field(720, ge=48, le=8192, description="Side of the square to which an image is scaled, pixels.")
    weights: str | None = Field(
        None,
        description="Folder with `pnet.pt`, `rnet.pt` and `onet.pt`. Default: those installed with facenet-pytorch.",
    )

    @property
    def cost(self) -> str:
        """Its step in `unit_costs.csv`, without the stage."""
        return "faces"

    @property
    def given(self) -> dict[str, str]:
        """Files and folders that the user provides, by key."""
        return {} if self.weights is None else {"weights": self.weights}

    def classes_known(self) -> list[str]:
        """The only class."""
        return [FACE]


class AnimalsJudge(JudgeSettings):
    """Animals, persons and vehicles by MegaDetector. Classes: `animal`, `person`, `vehicle`; the highest score of each.

    `empty` is refused if no animal reaches its threshold.
    """

    judge: Literal["animals"] = Field(description="Kind of judge.")
    refuse: dict[str, Probability] = Field(
        {EMPTY: 0.2},
        description="Thresholds by class: an image is refused as `empty` if no animal reaches the threshold, and as "
        "another class if that class reaches its own. Changing thresholds reruns `curate` but no judge.",
    )
    weights: SourceFile = Field(
        description="The detector as ONNX, exported from RT-DETR or YOLO: a path, or where to fetch it."
    )
    classes: list[str] = Field(
        list(DETECTED),
        description="Names of the detector's classes, in its order. `animal`, `person` and `vehicle` may occur several "
        "times; other names are ignored.",
    )
    size: int = Field(640, ge=32, le=8192, description="Side of the detector's square input, pixels.")
    overlap: float = Field(
        0.45,
        ge=0,
        le=1,
        description="Boxes of one class that overlap by more than this (intersection over union) count as one "
        "(YOLO before version 10).",
    )

    @field_validator("weights")
    @classmethod
    def _is_exported(cls, value: str | Remote) -> str | Remote:
        if isinstance(value, str) and value.endswith(CHECKPOINTS):
            raise ValueError(f"{value} is a checkpoint; export it to ONNX first (docs/screening.md)")
        return value

    @model_validator(mode="after")
    def _refused_are_detected(self) -> "AnimalsJudge":
        for label in self.refuse:
            needed = ANIMAL if label == EMPTY else label
            if needed in DETECTED and needed not in self.classes:
                raise ValueError(f"refuse: {label} needs the class {needed}, which is not in `classes`")
        return self

    def refusals(self, name: str) -> list[Refusal]:
        """Rules for the thresholds; `empty` is refused if `animal` scores below its threshold."""
        return [
            Refusal(judge=name, label=ANIMAL, reason=EMPTY, below=rule.at_least) if rule.label == EMPTY else rule
            for rule in super().refusals(name)
        ]

    @property
    def cost(self) -> str:
        """Its step in `unit_costs.csv`, without the stage."""
        return "animals"

    @property
    def given(self) -> dict[str, str]:
        """Files and folders that the user provides, by key."""
        return {"weights": self.weights} if isinstance(self.weights, str) else {}

    @property
    def fetched(self) -> list[Remote]:
        """Files to download."""
        return [] if isinstance(self.weights, str) else [self.weights]

    def classes_known(self) -> list[str]:
        """Classes that may be refused."""
        return [EMPTY, *DETECTED]


Judge = Annotated[ClipJudge | FacesJudge | AnimalsJudge, Field(discriminator="judge")]


def check_refused(name: str, settings: JudgeSettings) -> None:
    """Check that a judge refuses only classes of its own.

    Raises:
        ValueError: it refuses another one.
    """
    known = settings.classes_known()
    for label in settings.refuse:
        if known is not None and label not in known:
            guess = did_you_mean(label, known) or f"; its classes: {', '.join(known)}"
            raise ValueError(f"screen.{name}.refuse: {label!r} is not a class of this judge{guess}")


def check_of(name: str, of: str, columns: Sequence[tuple[str, str]]) -> None:
    """Check that a judge's `of` is one predicate over the catalog's columns.

    Args:
        name: the judge's name.
        of: the predicate.
        columns: the catalog's columns and their DuckDB types.

    Raises:
        ValueError: it is not; the message is DuckDB's.
    """
    # Only configs with judges need DuckDB.
    import duckdb

    from workflow_scripts.common.tables import quoted

    empty = ", ".join(f"NULL::{kind} AS {quoted(column)}" for column, kind in columns)
    with duckdb.connect() as connection:
        connection.execute("SET enable_external_access = false")
        try:
            connection.sql(f"SELECT {empty} WHERE false").filter(of).fetchall()
        except duckdb.Error as error:
            lines = [line for line in str(error).splitlines() if line and not line.startswith(("LINE", " "))]
            raise ValueError(f"screen.{name}.of: {' '.join(lines)}") from None
