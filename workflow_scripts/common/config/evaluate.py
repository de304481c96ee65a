"""Settings of benchmarks: layouts, downloads, and limits of embedding."""

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from workflow_scripts.common.config.base import Section, Seed
from workflow_scripts.common.files import digest

# Folder of fetched benchmarks, below the results.
FETCHED_FOLDER = "shared/benchmarks/fetched"

ClassText = Literal["asis", "sci", "com", "taxon", "sci_com", "taxon_com"]


class Fetched(Section):
    """Files to download."""

    into: str = Field(
        "",
        pattern=r"^([\w-][\w. -]*(/[\w-][\w. -]*)*)?$",
        description="Folder below `{fetched}` to store it in.",
    )


class FetchedFile(Fetched):
    """A file to download. Without a checksum, `snakemake fetch` reports the checksum of the file and stops."""

    url: str = Field(pattern=r"^https?://", description="Address of the file.")
    sha256: str | None = Field(None, pattern=r"^[0-9a-fA-F]{64}$", description="Expected SHA-256.")
    md5: str | None = Field(None, pattern=r"^[0-9a-fA-F]{32}$", description="Expected MD5, if its source states one.")
    unpack: bool = Field(True, description="Whether to unpack it (tar or zip).")
    max_gb: float = Field(50.0, gt=0, description="Maximum unpacked size, GB.")


class FetchedDataset(Fetched):
    """A dataset on Hugging Face. Without a commit, `snakemake fetch` reports the newest commit and stops."""

    dataset: str = Field(pattern=r"^[\w.-]+/[\w.-]+$", description="Name of the dataset on the hub.")
    revision: str | None = Field(None, pattern=r"^[0-9a-f]{40}$", description="Commit of the dataset.")
    files: list[str] = Field(default=["*"], min_length=1, description="Glob patterns of the files to download.")


class ImageSet(Section):
    """Settings common to all benchmarks with their own images."""

    fetch: list[FetchedFile | FetchedDataset] = Field(
        default_factory=list,
        description="Files to download. Paths that start with `{fetched}` point into the folder they are stored in.",
    )

    @property
    def fetch_identity(self) -> str:
        """Short ID of the files to fetch (8 hex digits)."""
        return fetch_identity(self.fetch)


def fetch_identity(entries: Sequence[FetchedFile | FetchedDataset]) -> str:
    """Short ID of the files to fetch (8 hex digits)."""
    return digest([entry.model_dump(mode="json") for entry in entries])[:8]


class Classification(Section):
    """Settings common to benchmarks with zero-shot and few-shot classification."""

    text_type: ClassText = Field(
        "asis",
        description="How a class is named in prompts: `asis` uses the column `class` verbatim; the others "
        "build the name from the ranks and the common name.",
    )
    published_text_type: ClassText | None = Field(
        None,
        description="Text type of v1.0.1 of the published code, if it differs (Rare Species: `sci_com`). "
        "Scored in addition, as `v1.0.1/zero_shot`.",
    )
    shots: list[Annotated[int, Field(ge=1)]] = Field(
        default=[1, 5], description="Numbers of support images per class for few-shot; empty: no few-shot."
    )

    @property
    def text_types(self) -> tuple[ClassText, ...]:
        """Text types to score with, that of the main score first."""
        return tuple(one for one in (self.text_type, self.published_text_type) if one is not None)

    @property
    def needs_ranks(self) -> bool:
        """Whether classes are named by their ranks."""
        return bool({*self.text_types} - {"asis", "com"})


class LabelledFolder(Section):
    """A CSV of labels and the folder of their images."""

    labels: str = Field(
        description="Table (CSV, TSV, Excel or parquet) with `filepath`, `class` (required for the text type `asis` "
        "only), and optionally the ranks and common_name."
    )
    images: str = Field(description="Base folder of `filepath`. It is only read.")
    find: Literal["path", "name"] = Field(
        "path",
        description="How to find an image: by its path, or with `name` also by its file name anywhere in the "
        "folder (for copies sorted differently from the labels).",
    )


class CsvBenchmark(LabelledFolder, Classification, ImageSet):
    """A classification benchmark in the papers' common layout: a CSV and a folder of images."""

    protocol: ClassVar[str] = "zero-shot; SimpleShot with 1 and 5 images per class"

    layout: Literal["csv"] = Field(description="Layout of the benchmark.")

    @property
    def inputs(self) -> dict[str, str]:
        """Files to read, by option name."""
        return {"labels": self.labels}

    @property
    def given(self) -> dict[str, str]:
        """Paths that the user provides, by key."""
        return {"labels": self.labels, "images": self.images}


