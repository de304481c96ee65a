"""The training loop: `Trainer.train` runs the steps, `Trainer.train_step` is one of them."""

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
    set_lr,
    unallocated_state_bytes,
    update,
)
from workflow_scripts.train.ranks import Ranks, sum_over_ranks
from workflow_scripts.train.schedule import lr_at
from workflow_scripts.train.signals import StopRequests, stop_requests
from workflow_scripts.train.train_state import TrainState
from workflow_scripts.train.validation import validate

logger = logging.getLogger(__name__)

METRICS = "metrics.jsonl"
# Maximum number of classes in zero-shot validation; their texts are encoded at every validation.
VAL_CLASSES = 1000


class Preempted(Exception):
    """The training was asked to stop and has saved a checkpoint to resume from."""


class StepResult(NamedTuple):
    """Result of a training step, over all ranks."""

    losses: list[float]
    """One per dataset."""
    gradient_norm: float
    logit_scale: float
    """The inverse temperature used by this step's losses."""
    lr: float
    broken: int
    """Number of unreadable samples that were replaced."""
    finite: bool
    """Whether losses and gradient are finite; otherwise the weights are not updated."""
    stop_requested: bool
    """Whether any rank was asked to stop."""
    checkpoint_due: bool
    """Whether a checkpoint is due by the main rank's clock."""


def train(
    job: Job, ranks: Ranks, folder: Path, checkpoints: Checkpoints, resume: int | None
) -> tuple[TwoProjectorClip, TrainState]:
    """Train to the end, from the starting weights or from a checkpoint.

    Args:
        job: inputs and settings.
        ranks: this process and its peers; the process group exists already.
        folder: the work folder.
        checkpoints: the training's checkpoints.
        resume: step of the checkpoint to resume from, or None to start.

    Returns:
        The trained model and the final state.

    Raises:
        Preempted: a rank received SIGTERM, SIGUSR1 or SIGINT; a checkpoint is saved.
        InputError: too many steps have a non-finite loss, or too many samples are unreadable.
    """
    if job.settings.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(job.settings.deterministic)
    trainer = Trainer(job, ranks, folder, checkpoints, resume)
    trainer.train()
    return trainer.model, trainer.state


