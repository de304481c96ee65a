"""Index NeWT: `newt2021_labels.csv` (id, task, task_cluster, task_subcluster, label, split) and `newt2021_images/`."""

from collections.abc import Iterator
from pathlib import Path

from workflow_scripts.common.cli import run
from workflow_scripts.common.config.evaluate import NewtBenchmark
from workflow_scripts.common.errors import InputError
from workflow_scripts.evaluate.indexing import Labelled, index_images
from workflow_scripts.evaluate.label_files import read_table, single_name

COLUMNS = ("id", "task", "task_cluster", "task_subcluster", "label", "split")
EXTRA = ("task", "task_cluster", "task_subcluster")


def index_newt(*, name: str, settings: NewtBenchmark, out: Path, account: Path, jobs: int = 2) -> None:
    """Write the images table: `class` (the label), `task`, its clusters (`none` if empty) and `split`.

    Args:
        name: the benchmark's name.
        settings: the benchmark's settings; its folder is not modified.
        out: the images table to write.
        account: the account to write: rows in and out, and which images are missing or unreadable.
        jobs: threads that decode and hash; the number does not affect the output.

    Raises:
        InputError: the label file is missing, not a CSV or incomplete, or there is no usable image.
    """
    index_images(_rows(Path(settings.folder)), benchmark=name, out=out, account=account, jobs=jobs, extra=EXTRA)


def _rows(folder: Path) -> Iterator[Labelled]:
    labels = folder / "newt2021_labels.csv"
    for position, (where, row) in enumerate(read_table(labels, COLUMNS)):
        for column in ("task", "label"):
            if not row[column].strip():
                raise InputError(f"{where}: {column} is empty")
        if row["split"] not in ("train", "test"):
            raise InputError(f"{where}: split: expected train or test, found {row['split']!r}")
        image = f"{single_name(row['id'], where)}.jpg"
        yield Labelled(
            position=position,
            image=image,
            path=folder / "newt2021_images" / image,
            span=None,
            label=row["label"],
            split=row["split"],
            extra={column: row[column] or "none" for column in EXTRA},
        )


if __name__ == "__main__":
    run(index_newt)
