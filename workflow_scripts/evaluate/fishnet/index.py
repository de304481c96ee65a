"""Read FishNet: `train.csv`, `test.csv` and `Image_Library/FOLDER/IMAGE`.

The fourth column of the CSVs is the image (its last part counts), the thirteenth its folder; nine columns are traits.
"""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from workflow_scripts.common.cli import run
from workflow_scripts.common.config.evaluate import FishnetBenchmark
from workflow_scripts.common.errors import InputError
from workflow_scripts.evaluate.indexing import Labelled, index_images
from workflow_scripts.evaluate.label_files import has_columns, one_name, read_csv

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
    """Write FishNet's table: `targets`, nine zeros and ones in the order of `TRAITS`; the folder as `class`.

    Rows with any empty trait are dropped in both splits, as the published code does.

    Args:
        name: the benchmark's name.
        settings: the benchmark; its folder is only read.
        out: the table.
        account: rows in and out; images that are missing or unreadable are named in it.
        jobs: threads that decode and hash; they change no byte.

    Raises:
        InputError: a CSV is missing, no CSV or incomplete, has an unknown value, or no image can be used.
    """
    rows = _rows(Path(settings.folder))
    index_images(rows, benchmark=name, out=out, account=account, jobs=jobs, extra=("targets",))


def _rows(folder: Path) -> Iterator[Labelled]:
    position = 0
    for split in SPLITS:
        labels = folder / f"{split}.csv"
        for where, row in read_csv(labels, has_columns(labels, TRAITS)):
            cells = list(row.values())
            if len(cells) <= FOLDER_COLUMN:
                raise InputError(f"{where}: {len(cells)} columns; the image's folder should be column 13")
            image = one_name(PurePosixPath(cells[IMAGE_COLUMN]).name, where)
            family = one_name(cells[FOLDER_COLUMN], where)
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


def _bit(trait: str, value: str, where: str) -> str:
    known = FEEDING_BITS if trait == FEEDING_PATH else BITS
    if value not in known:
        raise InputError(f"{where}: {trait} is {value!r}, none of {', '.join(known)}")
    return known[value]


if __name__ == "__main__":
    run(index_fishnet)
