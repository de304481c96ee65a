"""Index FishNet: `train.csv`, `test.csv` and `Image_Library/FOLDER/IMAGE`.

The columns `image` and `Folder`, or else the fourth and the thirteenth as in the published code, are the image's path,
of which only the file name is used, and its folder.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

from workflow_scripts.common.cli import run
from workflow_scripts.common.config.evaluate import FishnetBenchmark
from workflow_scripts.common.errors import InputError
from workflow_scripts.evaluate.indexing import Labelled, index_images
from workflow_scripts.evaluate.label_files import read_table, single_name

SPLITS = ("train", "test")
IMAGE_COLUMN = 3
FOLDER_COLUMN = 12
FEEDING_PATH = "FeedingPath"
TRAITS = (
    FEEDING_PATH,
    "Tropical",
    "Temperate",
    "Subtropical",
    "Boreal",
    "Polar",
    "freshwater",
    "saltwater",
    "brackish",
)
FEEDING_BITS = {"pelagic": "1", "benthic": "0"}
BITS = {"1": "1", "0": "0", "1.0": "1", "0.0": "0"}


def index_fishnet(*, name: str, settings: FishnetBenchmark, out: Path, account: Path, jobs: int = 2) -> None:
    """Write the images table: `class` (the folder) and `targets` (nine zeros and ones in the order of `TRAITS`).

    As in the published code, rows with an empty trait are dropped in both splits.

    Args:
        name: the benchmark's name.
        settings: the benchmark's settings; its folder is not modified.
        out: the images table to write.
        account: the account to write: rows in and out, and which images are missing or unreadable.
        jobs: threads that decode and hash; the number does not affect the output.

    Raises:
        InputError: a label file is missing, not a CSV or incomplete, a trait has an unknown value, or there is no
            usable image.
    """
    rows = _rows(Path(settings.folder))
    index_images(rows, benchmark=name, out=out, account=account, jobs=jobs, extra=("targets",))


def _rows(folder: Path) -> Iterator[Labelled]:
    position = 0
    for split in SPLITS:
        labels = folder / f"{split}.csv"
        for where, row in read_table(labels, TRAITS):
            image = single_name(PurePosixPath(_cell(row, "image", IMAGE_COLUMN, where)).name, where)
            family = single_name(_cell(row, "Folder", FOLDER_COLUMN, where), where)
            known = all(row[trait].strip() for trait in TRAITS)
            yield Labelled(
                position=position,
                image=f"{family}/{image}",
                path=folder / "Image_Library" / family / image,
                span=None,
                label=family,
                split=split,
                extra={"targets": "".join(_bit(trait, row[trait].strip(), where) for trait in TRAITS) if known else ""},
                dropped="" if known else "trait_empty",
            )
            position += 1


def _cell(row: Mapping[str, str], name: str, place: int, where: str) -> str:
    """The value of a column, found by its name, or else by its place."""
    if name in row:
        return row[name]
    if len(row) <= place:
        raise InputError(f"{where}: expected a column {name}, or {place + 1} columns; found {len(row)}")
    return list(row.values())[place]


def _bit(trait: str, value: str, where: str) -> str:
    known = FEEDING_BITS if trait == FEEDING_PATH else BITS
    if value not in known:
        raise InputError(f"{where}: {trait}: expected {' or '.join(known)}, found {value!r}")
    return known[value]


if __name__ == "__main__":
    run(index_fishnet)
