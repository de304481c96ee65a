"""Index your own benchmark: one folder of images per class."""

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from workflow_scripts.common.accounts import JOINED_FOLDERS, NESTED_CLASSES
from workflow_scripts.common.class_folders import (
    SORTING,
    files_by_folder,
    is_binomial,
    is_image,
    is_text,
    organism_in_path,
)
from workflow_scripts.common.cli import run
from workflow_scripts.common.config.evaluate import FoldersBenchmark
from workflow_scripts.evaluate.indexing import Labelled, index_images
from workflow_scripts.evaluate.label_files import check_folder


def index_folders(*, name: str, settings: FoldersBenchmark, out: Path, account: Path, jobs: int = 2) -> None:
    """Write the images table; `class` is the folder's name without its numbering and underscores.

    An epithet folder in a genus folder gives a binomial; a folder in a species folder is an individual, a place or a
    view. A name of two words, or a trinomial, is also used as genus and species, for text types that need ranks.

    Args:
        name: the benchmark's name.
        settings: the benchmark's settings; its folder is not modified.
        out: the images table to write.
        account: the account to write: rows in and out, and which files are not images or unreadable.
        jobs: threads that decode and hash; the number does not affect the output.

    Raises:
        InputError: the folder does not exist, or has no usable image.
    """
    images = Path(settings.images)
    check_folder(images, f"benchmarks.{name}.images")
    doubtful: dict[str, list[str]] = {}
    rows = _rows(images, doubtful)
    index_images(
        rows,
        benchmark=name,
        out=out,
        account=account,
        jobs=jobs,
        doubtful=doubtful,
        names="prompts",
        remedy=f"; set benchmarks.{name}.images to the folder that contains one folder of images per class",
    )


def _rows(images: Path, doubtful: dict[str, list[str]]) -> Iterator[Labelled]:
    around: dict[str, set[str]] = defaultdict(set)
    inside: dict[str, set[str]] = defaultdict(set)
    for position, (path, folder) in enumerate(files_by_folder(images)):
        is_named = is_text(path)
        label, inner = organism_in_path(path) if is_named else (folder, 0)
        words = label.split()
        is_name = len(words) == 2 or is_binomial(label)
        dropped = (
            "name_not_utf8"
            if not is_named
            else ("not_named_as_an_image" if not is_image(path) else "" if label else "in_no_folder")
        )
        if not dropped and not inner:
            around[label].add(_around(path))
        elif not dropped:
            inside[label].add(_named_folders(path)[-inner])
        yield Labelled(
            position=position,
            image=path if is_named else ascii(path),
            path=images / path,
            span=None,
            label=label,
            ranks={"genus": words[0], "species": " ".join(words[1:]).lower()} if is_name else {},
            dropped=dropped,
        )
    nested = [label for label, outer in around.items() if _is_nested(label, outer)]
    joined = [f"{label} ({', '.join(sorted(found))})" for label, found in inside.items() if len(found) > 1]
    for note, labels in ((NESTED_CLASSES, nested), (JOINED_FOLDERS, joined)):
        if labels:
            doubtful[note] = labels


def _named_folders(path: str) -> list[str]:
    """The folders around an image, the outermost first, without those that only sort."""
    return [part for part in PurePosixPath(path).parent.parts if part.lower() not in SORTING]


def _around(path: str) -> str:
    """The organism that the folders around an image's class folder name."""
    return organism_in_path("/".join((*_named_folders(path)[:-1], "image")))[0]


def _is_nested(label: str, around: set[str]) -> bool:
    """Whether a class is probably a view or place of several classes, given the folders around it."""
    return len(around) > 1 and (not is_binomial(label) or all(map(is_binomial, filter(None, around))))


if __name__ == "__main__":
    run(index_folders)
