"""Take images out of a corpus's training shards; everything else stays as it is."""

from pathlib import Path

from workflow_scripts.common.cli import run
from workflow_scripts.common.layout import Corpus
from workflow_scripts.common.shards import BIOLOGY, forget_samples
from workflow_scripts.common.takedowns import read_taken_down


def forget(*, corpus: Path, images: Path) -> None:
    """Rewrite the shards that hold one of the images, and remove the work folders that keep them as they were.

    Args:
        corpus: the corpus's folder.
        images: the images (contract LEDGER).

    Raises:
        BusyError: a job is writing one of them.
        InputError: the table is missing or breaks its contract.
    """
    files = Corpus(str(corpus))
    folders = [index.parent for index in files.shard_index.found()]
    forget_samples(BIOLOGY, folders, Path(files.shards_work()), read_taken_down(images))


if __name__ == "__main__":
    run(forget)
