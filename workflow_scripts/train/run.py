"""Train a model; launched by torchrun or `train.launch`, one process per GPU or a few on the CPU.

In: starting weights, shards and their labels, replay. Out, in the run's folder: `metrics.jsonl`, one line per step;
`model.safetensors`, the final weights under open_clip's names, with the second projector as `replay_projector`;
`best.safetensors`, the weights with the lowest validation loss; `summary.json`, written last.

The main rank checks the input, locks the work folder, then either adopts finished work or starts the training, and
publishes the results. The other ranks wait for its broadcast.
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
from workflow_scripts.train.staging import StagingArea
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
        model: model settings, as JSON.
        settings: training recipe, as JSON.
        limits: runtime limits, as JSON; they do not affect the result.
        work: parent of the work folders; its `outcome.json` records how the last run ended.
        out_dir: folder to publish the results in.
        threads: CPU threads per machine, shared by all its processes.
        corpora: biology shards and their label tables, as JSON. Default: plain CLIP training on replay captions;
            `settings.epochs` then counts passes over replay.
        replay: folder of replay shards with `train/` and `val/`.
        validation: additional validation sets in the published layout, as JSON.
        scratch: folder on the node's local disk; shards are copied there before reading if `limits.stage_gb` is set.

    Raises:
        InputError: an input is missing or damaged, or inputs do not match.
    """
    ranks = find_ranks()
    if ranks.launched:
        die_with_parent()
    # The training loop installs its own handler; before and after it there is nothing to save.
    signal.signal(signal.SIGUSR1, lambda *_: sys.exit(EXIT_PREEMPTED))
    torch.set_num_threads(max(1, threads // ranks.local_size))
    staging = (
        StagingArea(Path(os.path.expandvars(scratch)), int(limits.stage_gb * 10**9))
        if scratch and limits.stage_gb
        else None
    )
    job = Job(start, model, settings, limits, TrainingData(corpora, replay, settings, staging, validation))
    try:
        if ranks.is_main:
            _run_main_rank(job, ranks, work, out_dir)
        else:
            _run_other_rank(job, ranks)
    except InputError as error:
        if not ranks.claim_report():
            raise SystemExit(EXIT_BAD_INPUT) from None
        _record_outcome(work, BAD_INPUT, error)
        raise
    except Preempted as error:
        if ranks.claim_report():
            _record_outcome(work, "preempted", error)
            logger.warning("%s", error)
            sys.stderr.write(f"{error}\n")
        raise SystemExit(EXIT_PREEMPTED) from None
    except Exception as error:
        # If this rank fails because another one did, the report exists already or the store is gone.
        with suppress(dist.DistError):
            if ranks.claim_report():
                _record_outcome(work, "crashed", f"{type(error).__name__}: {error}")
        raise


def _run_main_rank(job: Job, ranks: Ranks, work: Path, out_dir: Path) -> None:
    broadcast = False
    # The code may change while the training runs; record the version that it started with.
    version = workflow_version()
    _record_outcome(work, "unfinished", "running, or killed")
    try:
        job.check(ranks)
        with open_work_folder(work, job.key(), target=out_dir / SUMMARY) as folder:
            adopted = folder.finished
            if adopted:
                logger.info("%s: adopting finished training", folder.path)
            else:
                job.data.prepare(folder.path)
                checkpoints = _checkpoints(job, folder.path)
                resume = checkpoints.newest_intact()
                if resume is None:
                    _check_unfinished(folder, work)
                ranks.broadcast({"folder": str(folder.path), "resume": resume})
                broadcast = True
                with ranks.process_group():
                    trained, done = train(job, ranks, folder.path, checkpoints, resume)
                save_tensors(folder.path / MODEL, trained.open_clip_state())
                summary = _summary(job, ranks, folder, trained, done, version=version)
                write_document(folder.path / SUMMARY, summary, TRAINING)
                _save_best(folder.path, checkpoints, trained, done)
                folder.finish([METRICS, MODEL, BEST, SUMMARY])
            folder.publish(out_dir, last=SUMMARY)
            _record_outcome(work, "adopted" if adopted else "finished", folder.path)
    finally:
        if not broadcast:
            ranks.broadcast({})


def _check_unfinished(folder: WorkFolder, work: Path) -> None:
    """Warn about unfinished trainings in `work` that this new training does not resume.

    Raises:
        InputError: one differs only in the code version; a code update must not silently discard days of training.
    """
    for file in sorted(work.glob("*/key.json")):
        steps = sorted(path.name for path in file.parent.glob(f"{CHECKPOINTS}/step-*"))
        if file.parent == folder.path or (file.parent / DONE).exists() or not steps:
            continue
        other = json.loads(file.read_text(encoding="utf-8"))
        changed = [name for name, value in folder.key.items() if other.get(name) != value]
        if changed == ["version"]:
            raise InputError(
                f"{file.parent}: unfinished training (last checkpoint {steps[-1]}) with version {other.get('version')} "
                f"of the trainer's code; this is version {folder.key['version']}. Restore that version to resume, or "
                "move the folder away to start over"
            )
        logger.warning("%s: not resumed: different %s (last checkpoint %s)", file.parent, ", ".join(changed), steps[-1])


def _record_outcome(work: Path, outcome: str, message: object) -> None:
    """Write the run's outcome to `outcome.json`, which restarts depend on, and append it to `outcomes.jsonl`."""
    record = {"outcome": outcome, "message": str(message), "time": time.strftime("%Y-%m-%dT%H:%M:%S%z")}
    write_json(work / OUTCOME, record)
    with (work / OUTCOMES).open("a", encoding="utf-8") as file:
        file.write(json.dumps(record) + "\n")


def _run_other_rank(job: Job, ranks: Ranks) -> None:
    if decision := ranks.receive():
        with ranks.process_group():
            folder = Path(decision["folder"])
            train(job, ranks, folder, _checkpoints(job, folder), decision["resume"])


def _checkpoints(job: Job, folder: Path) -> Checkpoints:
    """The training's checkpoints; their fingerprint is the work folder's name, a digest of all inputs and settings."""
    return Checkpoints(folder / CHECKPOINTS, fingerprint=folder.name, newest=job.limits.keep_checkpoints)


def _save_best(folder: Path, checkpoints: Checkpoints, trained: TwoProjectorClip, done: TrainState) -> None:
    """Write the weights with the lowest validation loss; the last weights if there was no validation.

    Loads these weights into `trained`.
    """
    if done.best_step in (0, done.steps):
        link(folder / MODEL, folder / BEST)
    elif not checkpoints.is_intact(done.best_step):
        logger.warning(
            "checkpoint of step %d (lowest validation loss) is damaged; saving the last weights instead", done.best_step
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
