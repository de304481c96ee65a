"""Index a classification benchmark in the papers' common layout: a CSV of labels and a folder of images.

As published with BioCLIP and BioCLIP 2, the CSV has an index column, `filepath` (relative to the folder), `class`
(missing for camera traps) and, if known, kingdom, phylum, `cls` for the rank class, order, family, genus, species (the
epithet) and common_name.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path, PurePosixPath

from workflow_scripts.common.cli import run
from workflow_scripts.common.config.evaluate import ClassText, CsvBenchmark, LabelledFolder
from workflow_scripts.common.errors import InputError
from workflow_scripts.contracts import RANKS
from workflow_scripts.evaluate.csv.texts import name_of_type
from workflow_scripts.evaluate.indexing import Labelled, index_images
from workflow_scripts.evaluate.label_files import files_by_name, files_named, read_csv

# `class` is the label, so the rank class is in `cls`.
RANK_COLUMNS = {rank: "cls" if rank == "class" else rank for rank in RANKS}


def index_csv(*, name: str, settings: CsvBenchmark, out: Path, account: Path, jobs: int = 2) -> None:
    """Write the images table of a CSV benchmark.

    Args:
        name: the benchmark's name.
        settings: the benchmark's settings: `labels` is the CSV, `images` the folder, which is not modified.
        out: the images table to write.
        account: the account to write: rows in and out, and which images are missing or unreadable.
        jobs: threads that decode and hash; the number does not affect the output.

    Raises:
        InputError: the label file is not a CSV or lacks a column, a row is incomplete or its path leaves the folder, or
            there is no usable image.
    """
    if not Path(settings.images).is_dir():
        raise InputError(f"benchmarks.{name}.images: {settings.images}: no such folder")
    rows = read_labels(settings, settings.text_types)
    index_images(rows, benchmark=name, out=out, account=account, jobs=jobs)


def read_labels(given: LabelledFolder, text_types: Sequence[ClassText] = ("asis",)) -> Iterator[Labelled]:
    """Yield the rows of a CSV of labels (UTF-8, with or without a byte-order mark), in order.

    An image without `class` gets the name written by the first text type as its class, as in the published code.

    Args:
        given: the CSV and the folder of its images.
        text_types: the text types that the benchmark uses.

    Raises:
        InputError: the file is missing, is not a CSV, lacks a column or has a bad row; the message names file and line.
    """
    labels, folder = Path(given.labels), Path(given.images)
    files = files_by_name(folder) if given.find == "name" else None
    rows = read_csv(labels, partial(_check_columns, labels, text_types=text_types))
    for position, (where, row) in enumerate(rows):
        taxon = {f"taxon_{rank}": row.get(column, "").strip() or None for rank, column in RANK_COLUMNS.items()}
        named = taxon | {"common_name": row.get("common_name", "").strip() or None}
        label = row.get("class", "")
        if not label.strip() and "asis" not in text_types:
            label = name_of_type(named, text_types[0])
        if not label.strip():
            why = (
                "class is empty"
                if "asis" in text_types
                else f"no name of text type {text_types[0]}; fill in the row's ranks"
            )
            raise InputError(f"{where}: {why}")
        yield Labelled(
            position=position,
            image=row["filepath"],
            path=_image_path(folder, files, row["filepath"], where),
            span=None,
            label=label,
            ranks={rank: taxon[f"taxon_{rank}"] for rank in RANKS},
            common_name=named["common_name"],
            split=row.get("split", "").strip() or None,
        )


def _check_columns(labels: Path, found: Sequence[str], *, text_types: Sequence[ClassText]) -> None:
    missing = [] if "filepath" in found else ["filepath"]
    if "asis" in text_types and "class" not in found:
        missing.append("class")
    built = {*text_types} - {"asis"}
    if built and not {*RANK_COLUMNS.values(), *(["common_name"] if built == {"com"} else [])} & {*found}:
        missing.append(f"genus and species (or other ranks), required by text_type {' and '.join(sorted(built))}")
    if missing:
        has = ", ".join(column for column in found if column) or "none"
        raise InputError(f"{labels}: missing column {', '.join(missing)}; found {has}")
    if twice := sorted({column for column in found if column and found.count(column) > 1}):
        raise InputError(f"{labels}: duplicate column {', '.join(twice)}")


def _image_path(folder: Path, files: Mapping[str, Sequence[Path]] | None, image: str, where: str) -> Path:
    """Find an image file by its path in the folder or, if `files` is given, also by its file name.

    Args:
        folder: the folder of images.
        files: its files by lower-case name, to search by name; None: by path only.
        image: `filepath` as in the labels.
        where: file and line, for messages.

    Raises:
        InputError: the path is empty or leaves the folder, or several files have the name.
    """
    if not image.strip() or "\0" in image:
        raise InputError(f"{where}: filepath {image!r} is empty or not a valid path")
    path = PurePosixPath(image)
    if path.is_absolute() and path.is_relative_to(folder.absolute()):
        path = path.relative_to(folder.absolute())
    is_below = not path.is_absolute() and ".." not in path.parts
    if is_below and (files is None or (folder / path).is_file()):
        return folder / path
    if files is None:
        raise InputError(f"{where}: filepath {image!r} leads out of the image folder {folder}")
    name = image.replace("\\", "/").rpartition("/")[2]
    found = files_named(name, files) or [folder / name]
    if len(found) > 1:
        raise InputError(
            f"{where}: {folder} contains {len(found)} files named {name}; write the path of one of them as filepath"
        )
    return found[0]


if __name__ == "__main__":
    run(index_csv)