class Trainer:
    """A training on one rank. The arguments are those of `train`."""

    def __init__(self, job: Job, ranks: Ranks, folder: Path, checkpoints: Checkpoints, resume: int | None) -> None:
        self.job = job
        self.ranks = ranks
        self.checkpoints = checkpoints
        self.settings, self.limits = job.settings, job.limits

        start = clip.load(f"local-dir:{job.start}")
        self.datasets = job.data.datasets("train", folder, start.tokenizer, ranks.size)
        self.held_out = job.data.datasets("val", folder, start.tokenizer, ranks.size)
        self.steps = job.steps(self.datasets)
        self.pairs_per_step = sum(dataset.batch for dataset in self.datasets)
        self.local_counts = [dataset.batch // ranks.size for dataset in self.datasets]

        second = len(self.datasets) > 1 and self.settings.second_projector
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
        self.forward.fit_memory(self.local_counts, unallocated_state_bytes(self.optimizer))
        self.state.at_once = self.forward.max_pairs
        self.forward.settle_buckets(self.local_counts)

        self.batches = Batches(
            self.datasets,
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
        """Run the remaining steps, each followed by validation, metrics and a checkpoint where they are due."""
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
                result = self.train_step(step, batch, requests)
                if result is None:
                    if self.saved_steps != state.steps:
                        self.save()
                    raise Preempted(
                        f"stopped on request during step {step + 1} of {self.steps}; saved, rerun to resume"
                    )
                seconds = time.monotonic() - began
                self.update_state(step, batch, result, seconds, waited)
                measured = self.validate() if self.ends_epoch(state.steps) else {}
                if self.metrics and bar:
                    self.metrics.add(self.metrics_row(batch, result, seconds, waited) | measured)
                    left = (self.steps - state.steps) * (time.monotonic() - begun) / (state.steps - begun_steps)
                    bar.update(1, self.progress_note(result, seconds, left))
                if self.needs_checkpoint(result):
                    self.save()
                if result.stop_requested and state.steps < self.steps:
                    raise Preempted(
                        f"stopped on request after step {state.steps} of {self.steps}; saved, rerun to resume"
                    )

    def train_step(self, step: int, batch: Batch, requests: StopRequests) -> StepResult | None:
        """Run one step on one batch. Returns None if it was abandoned because a rank was asked to stop."""
        lr = lr_at(step, peak=self.settings.lr, warmup=self.settings.warmup_steps, total=self.steps)
        set_lr(self.optimizer, lr)
        local_losses = self.forward.backward(
            batch.images,
            batch.tokens,
            self.local_counts,
            seed=partial(seed_model, self.settings.seed, step, self.ranks.rank),
            should_stop=requests.any_rank_stopped,
        )
        if local_losses is None:
            return None
        total_norm = gradient_norm(self.model)
        # Synchronise with the GPU here and in the sum over ranks, not after the optimiser's step, which overlaps with
        # the next step's preparation. The scale read here is the one that this step's losses used.
        norm, scale = torch.stack([total_norm, self.model.logit_scale.detach().exp()]).tolist()
        overdue = self.ranks.is_main and time.monotonic() - self.saved_at > 60 * self.limits.checkpoint_minutes
        # All of a step's scalars share one all-reduce.
        *losses, broken, stop_requested, checkpoint_due = sum_over_ranks(
            [*local_losses.tolist(), len(batch.broken), requests.count, overdue], self.ranks
        )
        losses = [value / self.ranks.size for value in losses]
        finite = math.isfinite(sum(losses)) and math.isfinite(norm)
        if finite:
            update(self.model, self.optimizer, total_norm, self.settings.clip_norm)
        self.optimizer.zero_grad()
        return StepResult(losses, norm, scale, lr, int(broken), finite, bool(stop_requested), bool(checkpoint_due))

    def update_state(self, step: int, batch: Batch, result: StepResult, seconds: float, waited: float) -> None:
        """Update the counts in the state, and record unreadable samples and skipped batches.

        Raises:
            InputError: there are too many of either.
        """
        state = self.state
        state.steps, state.broken = step + 1, state.broken + result.broken
        state.seconds, state.waited = state.seconds + seconds, state.waited + waited
        state.text_types[batch.text_type] = state.text_types.get(batch.text_type, 0) + 1
        self.broken_samples.add(batch.broken)
        check_broken(state, self.settings, self.pairs_per_step)
        state.note_skip(not result.finite)
        if not result.finite:
            uuids = self.batches.uuids(step)
            if self.ranks.is_main:
                self.skipped_batches.add(state.steps, uuids)
                logger.warning(
                    "step %d skipped: losses %s, gradient norm %s", state.steps, result.losses, result.gradient_norm
                )
            check_skipped(state, self.settings, uuids, self.skipped_batches.path)

    def validate(self) -> dict[str, float]:
        """Evaluate on the validation sets. The corpus's own held-out splits decide which checkpoint is best."""
        measured = validate(
            self.forward,
            self.held_out,
            batches=self.settings.val_batches,
            classes=VAL_CLASSES,
            text_type=self.job.data.validation_text_type,
            ranks=self.ranks,
        )
        losses = {name: value for name, value in measured.items() if name.startswith("val_loss")}
        held_out = [losses[name] for dataset in HELD_OUT if (name := f"val_loss_{dataset}") in losses]
        if losses:
            self.state.note_validation(sum(held_out or losses.values()))
        return measured

    def metrics_row(self, batch: Batch, result: StepResult, seconds: float, waited: float) -> dict[str, Any]:
        """The step's row of `metrics.jsonl`."""
        first = self.datasets[0]
        losses = dict(zip([dataset.name for dataset in self.datasets], result.losses, strict=True))
        return {
            "step": self.state.steps,
            "epoch": self.state.steps * first.batch / len(first.stream),
            "samples": self.state.steps * first.batch,
            "loss": sum(result.losses),
            "loss_biology": losses.get("biology"),
            "loss_replay": losses.get("replay"),
            "lr": result.lr,
            "gradient_norm": result.gradient_norm,
            "skipped": self.state.skipped,
            "logit_scale": result.logit_scale,
            "samples_per_second": self.pairs_per_step / seconds,
            "data_wait": waited / seconds,
            "text_type": batch.text_type,
        }

    def progress_note(self, result: StepResult, seconds: float, left: float) -> str:
        """The text beside the progress bar; `seconds` of this step and `left` until the end of the training."""
        return (
            f"loss {sum(result.losses):.3f}, {self.pairs_per_step / seconds:.0f} pairs/s, {left / 60:.1f} min left, "
            f"{self.state.waited / self.state.seconds:.0%} waiting for data"
        )

    def needs_checkpoint(self, result: StepResult) -> bool:
        """Whether to save a checkpoint after this step."""
        steps = self.state.steps
        due = result.checkpoint_due or steps % self.limits.checkpoint_steps == 0 or steps == self.steps
        return due or result.stop_requested or self.is_kept(steps)

    def ends_epoch(self, steps: int) -> bool:
        """Whether an epoch or the training ends after `steps` steps."""
        return self.datasets[0].epoch(steps) > self.datasets[0].epoch(steps - 1) or steps == self.steps

    def is_kept(self, steps: int) -> bool:
        """Whether the checkpoint of this step is kept even when it is no longer among the newest."""
        return steps == self.state.best_step or (self.limits.keep_epochs and self.ends_epoch(steps))

    def save(self) -> None:
        """Write a checkpoint. Called on every rank."""
        if self.metrics:
            self.metrics.flush()
        tensors = tensors_of(self.model, self.optimizer)
        self.checkpoints.save(self.state.steps, tensors, {"done": asdict(self.state)}, self.is_kept)
        self.saved_at, self.saved_steps = time.monotonic(), self.state.steps


def open_metrics(job: Job, folder: Path, steps: int) -> Metrics:
    """Open the metrics file and, if configured, the W&B run; rows after step `steps` are removed."""
    recipe = {"model": job.model.model_dump(mode="json"), "settings": job.settings.model_dump(mode="json")}
    wandb = WandbLog(job.limits.wandb, folder, recipe) if job.limits.wandb else None
    return Metrics(folder / METRICS, steps, wandb)


def timed(loader: Iterable[Batch]) -> Iterator[tuple[Batch, float]]:
    """Yield each batch with the seconds spent waiting for it.

    Raises:
        InputError: raised in a worker; the message is reduced to one line, without the worker's traceback.
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
    """Seed the model's random numbers (patch dropout) from `numbers` alone, so that no generator state is saved."""
    torch.manual_seed(int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> 1))
