"""Index Herbarium19 for category discovery: `small-train/CLASS/` and a split of its classes into Old and New."""

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
    """Write the images table: `class` (the folder) and `split` (old or new), in the order of the sorted folders.

    Args:
        name: the benchmark's name.
        settings: the benchmark's settings; its folder is not modified.
        out: the images table to write.
        account: the account to write: rows in and out, images of folders in neither list, and unreadable images.
        jobs: threads that decode and hash; the number does not affect the output.

    Raises:
        InputError: the split cannot be read or lists an unknown class, or there is no usable image.
    """
    folders = class_folders(Path(settings.folder) / "small-train")
    split_of = read_split(Path(settings.classes), [folder.name for folder in folders])
    index_images(_rows(folders, split_of), benchmark=name, out=out, account=account, jobs=jobs)


def read_split(path: Path, names: Sequence[str]) -> dict[str, str]:
    """Read the group of each class, `old` or `new`, by class name.

    Args:
        path: JSON or the published pickle with the lists `Old` and `New`, of names or of indices into `names`.
        names: the class names, sorted.

    Raises:
        InputError: the file has another format, or a class is unknown or listed twice.
    """
    try:
        data = path.read_bytes()
        is_json = data.removeprefix(codecs.BOM_UTF8).lstrip().startswith(b"{")
        lists = json.loads(data.decode("utf-8-sig")) if is_json else read_pickled_lists(data)
        given: list[tuple[Any, str]] = [(one, group) for key, group in GROUPS.items() for one in lists[key]]
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(f"{path}: expected JSON or a pickle with the lists Old and New: {error}") from None
    split_of: dict[str, str] = {}
    for one, group in given:
        is_number = isinstance(one, int) and not isinstance(one, bool) and 0 <= one < len(names)
        name = names[one] if is_number else one
        if not isinstance(name, str) or name not in names:
            raise InputError(
                f"{path}: {one!r} is neither the name nor the index of one of the {len(names)} class folders"
            )
        if name in split_of:
            raise InputError(f"{path}: class {name!r} is listed twice")
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
