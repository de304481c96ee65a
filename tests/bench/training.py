"""Overhead of the training loop over a bare step, and the demo training's wait for data."""

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from rows import TORCH_THREADS, MeasuredValues, print_rows, sized

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "train"))

from conftest import build_corpus

from workflow_scripts.common import clip
from workflow_scripts.common.config.root import read_yaml
from workflow_scripts.common.config.train import ModelSettings, TrainLimits, TrainSettings
from workflow_scripts.models.fetch import fetch
from workflow_scripts.train import loop
from workflow_scripts.train.checkpoint import Checkpoints
from workflow_scripts.train.data import TrainingData
from workflow_scripts.train.job import Job
from workflow_scripts.train.loader import Batch
from workflow_scripts.train.model import TwoProjectorClip, starting_model
from workflow_scripts.train.optimizer import make_optimizer
from workflow_scripts.train.ranks import find_ranks

STEPS = sized(12, 4)
# Pairs of one of the demo's two processes.
BIOLOGY, REPLAY = sized((64, 12), (8, 4))
SUMMARY = Path("results/runs/demo/train/summary.json")


def step_overhead() -> Iterator[MeasuredValues]:
    """Seconds of a step of the loop, beside the forward, backward and optimiser step alone, taken by turns.

    Both are on the demo's model, in one process, on a batch that is in memory.
    """
    demo = read_yaml(Path("config/config.yaml"))
    model_settings = ModelSettings(architecture=demo["model"]["architecture"])
    settings = TrainSettings(
        epochs=STEPS, global_batch=BIOLOGY, replay_batch=REPLAY, precision="fp32", allow_cpu=True, val_batches=0
    )
    torch.set_num_threads(TORCH_THREADS)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        # An epoch ends after every step, which costs nothing without validation.
        corpus = build_corpus(folder / "corpus", train=BIOLOGY, replay=REPLAY)
        fetch(model=model_settings.fetched, out=folder / "start")
        data = TrainingData((corpus.biology,), corpus.replay, settings)
        data.prepare(folder)
        limits = TrainLimits(workers=0, checkpoint_steps=10**9, checkpoint_minutes=10**9, keep_epochs=False)
        job = Job(folder / "start", model_settings, settings, limits, data)
        batch = random_batch()
        ours: list[float] = []
        theirs: list[float] = []
        bare = bare_step(folder / "start", model_settings, settings, batch)
        loop.make_loader = lambda batches, steps, workers, pin: by_turns(steps, batch, bare, ours, theirs)  # type: ignore[assignment]
        with find_ranks().process_group():
            loop.train(job, find_ranks(), folder, Checkpoints(folder / "checkpoints", "bench", newest=1), None)
    # The last step saves a checkpoint.
    value, peer = (statistics.median(times[2:-1]) for times in (ours, theirs))
    yield "step_overhead", value, "s", "bare forward, backward, optimiser step", peer


def by_turns(
    steps: Sequence[int], batch: Batch, bare: Callable[[], None], ours: list[float], theirs: list[float]
) -> Iterator[Batch]:
    """Yield the batch for each step of the loop, and run a bare step between two of them; both are timed."""
    for _ in steps:
        began = time.perf_counter()
        yield batch
        ours.append(time.perf_counter() - began)
        began = time.perf_counter()
        bare()
        theirs.append(time.perf_counter() - began)


def random_batch() -> Batch:
    """A random batch of the demo's sizes."""
    chance = np.random.default_rng(0)
    images = chance.integers(0, 256, (BIOLOGY + REPLAY, 64, 64, 3), dtype=np.uint8)
    tokens = chance.integers(1, 49_000, (BIOLOGY + REPLAY, 48), dtype=np.int32)
    return Batch(torch.from_numpy(images), torch.from_numpy(tokens), "taxon", [])


def bare_step(folder: Path, model_settings: ModelSettings, settings: TrainSettings, batch: Batch) -> Callable[[], None]:
    """A minimal training step on this batch."""
    loaded = clip.load(f"local-dir:{folder}")
    model: TwoProjectorClip = starting_model(loaded, model_settings, settings, second_projector=True)
    optimizer = make_optimizer(model, settings)

    def loss_of(image_ND: torch.Tensor, text_ND: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
        logits, target = scale * image_ND @ text_ND.T, torch.arange(len(image_ND))
        return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2

    def step() -> None:
        pixels = clip.normalised(batch.images, loaded.mean, loaded.std)
        image_ND, text_ND, scale = model(pixels, batch.tokens.long(), BIOLOGY)
        loss = loss_of(image_ND[:BIOLOGY], text_ND[:BIOLOGY], scale) + loss_of(
            image_ND[BIOLOGY:], text_ND[BIOLOGY:], scale
        )
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def data_wait_share() -> Iterator[MeasuredValues]:
    """Seconds that the last demo's training waited for data, compared with the seconds of its steps."""
    if not SUMMARY.exists():
        raise RuntimeError("no demo has been run here; run `make demo` first")
    summary: dict[str, Any] = json.loads(SUMMARY.read_text())
    yield "data_wait_share", summary["data_wait"] * summary["seconds"], "s", "the demo's steps", summary["seconds"]


if __name__ == "__main__":
    print_rows((step_overhead, data_wait_share))
