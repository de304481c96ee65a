"""The training loop, from the starting weights to the trained ones, read from top to bottom."""

import logging
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import FrameType

import numpy as np
import torch

from workflow_scripts.common import clip
from workflow_scripts.common.errors import InputError
from workflow_scripts.common.progress import Progress
from workflow_scripts.train.checkpoint import Checkpoints
from workflow_scripts.train.forward import Forward
from workflow_scripts.train.job import Job
from workflow_scripts.train.loader import Batches, make_loader
from workflow_scripts.train.metrics import BrokenFile, MetricsFile
from workflow_scripts.train.model import TwoProjectorClip, starting_model
from workflow_scripts.train.optimizer import make_optimizer
from workflow_scripts.train.ranks import Ranks, summed
from workflow_scripts.train.schedule import lr_at
from workflow_scripts.train.validation import validate

logger = logging.getLogger(__name__)

METRICS = "metrics.jsonl"
CHECKPOINTS = "checkpoints"
STOP_SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)
LN_100 = 4.605170185988092
# A share of few samples says nothing.
BROKEN_MATTERS_FROM = 10


class Preempted(Exception):
    """The training was asked to stop, has saved its state, and can be taken up again."""


@dataclass
class Done:
    """How far a training is; part of every checkpoint.

    Attributes:
        steps: steps done.
        seconds: spent on them.
        broken: samples that were replaced.
        resumed: how often the training was taken up again.
        text_types: steps by text type.
    """

    steps: int = 0
    seconds: float = 0.0
    broken: int = 0
    resumed: int = 0
    text_types: dict[str, int] = field(default_factory=dict)


def train(job: Job, ranks: Ranks, folder: Path, resume: int | None) -> tuple[TwoProjectorClip, Done]:
    """Train from the starting weights, or from a checkpoint, to the end.

    Args:
        job: what to train, on what, how.
        ranks: this process among the others, which are a group already.
        folder: the work folder.
        resume: the step of the checkpoint to go on from, or None.

    Returns:
        The trained model, and how it went.

    Raises:
        Preempted: SIGTERM, SIGUSR1 or SIGINT reached a rank; the state is saved.
        InputError: the loss is not finite any more, or too many samples are broken.
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

    model = starting_model(start, job.model, settings, second_projector=len(parts) > 1).to(device)
    optimizer = make_optimizer(model, settings)
    checkpoints = Checkpoints(folder / CHECKPOINTS, limits.keep_checkpoints)
    done = Done()
    if resume is not None:
        state = checkpoints.load(resume)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        done = Done(**state["done"])
        done.resumed += 1
        logger.info("resumed after step %d of %d", done.steps, total)
    forward = Forward(model, start, settings, ranks)
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
    metrics = MetricsFile(folder / METRICS, done.steps) if ranks.leads else None
    broken_samples = BrokenFile(folder, ranks.rank)

    def save() -> None:
        if metrics:
            metrics.flush()
            state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "done": asdict(done)}
            checkpoints.save(done.steps, state)

    with stop_requests() as requests, Progress("training", total, "steps") if ranks.leads else nullcontext() as bar:
        if bar:
            bar.update(done.steps)
        saved_at = began = time.monotonic()
        for step, batch in enumerate(loader, done.steps):
            waited = time.monotonic() - began
            lr = lr_at(step, peak=settings.lr, warmup=settings.warmup_steps, total=total)
            for group in optimizer.param_groups:
                group["lr"] = lr
            seed_model(settings.seed, step, ranks.rank)

            losses = forward.losses(batch.images, batch.tokens, local, biology=True)
            losses.sum().backward()
            if settings.clip_norm is not None:
                torch.nn.utils.clip_grad_norm_(model.parameters(), settings.clip_norm)
            optimizer.step()
            optimizer.zero_grad()
            with torch.no_grad():
                model.logit_scale.clamp_(0, LN_100)

            # One sum over ranks a step: the losses, and whether anybody met a broken sample or was asked to stop.
            *loss_sums, broken, stops = summed([*losses.tolist(), len(batch.broken), len(requests)], ranks)
            part_losses = {part.name: value / ranks.size for part, value in zip(parts, loss_sums, strict=True)}
            loss = sum(part_losses.values())
            broken_samples.add(batch.broken)
            done.steps, done.broken = step + 1, done.broken + int(broken)
            done.text_types[batch.text_type] = done.text_types.get(batch.text_type, 0) + 1
            check_health(loss, done, settings.max_broken_share, pairs_a_step)

            epoch_ends = parts[0].epoch(done.steps) > parts[0].epoch(step) or done.steps == total
            val_losses = (
                validate(forward, held_out, settings.val_batches, job.val_text_type, ranks) if epoch_ends else {}
            )

            seconds = time.monotonic() - began
            began += seconds
            done.seconds += seconds
            if metrics and bar:
                rate = pairs_a_step / seconds
                metrics.add(
                    {
                        "step": done.steps,
                        "epoch": done.steps * parts[0].batch / len(parts[0].stream),
                        "samples": done.steps * parts[0].batch,
                        "loss": loss,
                        "loss_biology": part_losses.get("biology"),
                        "loss_replay": part_losses.get("replay"),
                        "lr": lr,
                        "logit_scale": float(model.logit_scale.detach().exp()),
                        "samples_per_second": rate,
                        "data_wait": waited / seconds,
                        "text_type": batch.text_type,
                        **val_losses,
                    }
                )
                left = (total - done.steps) * done.seconds / done.steps
                bar.update(
                    1,
                    f"loss {loss:.3f}, {rate:.0f} pairs/s, {left / 60:.1f} min left, "
                    f"{waited / seconds:.0%} waiting for data",
                )

            due = done.steps % limits.checkpoint_steps == 0 or began - saved_at > 60 * limits.checkpoint_minutes
            if due or stops or done.steps == total:
                save()
                saved_at = time.monotonic()
            if stops and done.steps < total:
                raise Preempted(f"stopped on request after step {done.steps} of {total}; saved, run again to go on")
    return model, done


def check_health(loss: float, done: Done, max_broken_share: float, pairs_a_step: int) -> None:
    """Raise InputError when going on makes no sense. All ranks see the same numbers, so all stop."""
    if not np.isfinite(loss):
        raise InputError(f"the loss of step {done.steps} is {loss}; lower train.lr or lengthen train.warmup_steps")
    if done.broken >= BROKEN_MATTERS_FROM and done.broken > max_broken_share * done.steps * pairs_a_step:
        raise InputError(
            f"{done.broken} of {done.steps * pairs_a_step} samples are unreadable, more than train.max_broken_share; "
            "the work folder's broken-*.jsonl name them"
        )


def seed_model(seed: int, step: int, rank: int) -> None:
    """Make what the model draws (patch dropout) depend on the step alone, so that there is no such state to save."""
    torch.manual_seed(int(np.random.SeedSequence([seed, step, rank]).generate_state(1, np.uint64)[0] >> 1))


@contextmanager
def stop_requests() -> Iterator[list[int]]:
    """A list that SIGTERM, SIGUSR1 (Slurm's warning) and Ctrl-C are added to, instead of ending the process."""
    requests: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        requests.append(number)

    before = {number: signal.signal(number, note) for number in STOP_SIGNALS}
    try:
        yield requests
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
