"""The training loop. `Trainer` can be read from top to bottom."""

import logging
import math
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from workflow_scripts.common import clip
from workflow_scripts.common.errors import InputError
from workflow_scripts.common.progress import Progress
from workflow_scripts.train.checkpoint import Checkpoints, restore, tensors_of
from workflow_scripts.train.data import HELD_OUT
from workflow_scripts.train.forward import Forward
from workflow_scripts.train.health import check_broken, check_skipped
from workflow_scripts.train.job import Job
from workflow_scripts.train.loader import Batch, Batches, make_loader
from workflow_scripts.train.metrics import BrokenFile, Metrics, SkippedFile, WandbLog
from workflow_scripts.train.model import TwoProjectorClip, starting_model
from workflow_scripts.train.optimizer import (
    freeze,
    gradient_norm,
    make_optimizer,
    memory_to_come,
    set_lr,
    update,
)
from workflow_scripts.train.ranks import Ranks, summed
from workflow_scripts.train.schedule import lr_at
from workflow_scripts.train.signals import StopRequests, stop_requests
from workflow_scripts.train.train_state import TrainState
from workflow_scripts.train.validation import validate

logger = logging.getLogger(__name__)

METRICS = "metrics.jsonl"
# Classes among which validation classifies zero-shot, at most: their texts are encoded anew each time.
VAL_CLASSES = 1000


class Preempted(Exception):
    """The training was asked to stop, has saved its state, and can be taken up again."""


class Step(NamedTuple):
    """What a training step came to, over all ranks."""

    losses: list[float]
    """By part."""
    gradient_norm: float
    logit_scale: float
    """The inverse temperature that the losses were taken with."""
    lr: float
    broken: int
    """Samples that were replaced."""
    healthy: bool
    """Whether losses and gradient were finite; the weights change only then."""
    stops: bool
    """Whether any rank was asked to stop."""
    overdue: bool
    """Whether it is time for a checkpoint by the main rank's clock."""


def train(
    job: Job, ranks: Ranks, folder: Path, checkpoints: Checkpoints, resume: int | None
) -> tuple[TwoProjectorClip, TrainState]:
    """Train from the starting weights, or from a checkpoint, to the end.

    Args:
        job: what to train, on what, how.
        ranks: this process among the others, which are a group already.
        folder: the work folder.
        checkpoints: the run's.
        resume: the step of the checkpoint to go on from, or None.

    Returns:
        The trained model, and how it went.

    Raises:
        Preempted: SIGTERM, SIGUSR1 or SIGINT reached a rank; the state is saved.
        InputError: too many losses are not finite, or too many samples are broken.
    """
    if job.settings.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(job.settings.deterministic)
    trainer = Trainer(job, ranks, folder, checkpoints, resume)
    trainer.train()
    return trainer.model, trainer.state


