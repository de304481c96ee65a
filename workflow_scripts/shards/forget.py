"""Remove images from a corpus's training and replay shards; everything else stays as it is."""

from pathlib import Path

from workflow_scripts.common.cli import run
from workflow_scripts.common.layout import Corpus
from workflow_scripts.common.shards import BIOLOGY, REPLAY, forget_samples
from workflow_scripts.common.takedowns import read_taken_down


def forget(*, corpus: Path, images: Path) -> None:
    """Rewrite the shards that contain one of the images, and remove the work folders that keep the old shards.

    Args:
        corpus: the corpus's folder.
        images: the images to remove (contract LEDGER).

    Raises:
        BusyError: a job is writing one of the shards.
        InputError: the table of images is missing or breaks its contract.
    """
    files, uuids = Corpus(str(corpus)), read_taken_down(images)
    for kind, indexes, work in (
        (BIOLOGY, files.shard_index, files.shards_work),
        (REPLAY, files.replay_index, files.replay_work),
    ):
        forget_samples(kind, [index.parent for index in indexes.found()], Path(work()), uuids)


if __name__ == "__main__":
    run(forget)
