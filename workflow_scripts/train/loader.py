"""Data loader: step s reads fixed positions of each stream, in any worker process.

Augmentation is seeded by the position too, so batches do not depend on the number of workers or ranks, and resuming at
step s reads no earlier samples.
"""

import atexit
import multiprocessing
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from workflow_scripts.common.children import die_with_parent
from workflow_scripts.common.errors import InputError
from workflow_scripts.contracts import RANKS
from workflow_scripts.train import images
from workflow_scripts.train.ranks import Ranks
from workflow_scripts.train.samples import SampleReader
from workflow_scripts.train.stream import Order, rank_positions
from workflow_scripts.train.texts import LabelTexts, Texts, text_type_at

MAX_REPLACEMENTS = 100
PREFETCH = 2


class Broken(NamedTuple):
    """A sample that could not be read."""

    uuid: str
    tar: str
    error: str


class Batch(NamedTuple):
    """One rank's batch of one step: the pairs of each dataset, concatenated.

    Shapes: B pairs, S pixels per side, L tokens.
    """

    images: torch.Tensor
    """uint8 [B, S, S, 3]"""
    tokens: torch.Tensor
    """int32 [B, L]"""
    text_type: str
    """The batch's text type; `mixed` if each sample has its own."""
    broken: list[Broken]


@dataclass(frozen=True)
class Pairs:
    """A dataset of image-text pairs, in the order of a stream.

    Attributes:
        name: `biology`, `replay` or the name of an additional validation set.
        reader: reads images and index rows.
        stream: order of the samples.
        texts: texts of the samples, one per corpus.
        batch: pairs per step, over all ranks.
        seed: seed of augmentation and replacements.
        scale: area range of the random crop; None takes the largest square at the centre (validation).
    """

    name: str
    reader: SampleReader
    stream: Order
    texts: Sequence[Texts]
    batch: int
    seed: tuple[int, ...]
    scale: tuple[float, float] | None

    def epoch(self, steps: int) -> int:
        """Number of completed passes over the samples after `steps` steps."""
        return steps * self.batch // len(self.stream)

    def uuid(self, position: int) -> str:
        """The uuid of the sample at a position of the stream; if unreadable, another sample replaces it in training."""
        shard, row = self.stream.locate(position)
        return str(self.reader.rows(shard).uuids[row].as_py())

    def lineage(self, position: int) -> np.ndarray:
        """The taxa of the sample at a position as numbers, int64 [R]; zeros if it has a caption but no label."""
        shard, row = self.stream.locate(position)
        texts = self.texts[self.reader.shards[shard].corpus]
        if not isinstance(texts, LabelTexts):
            return np.zeros(len(RANKS), dtype=np.int64)
        return texts.lineage(str(self.reader.text_key(shard, row, "")[0]))

    def fill(self, position: int, text_type: str, pixels_SS3: np.ndarray) -> tuple[np.ndarray, list[Broken]]:
        """Write the image at a position of the stream to `pixels_SS3`, and return its tokens.

        An unreadable sample is replaced by another one, drawn with a seed from the position.

        Args:
            position: position in the stream.
            text_type: text type of the caption.
            pixels_SS3: output, uint8.

        Returns:
            Token ids, int32 [L], and the samples that were replaced.

        Raises:
            InputError: all samples tried are damaged.
            OSError: all samples tried are unreadable because the file system fails; a restart may succeed.
        """
        broken: list[Broken] = []
        failure: type[Exception] = InputError
        draw = np.random.default_rng([*self.seed, position])
        place = position
        while len(broken) < MAX_REPLACEMENTS:
            shard, row = self.stream.locate(place)
            try:
                decoded = images.decode(self.reader.image(shard, row))
                key = self.reader.text_key(shard, row, text_type)
            except (ValueError, OSError) as error:
                failure = OSError if isinstance(error, OSError) else InputError
                broken.append(Broken(self.uuid(place), self.reader.shards[shard].tar.name, str(error)))
                place = int(draw.integers(len(self.stream)))
                continue
            height, width, _ = decoded.shape
            box = (
                images.random_crop(height, width, self.scale, draw) if self.scale else images.centre_crop(height, width)
            )
            images.resize(decoded, box, pixels_SS3)
            return self.texts[self.reader.shards[shard].corpus].tokens(key, text_type), broken
        raise failure(f"{MAX_REPLACEMENTS} samples in a row are unreadable; last: {' '.join(broken[-1])}")


class Batches(Dataset[Batch]):
    """The batches of one rank, by step (from 0).

    Args:
        datasets: datasets of a batch, in order.
        size: side of the model's images, pixels.
        types: text types to draw from.
        type_per: draw one text type per step (the same on all ranks) or per sample.
        seed: seed of the text types.
        ranks: this process and its peers.
    """

    def __init__(
        self,
        datasets: Sequence[Pairs],
        *,
        size: int,
        types: Sequence[str],
        seed: int,
        ranks: Ranks,
        type_per: Literal["step", "sample"] = "step",
    ) -> None:
        self.datasets = datasets
        self.size = size
        self.types = types
        self.type_per = type_per
        self.seed = seed
        self.rank = ranks.rank
        self.ranks = ranks.size

    def __getitem__(self, step: int) -> Batch:
        text_type = text_type_at(step, self.seed, self.types)
        count = sum(dataset.batch for dataset in self.datasets) // self.ranks
        pixels_BSS3 = np.empty((count, self.size, self.size, 3), dtype=np.uint8)
        tokens: list[np.ndarray] = []
        broken: list[Broken] = []
        for dataset in self.datasets:
            for position in rank_positions(step, dataset.batch, self.rank, self.ranks):
                if self.type_per == "sample":
                    text_type = text_type_at(position, self.seed, self.types)
                row, replaced = dataset.fill(position, text_type, pixels_BSS3[len(tokens)])
                tokens.append(row)
                broken += replaced
        described = text_type if self.type_per == "step" else "mixed"
        return Batch(torch.from_numpy(pixels_BSS3), torch.from_numpy(np.stack(tokens)), described, broken)

    def uuids(self, step: int) -> list[str]:
        """The uuids of the samples of all ranks at `step`."""
        return [
            dataset.uuid(position)
            for dataset in self.datasets
            for position in rank_positions(step, dataset.batch, 0, 1)
        ]


def make_loader(batches: Batches, steps: range, workers: int, *, pin: bool) -> DataLoader[Batch]:
    """A loader of the batches of `steps`, in order, with `workers` worker processes (0: in this process)."""
    if workers:
        atexit.register(_end_workers)
    return DataLoader(
        batches,
        sampler=steps,
        batch_size=None,
        num_workers=workers,
        pin_memory=pin,
        prefetch_factor=PREFETCH if workers else None,
        worker_init_fn=_start_worker,
        multiprocessing_context="fork" if workers else None,
    )


def _end_workers() -> None:
    """Kill workers that still run when the trainer exits: a traceback can keep the loader, and so its workers, alive.

    Workers ignore SIGTERM, so multiprocessing's own exit handler would wait for them forever.
    """
    # PyTorch's SIGCHLD handler would report their end as a crash.
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for worker in multiprocessing.active_children():
        worker.kill()


def _start_worker(number: int) -> None:
    die_with_parent()
    # A stop signal reaches the whole process group, but the trainer needs batches until it has saved.
    for name in (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT):
        signal.signal(name, signal.SIG_IGN)
    cv2.setNumThreads(0)
