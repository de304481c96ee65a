"""Read PlantDoc: `train/CLASS/` and `test/CLASS/`."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from workflow_scripts.common.cli import run
from workflow_scripts.common.config.evaluate import PlantdocBenchmark
from workflow_scripts.evaluate.indexing import Labelled, index_images
from workflow_scripts.evaluate.label_files import class_folders, files_of

SPLITS = ("train", "test")


def index_plantdoc(*, name: str, settings: PlantdocBenchmark, out: Path, account: Path, jobs: int = 2) -> None:
    """Write PlantDoc's table: the folder as `class`, `split`, and `class_index`, its number among the split's folders.

    Args:
        name: the benchmark's name.
        settings: the benchmark; its folder is only read.
        out: the table.
        account: rows in and out; folders that one split lacks, and images that are unreadable, are named in it.
        jobs: threads that decode and hash; they change no byte.

    Raises:
        InputError: a split's folder is missing or empty, or no image can be used.
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