class Trainer:
    """A training on one rank: set up whole, then run. The arguments are those of `train`."""

    def __init__(self, job: Job, ranks: Ranks, folder: Path, checkpoints: Checkpoints, resume: int | None) -> None:
        self.job = job
        self.ranks = ranks
        self.checkpoints = checkpoints
        self.settings, self.limits = job.settings, job.limits

        start = clip.load(f"local-dir:{job.start}")
        self.parts = job.data.parts("train", folder, start.tokenizer, ranks.size)
        self.held_out = job.data.parts("val", folder, start.tokenizer, ranks.size)
        self.steps = job.steps(self.parts)
        self.pairs_a_step = sum(part.batch for part in self.parts)
        self.local = [part.batch // ranks.size for part in self.parts]

        second = len(self.parts) > 1 and self.settings.second_projector
        self.model = starting_model(start, job.model, self.settings, second_projector=second).to(ranks.device)
        freeze(self.model, self.settings.tune_blocks)
        self.optimizer = make_optimizer(self.model, self.settings)
        self.state = TrainState()
        if resume is not None:
            restore(checkpoints.load(resume), self.model, self.optimizer)
            self.state = TrainState(**checkpoints.state(resume)["done"])
            self.state.resumed += 1
            logger.info("resumed after step %d of %d", self.state.steps, self.steps)
        self.saved_steps = resume
        self.saved_at = time.monotonic()

        bounds = [bound for bound in (self.limits.max_batch, self.state.at_once) if bound is not None]
        self.forward = Forward(self.model, start, self.settings, ranks, min(bounds, default=None))
        self.forward.fit(self.local, memory_to_come(self.optimizer))
        self.state.at_once = self.forward.most
        self.forward.settle(self.local)

        self.batches = Batches(
            self.parts,
            size=start.image_size,
            types=job.data.text_types,
            type_per=self.settings.text_type_per,
            seed=self.settings.seed,
            ranks=ranks,
        )
        pin = ranks.device.type == "cuda"
        self.loader = make_loader(self.batches, range(self.state.steps, self.steps), self.limits.workers, pin=pin)
        self.metrics = open_metrics(job, folder, self.state.steps) if ranks.is_main else None
        self.broken_samples, self.skipped_batches = BrokenFile(folder, ranks.rank), SkippedFile(folder)

    def train(self) -> None:
        """Take all steps that are left; after each come counts, validation, metrics and checkpoint."""
        state = self.state
        with (
            stop_requests(self.ranks) as requests,
            self.metrics or nullcontext(),
            Progress("training", self.steps, "steps") if self.ranks.is_main else nullcontext() as bar,
        ):
            if bar:
                bar.update(state.steps)
            self.saved_at = begun = time.monotonic()
            begun_steps = state.steps
            for step, (batch, waited) in enumerate(timed(self.loader), state.steps):
                began = time.monotonic() - waited
                taken = self.train_step(step, batch, requests)
                if taken is None:
                    if self.saved_steps != state.steps:
                        self.save()
                    raise Preempted(
                        f"stopped on request within step {step + 1} of {self.steps}; saved, run again to go on"
                    )
                seconds = time.monotonic() - began
                self.count(step, batch, taken, seconds, waited)
                measured = self.validate() if self.ends_epoch(state.steps) else {}
                if self.metrics and bar:
                    self.metrics.add(self.row(batch, taken, seconds, waited) | measured)
                    left = (self.steps - state.steps) * (time.monotonic() - begun) / (state.steps - begun_steps)
                    bar.update(
                        1,
                        f"loss {sum(taken.losses):.3f}, {self.pairs_a_step / seconds:.0f} pairs/s, {left / 60:.1f} min "
                        f"left, {state.waited / state.seconds:.0%} waiting for data",
                    )
                due = taken.overdue or state.steps % self.limits.checkpoint_steps == 0 or state.steps == self.steps
                if due or taken.stops or self.is_kept(state.steps):
                    self.save()
                if taken.stops and state.steps < self.steps:
                    raise Preempted(
                        f"stopped on request after step {state.steps} of {self.steps}; saved, run again to go on"
                    )

    def train_step(self, step: int, batch: Batch, requests: StopRequests) -> Step | None:
        """One step on one batch; None when it was given up because a rank was asked to stop."""
        lr = lr_at(step, peak=self.settings.lr, warmup=self.settings.warmup_steps, total=self.steps)
        set_lr(self.optimizer, lr)
        local_losses = self.forward.backward(
            batch.images,
            batch.tokens,
            self.local,
            seed=partial(seed_model, self.settings.seed, step, self.ranks.rank),
            stops=requests.reached_anybody,
        )
        if local_losses is None:
            return None
        total_norm = gradient_norm(self.model)
        # A GPU is waited for here and in the sum over ranks, not behind the optimiser's step: that runs while the next
        # step is prepared. So the scale is the one that this step's loss was taken with.
        norm, scale = torch.stack([total_norm, self.model.logit_scale.detach().exp()]).tolist()
        late = self.ranks.is_main and time.monotonic() - self.saved_at > 60 * self.limits.checkpoint_minutes
        # One sum over ranks a step.
        *losses, broken, stops, overdue = summed(
            [*local_losses.tolist(), len(batch.broken), requests.count, late], self.ranks
        )
        losses = [value / self.ranks.size for value in losses]
        healthy = math.isfinite(sum(losses)) and math.isfinite(norm)
        if healthy:
            update(self.model, self.optimizer, total_norm, self.settings.clip_norm)
        self.optimizer.zero_grad()
        return Step(losses, norm, scale, lr, int(broken), healthy, bool(stops), bool(overdue))

    def count(self, step: int, batch: Batch, taken: Step, seconds: float, waited: float) -> None:
        """Bring the state up to date, and name what was broken or skipped.

        Raises:
            InputError: it is too much of either.
        """
        state = self.state
        state.steps, state.broken = step + 1, state.broken + taken.broken
        state.seconds, state.waited = state.seconds + seconds, state.waited + waited
        state.text_types[batch.text_type] = state.text_types.get(batch.text_type, 0) + 1
        self.broken_samples.add(batch.broken)
        check_broken(state, self.settings, self.pairs_a_step)
        state.note_skip(not taken.healthy)
        if not taken.healthy:
            uuids = self.batches.uuids(step)
            if self.ranks.is_main:
                self.skipped_batches.add(state.steps, uuids)
                logger.warning(
                    "step %d skipped: losses %s, gradient norm %s", state.steps, taken.losses, taken.gradient_norm
                )
            check_skipped(state, self.settings, uuids, self.skipped_batches.path)

    def validate(self) -> dict[str, float]:
        """Measure the model on the held-out pairs; the held-out splits decide whether it is the best so far."""
        measured = validate(
            self.forward,
            self.held_out,
            batches=self.settings.val_batches,
            classes=VAL_CLASSES,
            text_type=self.job.data.validation_text_type,
            ranks=self.ranks,
        )
        losses = {name: value for name, value in measured.items() if name.startswith("val_loss")}
        deciding = [losses[name] for part in HELD_OUT if (name := f"val_loss_{part}") in losses]
        if losses:
            self.state.note_validation(sum(deciding or losses.values()))
        return measured

    def row(self, batch: Batch, taken: Step, seconds: float, waited: float) -> dict[str, Any]:
        """The step's line of metrics."""
        first = self.parts[0]
        losses = dict(zip([part.name for part in self.parts], taken.losses, strict=True))
        return {
            "step": self.state.steps,
            "epoch": self.state.steps * first.batch / len(first.stream),
            "samples": self.state.steps * first.batch,
            "loss": sum(taken.losses),
            "loss_biology": losses.get("biology"),
            "loss_replay": losses.get("replay"),
            "lr": taken.lr,
            "gradient_norm": taken.gradient_norm,
            "skipped": self.state.skipped,
            "logit_scale": taken.logit_scale,
            "samples_per_second": self.pairs_a_step / seconds,
            "data_wait": waited / seconds,
            "text_type": batch.text_type,
        }

    def ends_epoch(self, steps: int) -> bool:
        """Whether an epoch, or the training, ends with this step."""
        return self.parts[0].epoch(steps) > self.parts[0].epoch(steps - 1) or steps == self.steps

    def is_kept(self, steps: int) -> bool:
        """Whether this step's checkpoint is kept though it is none of the newest."""
        return steps == self.state.best_step or (self.limits.keep_epochs and self.ends_epoch(steps))

    def save(self) -> None:
        """Write a checkpoint. Every rank calls this."""
        if self.metrics:
            self.metrics.flush()
        tensors = tensors_of(self.model, self.optimizer)
        self.checkpoints.save(self.state.steps, tensors, {"done": asdict(self.state)}, self.is_kept)
        self.saved_at, self.saved_steps = time.monotonic(), self.state.steps


def open_metrics(job: Job, folder: Path, steps: int) -> Metrics:
    """Where the steps behind the first `steps` are written down."""
    recipe = {"model": job.model.model_dump(mode="json"), "settings": job.settings.model_dump(mode="json")}
    wandb = WandbLog(job.limits.wandb, folder, recipe) if job.limits.wandb else None
    return Metrics(folder / METRICS, steps, wandb)


def timed(loader: Iterable[Batch]) -> Iterator[tuple[Batch, float]]:
    """Each batch, with the seconds that it was waited for.

    Raises:
        InputError: a worker's, in its own words; the loader hands it on with the worker's traceback.
    """
    began = time.monotonic()
    batches = iter(loader)
    while True:
        try:
            batch = next(batches)
        except StopIteration:
            return
        except InputError as error:
            raise InputError(str(error).strip().rpartition(f"{InputError.__name__}: ")[2]) from None
        yield batch, time.monotonic() - began
        began = time.monotonic()


def seed_model(*numbers: int) -> None:
    """Make what the model draws (patch dropout) depend on these numbers alone, so that there is no state to save."""
    torch.manual_seed(int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> 1))