class FoldersBenchmark(Classification, ImageSet):
    """A classification benchmark of your own: one folder of images per class, named after it."""

    protocol: ClassVar[str] = "zero-shot; SimpleShot with 1 and 5 images per class"

    layout: Literal["folders"] = Field(description="Layout of the benchmark.")
    images: str = Field(description="Folder with one folder per class. It is only read.")

    @property
    def inputs(self) -> dict[str, str]:
        """Files to read, by option name."""
        return {"images": self.images}

    @property
    def given(self) -> dict[str, str]:
        """Paths that the user provides, by key."""
        return {"images": self.images}


class SubsetsBenchmark(Classification, ImageSet):
    """Several benchmarks in the CSV layout, scored separately and as their mean (camera_trap)."""

    protocol: ClassVar[str] = "zero-shot; SimpleShot with 1 and 5 images per class; mean over subsets"

    layout: Literal["subsets"] = Field(description="Layout of the benchmark.")
    subsets: dict[Annotated[str, Field(pattern=r"^[\w.-]+$")], LabelledFolder] = Field(
        min_length=2, description="The subsets, by name."
    )

    @property
    def inputs(self) -> dict[str, str]:
        """Files to read, by option name."""
        return {name: subset.labels for name, subset in self.subsets.items()}

    @property
    def given(self) -> dict[str, str]:
        """Paths that the user provides, by key."""
        return {
            f"subsets.{name}.{key}": path
            for name, subset in self.subsets.items()
            for key, path in (("labels", subset.labels), ("images", subset.images))
        }


class FolderBenchmark(ImageSet):
    """A benchmark with its own folder layout and a task that needs no text."""

    label_files: ClassVar[tuple[str, ...]] = ()

    folder: str = Field(description="Folder with the unpacked benchmark. It is only read.")

    @property
    def inputs(self) -> dict[str, str]:
        """Files to read besides images, by option name."""
        return {name: f"{self.folder}/{name}" for name in self.label_files}

    @property
    def given(self) -> dict[str, str]:
        """Paths that the user provides, by key."""
        return {f"folder ({name})": path for name, path in self.inputs.items()}


class NewtBenchmark(FolderBenchmark):
    """NeWT: `newt2021_labels.csv` and `newt2021_images/ID.jpg`; binary tasks, one support vector machine each."""

    label_files = ("newt2021_labels.csv", "newt2021_images")

    protocol: ClassVar[str] = "one support vector machine per task, micro accuracy"

    layout: Literal["newt"] = Field(description="Layout of the benchmark.")
    jobs: int = Field(
        1,
        ge=1,
        le=164,
        description="Number of jobs per model for the hyperparameter searches. Changing it repeats them.",
    )


class FishnetBenchmark(FolderBenchmark):
    """FishNet: `train.csv`, `test.csv` and `Image_Library/FOLDER/IMAGE`; nine traits, which must all be correct."""

    label_files = ("train.csv", "test.csv", "Image_Library")

    protocol: ClassVar[str] = "probe, all nine traits correct"

    layout: Literal["fishnet"] = Field(description="Layout of the benchmark.")


class Awa2Benchmark(FolderBenchmark):
    """Animals with Attributes 2: its class lists, `predicate-matrix-binary.txt` and `JPEGImages/CLASS/`."""

    label_files = ("classes.txt", "trainclasses.txt", "testclasses.txt", "predicate-matrix-binary.txt", "JPEGImages")

    protocol: ClassVar[str] = "probe, macro F1 over 85 attributes"

    layout: Literal["awa2"] = Field(description="Layout of the benchmark.")


class Herbarium19Benchmark(FolderBenchmark):
    """Herbarium19 as generalised category discovery: `small-train/CLASS/` and a split into Old and New classes."""

    label_files = ("small-train",)

    protocol: ClassVar[str] = "semi-supervised k-means, clustering accuracy"

    layout: Literal["herbarium19"] = Field(description="Layout of the benchmark.")
    classes: str = Field(
        description="File with the lists `Old` and `New`: folder names, or positions in the sorted list of "
        "folders. JSON, or the published pickle, which is read without unpickling it."
    )

    @property
    def inputs(self) -> dict[str, str]:
        """Files to read besides images, by option name."""
        return {**super().inputs, "classes": self.classes}


