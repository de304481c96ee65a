"""Read a classification benchmark in the papers' common layout: a CSV of labels beside a folder of images.

As BioCLIP and BioCLIP 2 published them, the CSV has an index column, `filepath` below the folder, `class`,
and where known kingdom, phylum, `cls` for the rank class, order, family, genus, species (the epithet), common_name.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path, PurePosixPath

from workflow_scripts.common.cli import run
from workflow_scripts.common.config.evaluate import CsvBenchmark, LabelledFolder
from workflow_scripts.common.errors import InputError
from workflow_scripts.contracts import RANKS
from workflow_scripts.evaluate.indexing import Labelled, index_images
from workflow_scripts.evaluate.label_files import files_by_name, read_csv

REQUIRED = ("filepath", "class")
# `class` is the label, so the rank of that name has another column.
RANK_COLUMNS = {rank: "cls" if rank == "class" else rank for rank in RANKS}


def index_csv(*, name: str, settings: CsvBenchmark, out: Path, account: Path, jobs: int = 2) -> None:
    """Write the table of a CSV benchmark. The folder of images is only read.

    Args:
        name: the benchmark's name.
        settings: the benchmark; `labels` is its CSV, `images` the folder.
        out: the table.
        account: rows in and out; images that are missing or unreadable are named in it.
        jobs: threads that decode and hash; they change no byte.

    Raises:
        InputError: the CSV is no CSV or lacks a column, a row is incomplete or leaves the folder, or no image is there.
    """
    if not Path(settings.images).is_dir():
        raise InputError(f"benchmarks.{name}.images: {settings.images}: no such folder")
    rows = read_labels(settings, needs_ranks=settings.needs_ranks)
    index_images(rows, benchmark=name, out=out, account=account, jobs=jobs)


def read_labels(given: LabelledFolder, *, needs_ranks: bool = False) -> Iterator[Labelled]:
    """The rows of a CSV of labels (UTF-8, with or without a byte-order mark), in their order.

    Args:
        given: the CSV and the folder of its images.
        needs_ranks: whether names are to be built from ranks, so that a CSV without them is of no use.

    Raises:
        InputError: the file is missing or no CSV, lacks a column, or has a bad row; the message names file and line.
    """
    labels, folder = Path(given.labels), Path(given.images)
    named = files_by_name(folder) if given.find == "name" else None
    for position, (where, row) in enumerate(read_csv(labels, partial(_check_columns, labels, needs_ranks=needs_ranks))):
        labelled = _labelled(position, row, folder, where)
        if named is not None:
            found = named.get(labelled.path.name, [labelled.path])
            if len(found) > 1:
                raise InputError(f"{where}: {folder} has more than one {labelled.path.name}")
            labelled = labelled._replace(path=found[0])
        yield labelled


def _check_columns(labels: Path, found: Sequence[str], *, needs_ranks: bool) -> None:
    missing = [column for column in REQUIRED if column not in found]
    if needs_ranks and not set(RANK_COLUMNS.values()) & set(found):
        missing.append("genus and species (or other ranks), which its text_type needs")
    if missing:
        has = ", ".join(column for column in found if column) or "none"
        raise InputError(f"{labels}: missing column {', '.join(missing)}; found {has}")
    if twice := sorted({column for column in found if column and found.count(column) > 1}):
        raise InputError(f"{labels}: more than one column {', '.join(twice)}")


def _labelled(position: int, row: dict[str, str], folder: Path, where: str) -> Labelled:
    for column in REQUIRED:
        if not row[column].strip():
            raise InputError(f"{where}: {column} is empty")
    image = PurePosixPath(row["filepath"])
    if image.is_absolute() or ".." in image.parts or "\0" in row["filepath"]:
        raise InputError(f"{where}: filepath {row['filepath']!r} leaves the folder of images")
    return Labelled(
        position=position,
        image=row["filepath"],
        path=folder / image,
        span=None,
        label=row["class"],
        ranks={rank: row.get(column, "").strip() or None for rank, column in RANK_COLUMNS.items()},
        common_name=row.get("common_name", "").strip() or None,
        split=row.get("split", "").strip() or None,
    )


if __name__ == "__main__":
    run(index_csv)
