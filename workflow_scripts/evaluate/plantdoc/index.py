"""Index PlantDoc: `train/CLASS/` and `test/CLASS/`."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from workflow_scripts.common.cli import run
from workflow_scripts.common.config.evaluate import PlantdocBenchmark
from workflow_scripts.evaluate.indexing import Labelled, index_images
from workflow_scripts.evaluate.label_files import class_folders, files_of

SPLITS = ("train", "test")


def index_plantdoc(*, name: str, settings: PlantdocBenchmark, out: Path, account: Path, jobs: int = 2) -> None:
    """Write the images table: `class` (the folder), `split`, and `class_index` (the folder's index in its split).

    Args:
        name: the benchmark's name.
        settings: the benchmark's settings; its folder is not modified.
        out: the images table to write.
        account: the account to write: rows in and out, folders missing from one split, and unreadable images.
        jobs: threads that decode and hash; the number does not affect the output.

    Raises:
        InputError: a split's folder is missing or empty, or there is no usable image.
    """
    folders = {split: class_folders(Path(settings.folder) / split) for split in SPLITS}
    names = {split: {folder.name for folder in folders[split]} for split in SPLITS}
    lacking = {
        f"{split} lacks the folder {folder}": 1
        for split in SPLITS
        for folder in sorted(set().union(*names.values()) - names[split])
    }
    index_images(
        _rows(folders), benchmark=name, out=out, account=account, jobs=jobs, extra=("class_index",), notes=lacking
    )


def _rows(folders: Mapping[str, Sequence[Path]]) -> Iterator[Labelled]:
    position = 0
    for split, of_split in folders.items():
        for number, folder in enumerate(of_split):
            for path, dropped in files_of(folder):
                yield Labelled(
                    position=position,
                    image=f"{split}/{folder.name}/{path.name}",
                    path=path,
                    span=None,
                    label=folder.name,
                    split=split,
                    extra={"class_index": str(number)},
                    dropped=dropped,
                )
                position += 1


if __name__ == "__main__":
    run(index_plantdoc)
