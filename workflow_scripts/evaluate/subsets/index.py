"""Index several benchmarks in the papers' CSV layout as one, such as the five camera-trap sets."""

from collections.abc import Iterator
from pathlib import Path

from workflow_scripts.common.cli import run
from workflow_scripts.common.config.evaluate import SubsetsBenchmark
from workflow_scripts.evaluate.csv.index import read_labels
from workflow_scripts.evaluate.indexing import Labelled, index_images
from workflow_scripts.evaluate.label_files import check_folder


def index_subsets(*, name: str, settings: SubsetsBenchmark, out: Path, account: Path, jobs: int = 2) -> None:
    """Write one images table for all subsets, in their order; the column `subset` names each image's subset.

    Args:
        name: the benchmark's name.
        settings: the benchmark's settings; its folders are not modified.
        out: the images table to write.
        account: the account to write: rows in and out, and which images are missing or unreadable.
        jobs: threads that decode and hash; the number does not affect the output.

    Raises:
        InputError: a label file is not a CSV or lacks a column, a row is incomplete or its path leaves the folder, or
            there is no usable image.
    """
    for subset, folder in settings.subsets.items():
        check_folder(Path(folder.images), f"benchmarks.{name}.subsets.{subset}.images")
    doubtful: dict[str, list[str]] = {}
    index_images(
        _rows(settings, doubtful),
        benchmark=name,
        out=out,
        account=account,
        jobs=jobs,
        extra=("subset",),
        doubtful=doubtful,
        names="labels",
    )


def _rows(settings: SubsetsBenchmark, doubtful: dict[str, list[str]]) -> Iterator[Labelled]:
    position = 0
    for subset, folder in settings.subsets.items():
        for row in read_labels(folder, settings.text_types, doubtful):
            yield row._replace(position=position, image=f"{subset}/{row.image}", extra={"subset": subset})
            position += 1


if __name__ == "__main__":
    run(index_subsets)
