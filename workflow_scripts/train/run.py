"""Train a model. Launched by torchrun or `train.launch`, one process a GPU (or a few on the CPU).

In: starting weights, shards with their labels, replay. Out, in the run's folder: `metrics.jsonl`, a line a step;
`model.safetensors`, the final weights under open_clip's names with the second projector as `replay_projector`, and
`best.safetensors`, those of the lowest validation loss; `summary.json`, last.

The main rank decides: it checks the input, locks the work folder, adopts finished work or leads the training, and
publishes. The other ranks wait for its decision and train along.
"""

import json
import logging
import os
import platform
import signal
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from workflow_scripts.common.children import die_with_parent
from workflow_scripts.common.cli import EXIT_BAD_INPUT, run
from workflow_scripts.common.code_digest import code_digest
from workflow_scripts.common.config.train import (
    CorpusShards,
    ModelSettings,
    TrainLimits,
    TrainSettings,
    ValidationShards,
)
from workflow_scripts.common.documents import write_document
from workflow_scripts.common.errors import InputError
from workflow_scripts.common.files import link, write_json
from workflow_scripts.common.open_clip_models import open_clip, save_tensors
from workflow_scripts.common.step_versions import step_version
from workflow_scripts.common.version import workflow_version
from workflow_scripts.common.work_folder import DONE, WorkFolder, open_work_folder
from workflow_scripts.contracts import TRAINING
from workflow_scripts.train.checkpoint import Checkpoints
from workflow_scripts.train.data import TrainingData
from workflow_scripts.train.exit_status import BAD_INPUT, EXIT_PREEMPTED, OUTCOME
from workflow_scripts.train.job import Job
from workflow_scripts.train.loop import METRICS, Preempted, train
from workflow_scripts.train.metrics import broken_samples
from workflow_scripts.train.model import TwoProjectorClip
from workflow_scripts.train.ranks import Ranks, find_ranks
from workflow_scripts.train.staging import Stage
from workflow_scripts.train.train_state import TrainState

logger = logging.getLogger(__name__)

MODEL = "model.safetensors"
BEST = "best.safetensors"
CHECKPOINTS = "checkpoints"
SUMMARY = "summary.json"
OUTCOMES = "outcomes.jsonl"


