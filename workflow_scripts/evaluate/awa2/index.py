"""Read Animals with Attributes 2: three lists of classes, a matrix of attributes, and `JPEGImages/CLASS/`."""

from collections.abc import Iterator
from pathlib import Path

from workflow_scripts.common.cli import run
from workflow_scripts.common.config.evaluate import Awa2Benchmark
from workflow_scripts.common.errors import InputError
from workflow_scripts.evaluate.indexing import Labelled, index_images
from workflow_scripts.evaluate.label_files import files_of, one_name, read_lines

SPLITS = ("train", "test")
ATTRIBUTES = 85


def index_awa2(*, name: str, settings: Awa2Benchmark, out: Path, account: Path, jobs: int = 2) -> None:
    """Write AwA2's table: `class`, `split`, and `targets`, the class's 85 attributes as zeros and ones.

    Args:
        name: the benchmark's name.
        settings: the benchmark; its folder is only read.
        out: the table.
        account: rows in and out; images that are unreadable are named in it.
        jobs: threads that decode and hash; they change no byte.

    Raises:
        InputError: a list is missing, the matrix does not fit the classes, or a class has no folder.
    """
    rows = _rows(Path(settings.folder))
    index_images(rows, benchmark=name, out=out, account=account, jobs=jobs, extra=("targets",))


def attributes(folder: Path) -> dict[str, str]:
    """Each class's attributes as zeros and ones.

    Raises:
        InputError: the matrix has not a row of 85 zeros and ones for each line of `classes.txt`.
    """
    # The real list is numbered, `index<TAB>name`; names have no white space.
    names = [line.split()[-1] for line in read_lines(folder / "classes.txt")]
    matrix = folder / "predicate-matrix-binary.txt"
    rows = ["".join(line.split()) for line in read_lines(matrix)]
    if len(rows) != len(names):
        raise InputError(f"{matrix}: {len(rows)} rows for {len(names)} classes of classes.txt")
    for number, row in enumerate(rows, 1):
        if len(row) != ATTRIBUTES or set(row) - {"0", "1"}:
            raise InputError(f"{matrix}: row {number} is not {ATTRIBUTES} zeros and ones")
    return dict(zip(names, rows, strict=True))


def _rows(folder: Path) -> Iterator[Labelled]:
    attributes_of = attributes(folder)
    position = 0
    for split in SPLITS:
        listed = folder / f"{split}classes.txt"
        for name in read_lines(listed):
            if name not in attributes_of:
                raise InputError(f"{listed}: {name!r} is no class of classes.txt")
            images = folder / "JPEGImages" / one_name(name, str(listed))
            if not images.is_dir():
                raise InputError(f"{images}: no such folder, for the class {name!r} of {listed.name}")
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
