"""Index your own benchmark: one folder of images per class."""

from collections.abc import Iterator
from pathlib import Path

from workflow_scripts.common.class_folders import files_by_folder, is_image, is_text, organism_of
from workflow_scripts.common.cli import run
from workflow_scripts.common.config.evaluate import FoldersBenchmark
from workflow_scripts.evaluate.indexing import Labelled, index_images
from workflow_scripts.evaluate.label_files import check_folder


def index_folders(*, name: str, settings: FoldersBenchmark, out: Path, account: Path, jobs: int = 2) -> None:
    """Write the images table; `class` is the folder's name without its numbering and underscores.

    A name of two words is also used as genus and species, for text types that need ranks.

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
    index_images(_rows(images), benchmark=name, out=out, account=account, jobs=jobs, names="prompts")


def _rows(images: Path) -> Iterator[Labelled]:
    for position, (path, folder) in enumerate(files_by_folder(images)):
        label = organism_of(folder)
        words = label.split()
        binomial = dict(zip(("genus", "species"), words, strict=True)) if len(words) == 2 else {}
        is_named = is_text(path)
        yield Labelled(
            position=position,
            image=path if is_named else ascii(path),
            path=images / path,
            span=None,
            label=label,
            ranks={"genus": binomial.get("genus"), "species": binomial.get("species", "").lower() or None},
            dropped="name_not_utf8"
            if not is_named
            else ("not_named_as_an_image" if not is_image(path) else "" if label else "in_no_folder"),
        )


if __name__ == "__main__":
    run(index_folders)
