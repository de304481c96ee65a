"""Index Animals with Attributes 2: three lists of classes, an attribute matrix and `JPEGImages/CLASS/`."""

from collections.abc import Iterator
from pathlib import Path

from workflow_scripts.common.cli import run
from workflow_scripts.common.config.evaluate import Awa2Benchmark
from workflow_scripts.common.errors import InputError
from workflow_scripts.evaluate.indexing import Labelled, index_images
from workflow_scripts.evaluate.label_files import files_of, read_lines, single_name

SPLITS = ("train", "test")
ATTRIBUTES = 85


def index_awa2(*, name: str, settings: Awa2Benchmark, out: Path, account: Path, jobs: int = 2) -> None:
    """Write the images table: `class`, `split` and `targets` (the class's 85 attributes as zeros and ones).

    Args:
        name: the benchmark's name.
        settings: the benchmark's settings; its folder is not modified.
        out: the images table to write.
        account: the account to write: rows in and out, and which images are unreadable.
        jobs: threads that decode and hash; the number does not affect the output.

    Raises:
        InputError: a list is missing, the matrix does not match the classes, or a class has no folder.
    """
    rows = _rows(Path(settings.folder))
    index_images(rows, benchmark=name, out=out, account=account, jobs=jobs, extra=("targets",))


def attributes(folder: Path) -> dict[str, str]:
    """The attributes of each class, as a string of zeros and ones.

    Raises:
        InputError: the matrix does not have a row of 85 zeros and ones for each line of `classes.txt`.
    """
    # The published list is numbered, `index<TAB>name`; names contain no white space.
    names = [line.split()[-1] for line in read_lines(folder / "classes.txt")]
    matrix = folder / "predicate-matrix-binary.txt"
    rows = ["".join(line.split()) for line in read_lines(matrix)]
    if len(rows) != len(names):
        raise InputError(f"{matrix}: found {len(rows)} rows, but classes.txt lists {len(names)} classes")
    for number, row in enumerate(rows, 1):
        if len(row) != ATTRIBUTES or set(row) - {"0", "1"}:
            raise InputError(f"{matrix}: row {number}: expected {ATTRIBUTES} zeros and ones, found {row[:100]!r}")
    return dict(zip(names, rows, strict=True))


def _rows(folder: Path) -> Iterator[Labelled]:
    attributes_of = attributes(folder)
    position = 0
    for split in SPLITS:
        listed = folder / f"{split}classes.txt"
        for name in read_lines(listed):
            if name not in attributes_of:
                raise InputError(f"{listed}: class {name!r} is not listed in classes.txt")
            images = folder / "JPEGImages" / single_name(name, str(listed))
            if not images.is_dir():
                raise InputError(f"{images}: no such folder; class {name!r} is listed in {listed.name}")
            for path, dropped in files_of(images):
                yield Labelled(
                    position=position,
                    image=f"{name}/{path.name}",
                    path=path,
                    span=None,
                    label=name,
                    split=split,
                    extra={"targets": attributes_of[name]},
                    dropped=dropped,
                )
                position += 1


if __name__ == "__main__":
    run(index_awa2)
