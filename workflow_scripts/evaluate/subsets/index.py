"""Read several benchmarks in the papers' common layout as one, such as the five camera-trap sets."""

from collections.abc import Iterator
from pathlib import Path

from workflow_scripts.common.cli import run
from workflow_scripts.common.config.evaluate import SubsetsBenchmark
from workflow_scripts.common.errors import InputError
from workflow_scripts.evaluate.csv.index import read_labels
from workflow_scripts.evaluate.indexing import Labelled, index_images


def index_subsets(*, name: str, settings: SubsetsBenchmark, out: Path, account: Path, jobs: int = 2) -> None:
    """Write the table of all subsets, one after the other; `subset` says which an image is of.

    Args:
        name: the benchmark's name.
        settings: the benchmark; its folders are only read.
        out: the table.
        account: rows in and out; images that are missing or unreadable are named in it.
        jobs: threads that decode and hash; they change no byte.

    Raises:
        InputError: a CSV is no CSV or lacks a column, a row is incomplete or leaves its folder, or no image is there.
    """
    for subset, folder in settings.subsets.items():
        if not Path(folder.images).is_dir():
            raise InputError(f"benchmarks.{name}.subsets.{subset}.images: {folder.images}: no such folder")
    index_images(_rows(settings), benchmark=name, out=out, account=account, jobs=jobs, extra=("subset",))


def _rows(settings: SubsetsBenchmark) -> Iterator[Labelled]:
    position = 0
    for subset, folder in settings.subsets.items():
        for row in read_labels(folder, settings.text_types):
            yield row._replace(position=position, image=f"{subset}/{row.image}", extra={"subset": subset})
            position += 1


if __name__ == "__main__":
    run(index_subsets)
