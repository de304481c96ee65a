"""Read Herbarium19 for category discovery: `small-train/CLASS/` and a split of its classes into Old and New."""

import codecs
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from workflow_scripts.common.cli import run
from workflow_scripts.common.config.evaluate import Herbarium19Benchmark
from workflow_scripts.common.errors import InputError
from workflow_scripts.evaluate.herbarium19.pickled import read_pickled_lists
from workflow_scripts.evaluate.indexing import Labelled, index_images
from workflow_scripts.evaluate.label_files import class_folders, files_of

GROUPS = {"Old": "old", "New": "new"}


def index_herbarium19(*, name: str, settings: Herbarium19Benchmark, out: Path, account: Path, jobs: int = 2) -> None:
    """Write Herbarium19's table: the folder as `class`, and old or new as `split`, in the order of sorted folders.

    Args:
        name: the benchmark's name.
        settings: the benchmark; its folder is only read.
        out: the table.
        account: rows in and out; folders in neither list are counted, images that are unreadable named.
        jobs: threads that decode and hash; they change no byte.

    Raises:
        InputError: the split cannot be read or names an unknown class, or no image can be used.
    """
    folders = class_folders(Path(settings.folder) / "small-train")
    split_of = read_split(Path(settings.classes), [folder.name for folder in folders])
    index_images(_rows(folders, split_of), benchmark=name, out=out, account=account, jobs=jobs)


def read_split(path: Path, names: Sequence[str]) -> dict[str, str]:
    """`old` or `new` by class name.

    Args:
        path: the lists `Old` and `New` of names, or of numbers among the sorted names: JSON, or the published pickle.
        names: the classes' names, sorted.

    Raises:
        InputError: the file is neither of the two, or a class is unknown or in it twice.
    """
    try:
        data = path.read_bytes()
        is_json = data.removeprefix(codecs.BOM_UTF8).lstrip().startswith(b"{")
        lists = json.loads(data.decode("utf-8-sig")) if is_json else read_pickled_lists(data)
        given: list[tuple[Any, str]] = [(one, group) for key, group in GROUPS.items() for one in lists[key]]
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(f"{path}: neither JSON nor a pickle with the lists Old and New: {error}") from None
    split_of: dict[str, str] = {}
    for one, group in given:
        is_number = isinstance(one, int) and not isinstance(one, bool) and 0 <= one < len(names)
        name = names[one] if is_number else one
        if not isinstance(name, str) or name not in names:
            raise InputError(f"{path}: {one!r} is no class; there are {len(names)} folders")
        if name in split_of:
            raise InputError(f"{path}: class {name!r} is there twice")
        split_of[name] = group
    return split_of


def _rows(folders: Sequence[Path], split_of: dict[str, str]) -> Iterator[Labelled]:
    position = 0
    for folder in folders:
        split = split_of.get(folder.name)
        for path, dropped in files_of(folder):
            yield Labelled(
                position=position,
                image=f"{folder.name}/{path.name}",
                path=path,
                span=None,
                label=folder.name,
                split=split,
                dropped=dropped or ("" if split else "class_neither_old_nor_new"),
            )
            position += 1


if __name__ == "__main__":
    run(index_herbarium19)
