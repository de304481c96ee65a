"""Loading of batches: step s takes fixed positions of each stream, whichever worker makes the batch.

Augmentation is seeded by the position too, so nothing depends on the number of workers or ranks, and resuming at step
s reads nothing that came before it.
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

MOST_REPLACEMENTS = 100
AHEAD = 2


class Broken(NamedTuple):
    """A sample that could not be read."""

    uuid: str
    tar: str
    error: str


class Batch(NamedTuple):
    """What one rank trains on in one step: the pairs of each part behind one another.

    Shapes: B pairs, S pixels a side, L tokens.
    """

    images: torch.Tensor
    """uint8 [B, S, S, 3]"""
    tokens: torch.Tensor
    """int32 [B, L]"""
    text_type: str
    """`mixed` where each sample has its own."""
    broken: list[Broken]


@dataclass(frozen=True)
class Pairs:
    """One part of a batch: a stream of pairs of image and text.

    Attributes:
        name: `biology` or `replay`.
        reader: where images and index rows are read.
        stream: the order.
        texts: where a row's tokens come from, by corpus.
        batch: pairs a step, over all ranks.
        seed: of augmentation and of replacements.
        scale: area range of the random crop; None for the largest square at the centre (validation).
    """

    name: str
    reader: SampleReader
    stream: Order
    texts: Sequence[Texts]
    batch: int
    seed: tuple[int, ...]
    scale: tuple[float, float] | None

    def epoch(self, steps: int) -> int:
        """The number of whole passes over the samples after `steps` steps."""
        return steps * self.batch // len(self.stream)

    def uuid(self, position: int) -> str:
        """The sample at a position of the stream; if it is broken, another one is trained on."""
        shard, row = self.stream.locate(position)
        return str(self.reader.rows(shard).uuids[row].as_py())

    def lineage(self, position: int) -> np.ndarray:
        """The taxa of the sample at a position as numbers, int64 [R]; zeros where its text is all that is known."""
        shard, row = self.stream.locate(position)
        texts = self.texts[self.reader.shards[shard].corpus]
        if not isinstance(texts, LabelTexts):
            return np.zeros(len(RANKS), dtype=np.int64)
        return texts.lineage(str(self.reader.text_key(shard, row, "")[0]))

    def fill(self, position: int, text_type: str, pixels_SS3: np.ndarray) -> tuple[np.ndarray, list[Broken]]:
        """Put the image at a position of the stream into its place in a batch.

        A broken sample gives its place to another one, drawn by the position.

        Args:
            position: in the stream.
            text_type: of the caption.
            pixels_SS3: uint8, written.

        Returns:
            Its tokens, int32 [L], and what was broken.

        Raises:
            InputError: nothing readable was found.
            OSError: the same, by the file system's fault. Another start looks for what is missing, or finds it well.
        """
        broken: list[Broken] = []
        trouble: type[Exception] = InputError
        draw = np.random.default_rng([*self.seed, position])
        place = position
        while len(broken) < MOST_REPLACEMENTS:
            shard, row = self.stream.locate(place)
            try:
                decoded = images.decode(self.reader.image(shard, row))
                key = self.reader.text_key(shard, row, text_type)
            except (ValueError, OSError) as error:
                trouble = OSError if isinstance(error, OSError) else InputError
                broken.append(Broken(self.uuid(place), self.reader.shards[shard].tar.name, str(error)))
                place = int(draw.integers(len(self.stream)))
                continue
            height, width, _ = decoded.shape
            box = (
                images.random_crop(height, width, self.scale, draw) if self.scale else images.centre_crop(height, width)
            )
            images.resize(decoded, box, pixels_SS3)
            return self.texts[self.reader.shards[shard].corpus].tokens(key, text_type), broken
        raise trouble(f"{MOST_REPLACEMENTS} samples in a row are unreadable, the last: {' '.join(broken[-1])}")


class Batches(Dataset[Batch]):
    """The batches of one rank, by step (from 0).

    Args:
        parts: what a batch is made of, in order.
        size: side of the model's images, pixels.
        types: text types to draw from.
        type_per: whether one is drawn per step, for all ranks alike, or one per sample.
        seed: of the text types.
        ranks: this process among the others.
    """

    def __init__(
        self,
        parts: Sequence[Pairs],
        *,
        size: int,
        types: Sequence[str],
        seed: int,
        ranks: Ranks,
        type_per: Literal["step", "sample"] = "step",
    ) -> None:
        self.parts = parts
        self.size = size
        self.types = types
        self.type_per = type_per
        self.seed = seed
        self.rank = ranks.rank
        self.ranks = ranks.size

    def __getitem__(self, step: int) -> Batch:
        text_type = text_type_at(step, self.seed, self.types)
        count = sum(part.batch for part in self.parts) // self.ranks
        pixels = np.empty((count, self.size, self.size, 3), dtype=np.uint8)
        tokens: list[np.ndarray] = []
        broken: list[Broken] = []
        for part in self.parts:
            for position in rank_positions(step, part.batch, self.rank, self.ranks):
                if self.type_per == "sample":
                    text_type = text_type_at(position, self.seed, self.types)
                row, replaced = part.fill(position, text_type, pixels[len(tokens)])
                tokens.append(row)
                broken += replaced
        described = text_type if self.type_per == "step" else "mixed"
        return Batch(torch.from_numpy(pixels), torch.from_numpy(np.stack(tokens)), described, broken)

    def uuids(self, step: int) -> list[str]:
        """The samples that all ranks together take at `step`."""
        return [part.uuid(position) for part in self.parts for position in rank_positions(step, part.batch, 0, 1)]


def make_loader(batches: Batches, steps: range, workers: int, *, pin: bool) -> DataLoader[Batch]:
    """Batches of `steps` in their order, made by `workers` processes ahead of time (0: by this one)."""
    if workers:
        atexit.register(_end_workers)
    return DataLoader(
        batches,
        sampler=steps,
        batch_size=None,
        num_workers=workers,
        pin_memory=pin,
        prefetch_factor=AHEAD if workers else None,
        worker_init_fn=_start_worker,
        multiprocessing_context="fork" if workers else None,
    )


def _end_workers() -> None:
    """Kill the workers that are left when the trainer ends: an error keeps the loader, and the loader its workers.

    They ignore the SIGTERM with which multiprocessing ends them before it waits for them, for ever.
    """
    # The loader's own handler takes their end for a crash.
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for worker in multiprocessing.active_children():
        worker.kill()


def _start_worker(number: int) -> None:
    die_with_parent()
    # A request to stop reaches the whole process group. The trainer still wants batches until it has saved.
    for name in (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT):
        signal.signal(name, signal.SIG_IGN)
    cv2.setNumThreads(0)
