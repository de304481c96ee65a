"""The training loop, from the starting weights to the trained ones, read from top to bottom."""

import logging
import math
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from dataclasses import asdict
from functools import partial
from pathlib import Path

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
from workflow_scripts.train.signals import stop_requests
from workflow_scripts.train.train_state import TrainState
from workflow_scripts.train.validation import validate

logger = logging.getLogger(__name__)

METRICS = "metrics.jsonl"
# Classes among which validation classifies zero-shot, at most: their texts are encoded anew each time.
VAL_CLASSES = 1000


class Preempted(Exception):
    """The training was asked to stop, has saved its state, and can be taken up again."""


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
    settings, limits, device = job.settings, job.limits, ranks.device
    if settings.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(settings.deterministic)
    start = clip.load(f"local-dir:{job.start}")
    parts = job.data.parts("train", folder, start.tokenizer, ranks.size)
    held_out = job.data.parts("val", folder, start.tokenizer, ranks.size)
    total = job.steps(parts)
    pairs_a_step = sum(part.batch for part in parts)
    local = [part.batch // ranks.size for part in parts]

    second = len(parts) > 1 and settings.second_projector
    model = starting_model(start, job.model, settings, second_projector=second).to(device)
    freeze(model, settings.tune_blocks)
    optimizer = make_optimizer(model, settings)
    done = TrainState()
    if resume is not None:
        restore(checkpoints.load(resume), model, optimizer)
        done = TrainState(**checkpoints.state(resume)["done"])
        done.resumed += 1
        logger.info("resumed after step %d of %d", done.steps, total)
    most = min((number for number in (limits.max_batch, done.at_once) if number is not None), default=None)
    forward = Forward(model, start, settings, ranks, most)
    forward.fit(local, memory_to_come(optimizer))
    done.at_once = forward.most
    forward.settle(local)

    batches = Batches(
        parts,
        size=start.image_size,
        types=job.data.text_types,
        type_per=settings.text_type_per,
        seed=settings.seed,
        ranks=ranks,
    )
    loader = make_loader(batches, range(done.steps, total), limits.workers, pin=device.type == "cuda")
    metrics = open_metrics(job, folder, done.steps) if ranks.is_main else None
    broken_samples, skipped_batches = BrokenFile(folder, ranks.rank), SkippedFile(folder)

    def ends_epoch(steps: int) -> bool:
        return parts[0].epoch(steps) > parts[0].epoch(steps - 1) or steps == total

    def is_kept(steps: int) -> bool:
        return steps == done.best_step or (limits.keep_epochs and ends_epoch(steps))

    def save() -> None:
        if metrics:
            metrics.flush()
        checkpoints.save(done.steps, tensors_of(model, optimizer), {"done": asdict(done)}, is_kept)

    with (
        stop_requests(ranks) as requests,
        metrics or nullcontext(),
        Progress("training", total, "steps") if ranks.is_main else nullcontext() as bar,
    ):
        if bar:
            bar.update(done.steps)
        saved_at = begun = time.monotonic()
        saved_steps, begun_steps = resume, done.steps
        for step, (batch, waited) in enumerate(timed(loader), done.steps):
            began = time.monotonic() - waited
            lr = lr_at(step, peak=settings.lr, warmup=settings.warmup_steps, total=total)
            set_lr(optimizer, lr)
            local_losses = forward.backward(
                batch.images,
                batch.tokens,
                local,
                seed=partial(seed_model, settings.seed, step, ranks.rank),
                stops=requests.reached_anybody,
            )
            if local_losses is None:
                if saved_steps != done.steps:
                    save()
                raise Preempted(
                    f"stopped on request within step {done.steps + 1} of {total}; saved, run again to go on"
                )

            total_norm = gradient_norm(model)
            # A GPU is waited for here and in the sum over ranks, not behind the optimiser's step: that runs while the
            # next step is prepared. So the scale is the one that this step's loss was taken with.
            norm, scale = torch.stack([total_norm, model.logit_scale.detach().exp()]).tolist()
            # One sum over ranks a step: the losses, and whether anybody met a broken sample or was asked to stop, or
            # the main rank's clock says that it is time to save.
            late = ranks.is_main and time.monotonic() - saved_at > 60 * limits.checkpoint_minutes
            *losses, broken, stops, overdue = summed(
                [*local_losses.tolist(), len(batch.broken), requests.count, late], ranks
            )
            losses = [value / ranks.size for value in losses]
            healthy = math.isfinite(sum(losses)) and math.isfinite(norm)
            if healthy:
                update(model, optimizer, total_norm, settings.clip_norm)
            optimizer.zero_grad()

            seconds = time.monotonic() - began
            done.steps, done.broken = step + 1, done.broken + int(broken)
            done.seconds, done.waited = done.seconds + seconds, done.waited + waited
            done.text_types[batch.text_type] = done.text_types.get(batch.text_type, 0) + 1
            broken_samples.add(batch.broken)
            check_broken(done, settings, pairs_a_step)
            done.note_skip(not healthy)
            if not healthy:
                uuids = batches.uuids(step)
                if ranks.is_main:
                    skipped_batches.add(done.steps, uuids)
                    logger.warning("step %d skipped: losses %s, gradient norm %s", done.steps, losses, norm)
                check_skipped(done, settings, uuids, skipped_batches.path)

            measured = {}
            if ends_epoch(done.steps):
                measured = validate(
                    forward,
                    held_out,
                    batches=settings.val_batches,
                    classes=VAL_CLASSES,
                    text_type=job.data.validation_text_type,
                    ranks=ranks,
                )
            val_losses = {name: value for name, value in measured.items() if name.startswith("val_loss")}
            held_out_losses = [val_losses[name] for part in HELD_OUT if (name := f"val_loss_{part}") in val_losses]
            if val_losses:
                done.note_validation(sum(held_out_losses or val_losses.values()))

            if metrics and bar:
                part_losses = dict(zip([part.name for part in parts], losses, strict=True))
                metrics.add(
                    {
                        "step": done.steps,
                        "epoch": done.steps * parts[0].batch / len(parts[0].stream),
                        "samples": done.steps * parts[0].batch,
                        "loss": sum(losses),
                        "loss_biology": part_losses.get("biology"),
                        "loss_replay": part_losses.get("replay"),
                        "lr": lr,
                        "gradient_norm": norm,
                        "skipped": done.skipped,
                        "logit_scale": scale,
                        "samples_per_second": pairs_a_step / seconds,
                        "data_wait": waited / seconds,
                        "text_type": batch.text_type,
                        **measured,
                    }
                )
                left = (total - done.steps) * (time.monotonic() - begun) / (done.steps - begun_steps)
                bar.update(
                    1,
                    f"loss {sum(losses):.3f}, {pairs_a_step / seconds:.0f} pairs/s, {left / 60:.1f} min left, "
                    f"{done.waited / done.seconds:.0%} waiting for data",
                )

            due = done.steps % limits.checkpoint_steps == 0 or overdue
            if due or stops or done.steps == total or is_kept(done.steps):
                save()
                saved_at, saved_steps = time.monotonic(), done.steps
            if stops and done.steps < total:
                raise Preempted(f"stopped on request after step {done.steps} of {total}; saved, run again to go on")
    return model, done


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