def train_model(
    *,
    start: Path,
    model: ModelSettings,
    settings: TrainSettings,
    limits: TrainLimits,
    work: Path,
    out_dir: Path,
    threads: int,
    corpora: tuple[CorpusShards, ...] = (),
    replay: Path | None = None,
    validation: tuple[ValidationShards, ...] = (),
    scratch: str | None = None,
) -> None:
    """Train a model, or adopt a finished training with the same inputs, settings and code.

    Args:
        start: open_clip directory of the starting weights.
        model: the model's settings, as JSON.
        settings: the recipe, as JSON.
        limits: limits of the training, as JSON; no effect on what is learned.
        work: where work folders are kept; `outcome.json` there says how the last run ended.
        out_dir: where the results are published.
        threads: CPU threads of this machine for training, over all its processes.
        corpora: biology shards and the names of their labels, as JSON. None: plain CLIP on replay captions, whose
            passes `settings.epochs` then counts.
        replay: folder of replay shards with `train/` and `val/`.
        validation: further validation sets in the published layout, as JSON.
        scratch: the node's own disk, where shards are copied to before they are read if the limits give it room.

    Raises:
        InputError: something given is missing, damaged or does not fit together.
    """
    ranks = find_ranks()
    if ranks.launched:
        die_with_parent()
    # Outside the training loop, which handles the signal itself, there is nothing to save.
    signal.signal(signal.SIGUSR1, lambda *_: sys.exit(EXIT_PREEMPTED))
    torch.set_num_threads(max(1, threads // ranks.local_size))
    stage = (
        Stage(Path(os.path.expandvars(scratch)), int(limits.stage_gb * 10**9)) if scratch and limits.stage_gb else None
    )
    job = Job(start, model, settings, limits, TrainingData(corpora, replay, settings, stage, validation))
    try:
        if ranks.is_main:
            _lead(job, ranks, work, out_dir)
        else:
            _follow(job, ranks)
    except InputError as error:
        if not ranks.reports_first():
            raise SystemExit(EXIT_BAD_INPUT) from None
        _note(work, BAD_INPUT, error)
        raise
    except Preempted as error:
        if ranks.reports_first():
            _note(work, "preempted", error)
            logger.warning("%s", error)
            sys.stderr.write(f"{error}\n")
        raise SystemExit(EXIT_PREEMPTED) from None
    except Exception as error:
        # A rank that fails because another one failed finds its report there, or the store gone.
        with suppress(dist.DistError):
            if ranks.reports_first():
                _note(work, "crashed", f"{type(error).__name__}: {error}")
        raise


def _lead(job: Job, ranks: Ranks, work: Path, out_dir: Path) -> None:
    broadcast = False
    # The code's version at the start, not at the end of the training.
    version = workflow_version()
    _note(work, "unfinished", "running, or killed")
    try:
        job.check(ranks)
        with open_work_folder(work, job.key(), target=out_dir / SUMMARY) as folder:
            adopted = folder.finished
            if adopted:
                logger.info("%s: trained before; adopted", folder.path)
            else:
                job.data.prepare(folder.path)
                checkpoints = _checkpoints(job, folder.path)
                resume = checkpoints.newest_whole()
                if resume is None:
                    _check_what_was_left(folder, work)
                ranks.broadcast({"folder": str(folder.path), "resume": resume})
                broadcast = True
                with ranks.group():
                    trained, done = train(job, ranks, folder.path, checkpoints, resume)
                save_tensors(folder.path / MODEL, trained.open_clip_state())
                described = _summary(job, ranks, folder, trained, done, version=version)
                write_document(folder.path / SUMMARY, described, TRAINING)
                _save_best(folder.path, checkpoints, trained, done)
                folder.finish([METRICS, MODEL, BEST, SUMMARY])
            folder.publish(out_dir, last=SUMMARY)
            _note(work, "adopted" if adopted else "finished", folder.path)
    finally:
        if not broadcast:
            ranks.broadcast({})


def _check_what_was_left(folder: WorkFolder, work: Path) -> None:
    """Before the first step: name the unfinished trainings in the same folder that this one does not resume.

    Raises:
        InputError: one differs in nothing but the version of the code; an update does not throw days of training away.
    """
    for file in sorted(work.glob("*/key.json")):
        steps = sorted(path.name for path in file.parent.glob(f"{CHECKPOINTS}/step-*"))
        if file.parent == folder.path or (file.parent / DONE).exists() or not steps:
            continue
        left = json.loads(file.read_text(encoding="utf-8"))
        changed = [name for name, value in folder.key.items() if left.get(name) != value]
        if changed == ["version"]:
            raise InputError(
                f"{file.parent}: the same training stopped at {steps[-1]}, at version {left.get('version')} of the "
                f"trainer's code; this is version {folder.key['version']}. Put the code back to continue it, or move "
                "that folder away to start over"
            )
        logger.warning("%s: a training with other %s stopped at %s", file.parent, ", ".join(changed), steps[-1])


def _note(work: Path, outcome: str, message: object) -> None:
    """Record the run's outcome in `outcome.json`, by which a restart is decided, and append it to `outcomes.jsonl`."""
    found = {"outcome": outcome, "message": str(message), "time": time.strftime("%Y-%m-%dT%H:%M:%S%z")}
    write_json(work / OUTCOME, found)
    with (work / OUTCOMES).open("a", encoding="utf-8") as file:
        file.write(json.dumps(found) + "\n")


def _follow(job: Job, ranks: Ranks) -> None:
    if decision := ranks.receive():
        with ranks.group():
            folder = Path(decision["folder"])
            train(job, ranks, folder, _checkpoints(job, folder), decision["resume"])


def _checkpoints(job: Job, folder: Path) -> Checkpoints:
    """A training's checkpoints; the name of its work folder is a digest of all that it depends on."""
    return Checkpoints(folder / CHECKPOINTS, fingerprint=folder.name, newest=job.limits.keep_checkpoints)


def _save_best(folder: Path, checkpoints: Checkpoints, trained: TwoProjectorClip, done: TrainState) -> None:
    """Write the weights of the lowest validation loss; the last ones where nothing was validated or it was the last.

    The model is left with them.
    """
    if done.best_step in (0, done.steps):
        link(folder / MODEL, folder / BEST)
    elif not checkpoints.is_whole(done.best_step):
        logger.warning(
            "the checkpoint of step %d, the best one, is damaged: the last weights take its place", done.best_step
        )
        link(folder / MODEL, folder / BEST)
    else:
        trained.load_state_dict(checkpoints.model(done.best_step))
        save_tensors(folder / BEST, trained.open_clip_state())


def _summary(
    job: Job, ranks: Ranks, folder: WorkFolder, model: TwoProjectorClip, done: TrainState, *, version: Mapping[str, str]
) -> dict[str, Any]:
    with (folder.path / METRICS).open(encoding="utf-8") as file:
        last = json.loads(file.readlines()[-1])
    replay_samples = done.steps * job.settings.replay_batch
    share = (job.settings.global_batch + job.settings.replay_batch) // ranks.size
    return {
        "steps": done.steps,
        "samples": last["samples"],
        "replay_samples": replay_samples,
        "seconds": round(done.seconds, 3),
        "samples_per_second": round((last["samples"] + replay_samples) / done.seconds, 1),
        "data_wait": round(done.waited / done.seconds, 4),
        "resumed": done.resumed,
        "skipped": done.skipped,
        "best": {"step": done.best_step, "loss": done.best_loss},
        "text_types": done.text_types,
        "pairs_at_once": min(done.at_once or share, share),
        "broken_samples": broken_samples(folder.path),
        "last": last,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "second_projector": model.replay_projector is not None,
        "model": job.model.model_dump(mode="json"),
        "settings": job.settings.model_dump(mode="json"),
        "limits": job.limits.model_dump(mode="json"),
        "processes": ranks.size,
        "device": torch.cuda.get_device_name() if ranks.device.type == "cuda" else platform.processor() or "cpu",
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "open_clip": open_clip.__version__,
            **version,
        },
        "digests": {name: folder.key[name] for name in ("data", "start")}
        | {"code": code_digest("workflow_scripts.train.run"), "version": step_version("train.run")},
    }


if __name__ == "__main__":
    run(train_model)