class PlantdocBenchmark(FolderBenchmark):
    """PlantDoc: `train/CLASS/` and `test/CLASS/`; one-shot classification of the test images."""

    label_files = ("train", "test")

    protocol: ClassVar[str] = "SimpleShot with 1 image per class"

    layout: Literal["plantdoc"] = Field(description="Layout of the benchmark.")


class CarvedBenchmark(Classification):
    """Species of the corpus that are held out of training, as in Rare Species."""

    protocol: ClassVar[str] = "zero-shot; SimpleShot with 1 and 5 images per class"

    layout: Literal["carved"] = Field(description="Layout of the benchmark.")
    text_type: ClassText = Field("taxon_com", description="How a class is named in prompts.")
    species: int = Field(
        ge=1, description="Number of species to draw from those in the first generation with enough images."
    )
    images: int = Field(30, ge=2, description="Images per species.")
    among: str | None = Field(
        None,
        description="List of the species to draw from, such as a red list: a text file with a name on each line, or a "
        "table with a column of names. Default: all.",
    )
    seed: Seed = Field(0, description="Seed of the draw.")

    @property
    def given(self) -> dict[str, str]:
        """Paths that the user provides, by key."""
        return {"among": self.among} if self.among else {}


class ReplayBenchmark(Section):
    """Held-out replay pairs: each image is compared with all distinct captions. Measures forgetting."""

    protocol: ClassVar[str] = "retrieval of each image's caption among all"

    layout: Literal["replay"] = Field(description="Layout of the benchmark.")

    @property
    def given(self) -> dict[str, str]:
        """Nothing: the workflow makes all its files."""
        return {}


FeatureBenchmark = NewtBenchmark | FishnetBenchmark | Awa2Benchmark | Herbarium19Benchmark | PlantdocBenchmark
Benchmark = Annotated[
    CsvBenchmark | FoldersBenchmark | SubsetsBenchmark | CarvedBenchmark | ReplayBenchmark | FeatureBenchmark,
    Field(discriminator="layout"),
]


# Layouts that v1.0.1 and v2.0.0 of the published code embed in full precision, not under autocast.
IN_FULL_PRECISION = ("newt", "fishnet", "awa2", "herbarium19")


def needs_text(benchmark: Classification | ReplayBenchmark | FolderBenchmark) -> bool:
    """Whether images are compared with texts, so that there are predictions to show."""
    return not isinstance(benchmark, FolderBenchmark)


def as_read(benchmark: Section) -> dict[str, Any]:
    """Settings that a benchmark's reader depends on. Changing `shots` or `jobs` reads no image again."""
    return benchmark.model_dump(mode="json", exclude={"shots", "jobs"}, exclude_defaults=True)


def watched_files(benchmark: FeatureBenchmark | CsvBenchmark | SubsetsBenchmark, made: str, served: str) -> list[str]:
    """User-provided label files, as inputs of the job that reads the benchmark.

    Args:
        benchmark: a benchmark with its own images.
        made: folder of the embedded world's benchmarks.
        served: last file that the rule of the world writes; it stands for all files of the world.
    """
    given = [path for path in benchmark.inputs.values() if f"{FETCHED_FOLDER}/" not in path]
    return list(dict.fromkeys(served if path.startswith(f"{made}/") else path for path in given))


def table_identity(benchmark: Section, corpus: str) -> str:
    """Short ID of a benchmark's table: of its settings, and of the corpus if it is made from the corpus."""
    of_corpus = isinstance(benchmark, ReplayBenchmark | CarvedBenchmark)
    return digest([as_read(benchmark), corpus if of_corpus else ""])[:8]


class BenchmarkSettings(Section):
    """A benchmark of any layout, given on a step's command line as its own JSON."""

    spec: Benchmark = Field(description="The benchmark.")

    @model_validator(mode="before")
    @classmethod
    def _bare(cls, value: Any) -> Any:
        return {"spec": value} if isinstance(value, dict) and "layout" in value else value


class EmbedLimits(Section):
    """Batch size and workers. They change results only by rounding."""

    batch: int = Field(256, ge=1, description="Images per forward pass.")
    workers: int = Field(1, ge=0, description="Loader workers.")
