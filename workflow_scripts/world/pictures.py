"""The world's pictures, and drawing them in several processes."""

import hashlib
import multiprocessing
import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from workflow_scripts.common.children import die_with_parent
from workflow_scripts.common.progress import Progress
from workflow_scripts.world.appearance import Look
from workflow_scripts.world.draw import draw_organism, encoded
from workflow_scripts.world.planted import Planted, draw_planted
from workflow_scripts.world.shapes import Shape, draw_shape

BATCH = 64


@dataclass(frozen=True)
class Picture:
    """A picture of the world.

    Attributes:
        path: its file, relative to the world's folder.
        subject: what it shows.
        side: shorter side, pixels.
    """

    path: str
    subject: Look | Shape | Planted
    side: int


def random_of(seed: int, *words: object) -> np.random.Generator:
    """A random generator seeded by `seed` and `words`, independent of all others."""
    text = "\n".join(map(str, (seed, *words)))
    return np.random.default_rng(int.from_bytes(hashlib.sha256(text.encode()).digest()[:16]))


def draw_pictures(pictures: Sequence[Picture], *, out: Path, seed: int, jobs: int) -> None:
    """Draw pictures into the folder `out` with `jobs` processes; their number does not affect the result."""
    for folder in sorted({(out / picture.path).parent for picture in pictures}):
        folder.mkdir(parents=True, exist_ok=True)
    batches = [pictures[start : start + BATCH] for start in range(0, len(pictures), BATCH)]
    draw = partial(_draw_batch, out=out, seed=seed)
    with Progress("drawing", len(pictures), "images") as progress, ExitStack() as stack:
        if jobs == 1:
            drawn: Iterable[int] = map(draw, batches)
        else:
            context = multiprocessing.get_context("spawn")
            pool = ProcessPoolExecutor(jobs, context, initializer=_start_worker, initargs=(os.getpid(),))
            drawn = stack.enter_context(pool).map(draw, batches)
        for count in drawn:
            progress.update(count)


def write_file(path: Path, data: bytes) -> None:
    """Write a file under a temporary name and rename it, without fsync: `world.json` is written after all of them."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.write_bytes(data)
    temporary.replace(path)


def _start_worker(parent: int) -> None:
    die_with_parent(parent)
    cv2.setNumThreads(1)


def _draw_batch(pictures: Sequence[Picture], *, out: Path, seed: int) -> int:
    for picture in pictures:
        random = random_of(seed, picture.path)
        if isinstance(picture.subject, Shape):
            image = draw_shape(picture.subject, random, picture.side)
        elif isinstance(picture.subject, Planted):
            image = draw_planted(picture.subject, random, picture.side)
        else:
            image = draw_organism(picture.subject, random, picture.side)
        write_file(out / picture.path, encoded(image))
    return len(pictures)
