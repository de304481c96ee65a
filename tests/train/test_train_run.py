"""Training as a command: killed, resumed, adopted, exported."""

import functools
import json
import math
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch
import torch.distributed as dist
from PIL import Image
from safetensors.torch import load_file

from tests.messages import says
from tests.train.processes import settings_for, train_together
from workflow_scripts.common import clip, open_clip_models
from workflow_scripts.common.config.train import (
    ExportSettings,
    ModelSettings,
    TrainLimits,
    TrainSettings,
    WandbSettings,
)
from workflow_scripts.common.errors import InputError
from workflow_scripts.train import health
from workflow_scripts.train.checkpoint import Checkpoints
from workflow_scripts.train.data import TrainingData
from workflow_scripts.train.exit_status import EXIT_PREEMPTED
from workflow_scripts.train.export import export
from workflow_scripts.train.forward import Forward
from workflow_scripts.train.job import Job
from workflow_scripts.train.model import TwoProjectorClip
from workflow_scripts.train.ranks import Ranks
from workflow_scripts.train.run import train_model

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
STEPS = 30
# Preprocessing, which a checkpoint file does not contain.
SEEN = {"mean": (0.5, 0.5, 0.5), "std": (0.25, 0.25, 0.25)}
SETTINGS = settings_for(STEPS)
FAST = SETTINGS.model_copy(update={"epochs": 1.0})


def command(corpus, start: Path, model: ModelSettings, run: Path, limits: TrainLimits) -> list[str]:
    return [
        *(sys.executable, "-m", "workflow_scripts.train.launch", "--standalone", "--nproc-per-node", "2"),
        *("-m", "workflow_scripts.train.run", "--start", str(start), "--model", model.to_json()),
        *("--corpora", corpus.biology.to_json(), "--replay", str(corpus.replay)),
        *("--settings", SETTINGS.to_json(), "--limits", limits.to_json(), "--threads", "2"),
        *("--work", str(run / "work"), "--out-dir", str(run / "train"), "--log", str(run / "log.txt")),
    ]


def two_processes(
    corpus,
    start: Path,
    model: ModelSettings,
    run: Path,
    limits: TrainLimits,
    *,
    settings: TrainSettings = SETTINGS,
    changed: Callable[[], object] | None = None,
) -> None:
    """Train with two ranks, each of which first calls `changed`."""
    given = {"model": model, "limits": limits, "threads": 2}
    train_together(2, changed, settings=settings, **given_to_training(corpus, start, run), **given)


def launch(*arguments) -> subprocess.Popen:
    return subprocess.Popen(command(*arguments), cwd=ROOT, stderr=subprocess.PIPE, text=True)


def given_to_training(corpus, start: Path, run: Path) -> dict[str, Any]:
    """Arguments of a training: its inputs, work folder and output folder."""
    given = {"start": start, "corpora": (corpus.biology,), "replay": corpus.replay}
    return given | {"work": run / "work", "out_dir": run / "train"}


def in_process(corpus, start: Path, run: Path, settings: TrainSettings = FAST, **others) -> None:
    """Train in this process, without torchrun."""
    limits = TrainLimits(workers=0, checkpoint_steps=3)
    given = {"model": ModelSettings(architecture="ViT-B-16"), "limits": limits, "threads": 1, "settings": settings}
    train_model(**given_to_training(corpus, start, run) | given | others)


def metrics_of(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def children_of(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def wait_for_steps(run: Path, steps: int, process: subprocess.Popen) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        found = list(run.glob("work/*/metrics.jsonl"))
        if found and len(found[0].read_text().splitlines()) >= steps:
            return
        time.sleep(0.005)
    raise AssertionError(f"ended too early: {process.returncode}")


def test_a_killed_rank_ends_the_job_and_the_next_run_ends_up_bit_identical(
    corpus, start: Path, model_settings: ModelSettings, tmp_path: Path
) -> None:
    often = TrainLimits(workers=1, checkpoint_steps=5)
    undisturbed, disturbed = tmp_path / "undisturbed", tmp_path / "disturbed"
    killed = launch(corpus, start, model_settings, disturbed, often)
    wait_for_steps(disturbed, 12, killed)
    ranks = children_of(killed.pid)
    assert len(ranks) == 2
    os.kill(ranks[1], signal.SIGKILL)
    assert killed.wait(60) == 128 + signal.SIGKILL
    assert not (disturbed / "train" / "summary.json").exists()

    # The number of workers may change.
    two_processes(corpus, start, model_settings, disturbed, TrainLimits(workers=2, checkpoint_steps=7))
    two_processes(corpus, start, model_settings, undisturbed, TrainLimits(workers=0))
    one, other = load_file(undisturbed / "train/model.safetensors"), load_file(disturbed / "train/model.safetensors")
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert not torch.equal(one["visual.proj"], one["replay_projector"])
    assert [row["step"] for row in metrics_of(disturbed / "train")] == list(range(1, STEPS + 1))
    summary = json.loads((disturbed / "train/summary.json").read_text())
    assert summary["resumed"] == 1
    assert sum(summary["text_types"].values()) == summary["steps"] == STEPS
    same = ("step", "loss", "loss_biology", "loss_replay", "lr", "text_type")
    lines = [[{key: row[key] for key in same} for row in metrics_of(run / "train")] for run in (undisturbed, disturbed)]
    assert lines[0] == lines[1]
    assert metrics_of(disturbed / "train")[-1]["val_loss_biology"] > 0


@pytest.mark.parametrize(
    ("statuses", "tries", "expected"),
    [((1, -9, 0), 3, 0), ((1, 1, 1), 3, 1), ((1, 2, 0), 2, 2), ((143, 0), 1, 143)],
)
def test_only_a_crash_is_restarted(statuses: tuple[int, ...], tries: int, expected: int, tmp_path: Path) -> None:
    (tmp_path / "ends.py").write_text(
        "import os, sys, pathlib\n"
        "tries = pathlib.Path(sys.argv[1]); n = len(tries.read_text()) if tries.exists() else 0\n"
        "tries.write_text('x' * (n + 1)); status = int(sys.argv[2 + n])\n"
        "os.kill(os.getpid(), -status) if status < 0 else sys.exit(status)\n"
    )
    words = ["--restarts", "2", "--standalone", "--nproc-per-node", "1", "-m", "ends", str(tmp_path / "tries")]
    done = subprocess.run(
        [sys.executable, "-m", "workflow_scripts.train.launch", *words, *map(str, statuses)],
        env=os.environ | {"PYTHONPATH": f"{ROOT}:{tmp_path}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == expected, done.stderr
    assert len((tmp_path / "tries").read_text()) == tries
    assert "Traceback" not in done.stderr


def test_a_crash_after_the_warning_of_a_slots_end_is_not_restarted(tmp_path: Path) -> None:
    (tmp_path / "crashes.py").write_text(
        "import os, signal, sys, time\n"
        "signal.signal(signal.SIGUSR1, lambda *_: sys.exit(1))\n"
        "os.kill(os.getppid(), signal.SIGUSR1); time.sleep(60)\n"
    )
    words = ["--restarts", "2", "--standalone", "--nproc-per-node", "1", "-m", "crashes"]
    done = subprocess.run(
        [sys.executable, "-m", "workflow_scripts.train.launch", *words],
        env=os.environ | {"PYTHONPATH": f"{ROOT}:{tmp_path}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == EXIT_PREEMPTED, done.stderr
    assert "restarting" not in done.stderr


def test_finished_work_is_adopted_whatever_the_limits(
    corpus, start: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_process(corpus, start, tmp_path)
    before = (tmp_path / "train/summary.json").read_bytes()
    for file in (tmp_path / "train").iterdir():
        file.unlink()
    monkeypatch.setattr("workflow_scripts.train.run.train", lambda *_: pytest.fail("trained again"))
    in_process(corpus, start, tmp_path)
    assert (tmp_path / "train/summary.json").read_bytes() == before
    assert json.loads((tmp_path / "work/outcome.json").read_text())["outcome"] == "adopted"


def test_a_stop_request_saves_a_checkpoint_that_the_next_run_resumes(
    corpus, start: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from workflow_scripts.train import loop

    rate = loop.lr_at

    def stop_in_the_second_step(step: int, **others: float) -> float:
        if step == 1:
            # Slurm and terminals signal the loader's workers, too.
            for process in (*multiprocessing.active_children(), multiprocessing.current_process()):
                os.kill(process.pid or 0, signal.SIGUSR1)
        return rate(step, **others)

    monkeypatch.setattr(loop, "lr_at", stop_in_the_second_step)
    with pytest.raises(SystemExit) as stopped:
        in_process(corpus, start, tmp_path, limits=TrainLimits(workers=1))
    assert stopped.value.code == 143
    assert json.loads((tmp_path / "work/outcome.json").read_text())["outcome"] == "preempted"
    assert [path.name for path in tmp_path.glob("work/*/checkpoints/*")] == ["step-00000002"]
    monkeypatch.setattr(loop, "lr_at", rate)
    in_process(corpus, start, tmp_path)
    assert [row["step"] for row in metrics_of(tmp_path / "train")] == [1, 2, 3, 4, 5]


def test_a_code_update_does_not_silently_restart_an_unfinished_training(
    corpus, start: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = tmp_path / "work/0123456789abcdef"
    (left / "checkpoints/step-00000007").mkdir(parents=True)
    job = Job(
        start,
        ModelSettings(architecture="ViT-B-16"),
        FAST,
        TrainLimits(),
        TrainingData((corpus.biology,), corpus.replay, FAST),
    )
    (left / "key.json").write_text(json.dumps(job.key() | {"version": "older"}))
    with pytest.raises(InputError, match=r"0123456789abcdef: .*step-00000007.*\bversion older\b.* version "):
        in_process(corpus, start, tmp_path)
    # A training with another recipe does not block this one.
    (left / "key.json").write_text(json.dumps(job.key() | {"version": "older", "settings": {}}))
    in_process(corpus, start, tmp_path)
    assert (tmp_path / "train/summary.json").exists()


def test_a_stop_signal_before_the_first_step_is_a_preemption(
    corpus, start: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workflow_scripts.train.run._run_main_rank", lambda *_: os.kill(os.getpid(), signal.SIGUSR1))
    with pytest.raises(SystemExit) as stopped:
        in_process(corpus, start, tmp_path)
    assert stopped.value.code == EXIT_PREEMPTED


def test_a_stop_request_between_microbatches_abandons_the_step_and_loses_nothing(
    corpus, start: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from workflow_scripts.train import forward

    losses, calls = forward.contrastive_losses, []

    def stop_in_the_third_step(*given) -> torch.Tensor:
        calls.append(given)
        if len(calls) == 3:
            os.kill(os.getpid(), signal.SIGTERM)
        return losses(*given)

    limits = TrainLimits(workers=0, max_batch=5)
    settings = FAST.model_copy(update={"deterministic": True})
    in_process(corpus, start, tmp_path / "undisturbed", settings, limits=limits)
    monkeypatch.setattr(forward, "contrastive_losses", stop_in_the_third_step)
    with pytest.raises(SystemExit) as stopped:
        in_process(corpus, start, tmp_path / "disturbed", settings, limits=limits)
    assert stopped.value.code == 143
    assert "step 3 of 5" in (tmp_path / "disturbed/work/outcome.json").read_text()
    assert [path.name for path in tmp_path.glob("disturbed/work/*/checkpoints/*")] == ["step-00000002"]
    in_process(corpus, start, tmp_path / "disturbed", settings, limits=limits)
    one, other = (load_file(tmp_path / run / "train/model.safetensors") for run in ("undisturbed", "disturbed"))
    assert all(torch.equal(one[name], other[name]) for name in one)
    outcomes = (tmp_path / "disturbed/work/outcomes.jsonl").read_text().splitlines()
    assert [json.loads(line)["outcome"] for line in outcomes] == ["unfinished", "preempted", "unfinished", "finished"]


def memory_for(most: int, rank: str | None = None, change: Callable[..., None] = setattr) -> None:
    """Make forward passes of more than `most` pairs run out of memory, on one rank or (None) without ranks."""
    features = Forward.features

    def within(self: Forward, images: torch.Tensor, *others, **options):
        if len(images) > most and os.environ.get("RANK") == rank:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return features(self, images, *others, **options)

    change(Forward, "features", within)


def test_a_batch_too_large_for_memory_is_split_into_microbatches_that_a_resumed_run_keeps(
    corpus, start: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from workflow_scripts.train import loop

    settings = FAST.model_copy(update={"deterministic": True})
    # 12 pairs are tried first, then 6, then 3.
    in_process(corpus, start, tmp_path / "told", settings, limits=TrainLimits(workers=0, max_batch=3))
    rate = loop.lr_at

    def stop_in_the_second_step(step: int, **others: float) -> float:
        if step == 1:
            os.kill(os.getpid(), signal.SIGTERM)
        return rate(step, **others)

    with monkeypatch.context() as short_of_memory:
        memory_for(5, change=short_of_memory.setattr)
        short_of_memory.setattr(loop, "lr_at", stop_in_the_second_step)
        with pytest.raises(SystemExit), caplog.at_level("WARNING"):
            in_process(corpus, start, tmp_path / "found", settings, limits=TrainLimits(workers=0))
    assert says(caplog.text, "6 pairs", "trying 3")
    in_process(corpus, start, tmp_path / "found", settings, limits=TrainLimits(workers=0))
    one, other = (load_file(tmp_path / run / "train/model.safetensors") for run in ("told", "found"))
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert json.loads((tmp_path / "found/train/summary.json").read_text())["pairs_at_once"] == 3


def test_ranks_take_as_many_pairs_as_the_one_with_the_least_memory(
    corpus, start: Path, model_settings: ModelSettings, tmp_path: Path
) -> None:
    settings = SETTINGS.model_copy(update={"epochs": 8 / 40})
    scarce = functools.partial(memory_for, 3, rank="1")
    two_processes(corpus, start, model_settings, tmp_path, TrainLimits(workers=0), settings=settings, changed=scarce)
    assert json.loads((tmp_path / "train/summary.json").read_text())["pairs_at_once"] == 3


def test_a_model_of_which_no_pair_fits_is_bad_input(
    corpus, start: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory_for(0, change=monkeypatch.setattr)
    with pytest.raises(InputError, match="not even one pair"):
        in_process(corpus, start, tmp_path)


def test_metrics_go_to_weights_and_biases_if_configured(corpus, start: Path, tmp_path: Path) -> None:
    pytest.importorskip("wandb")
    settings = WandbSettings(project="organisms", mode="offline")
    in_process(corpus, start, tmp_path, limits=TrainLimits(workers=0, wandb=settings))
    (written,) = tmp_path.glob("work/*/wandb/offline-run-*/*.wandb")
    (work,) = tmp_path.glob("work/*/checkpoints")
    assert work.parent.name.encode() in written.read_bytes()
    assert b"val_zero_shot" in written.read_bytes()
    assert len(metrics_of(tmp_path / "train")) == 5


def plain_descent(model: torch.nn.Module, settings: TrainSettings) -> torch.optim.Optimizer:
    """An optimiser whose first step is the learning rate times the gradient; AdamW's would hide the gradient's size."""
    return torch.optim.SGD([{"params": list(model.parameters()), "share": 1.0}], lr=settings.lr)


def descend_plainly(change: Callable[..., None] = setattr) -> None:
    """Make the trainer use `plain_descent`; `change` sets attributes."""
    from workflow_scripts.train import loop

    change(loop, "make_optimizer", plain_descent)


def test_the_global_batchs_gradient_is_clipped_for_any_ranks_and_microbatches(
    corpus, start: Path, model_settings: ModelSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    descend_plainly(monkeypatch.setattr)
    one_step = SETTINGS.model_copy(update={"epochs": 8 / 40, "warmup_steps": 0})
    before = load_file(start / open_clip_models.WEIGHTS_FILE)
    before["replay_projector"] = before["visual.proj"]

    def change(run: Path) -> torch.Tensor:
        after = load_file(run / "train/model.safetensors")
        return torch.cat([(after[name] - before[name]).flatten() for name in sorted(before)])

    in_process(corpus, start, tmp_path / "whole", one_step)
    (row,) = metrics_of(tmp_path / "whole/train")
    expected = change(tmp_path / "whole")
    norm = float(expected.norm()) / SETTINGS.lr
    assert row["gradient_norm"] == pytest.approx(norm, rel=1e-3)
    for share, clipped in ((0.25, 0.25), (4.0, 1.0)):
        run = tmp_path / f"clipped at {share}"
        settings = one_step.model_copy(update={"clip_norm": share * norm})
        limits = TrainLimits(workers=0, max_batch=4)
        two_processes(corpus, start, model_settings, run, limits, settings=settings, changed=descend_plainly)
        found = change(run)
        assert float(found.norm()) == pytest.approx(clipped * float(expected.norm()), rel=1e-3)
        torch.testing.assert_close(found / clipped, expected, rtol=1e-2, atol=1e-3 * float(expected.abs().max()))
        # The metrics have the norm before clipping.
        assert metrics_of(run / "train")[0]["gradient_norm"] == pytest.approx(norm, rel=1e-3)


def test_the_best_weights_are_those_of_the_lowest_validation_loss(
    corpus, start: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from workflow_scripts.train import loop

    # Additional validation sets do not decide which step is best.
    losses = iter([(3.0, 9.0), (1.0, 9.0), (2.0, 0.0)])
    names = ("val_loss_biology", "val_loss_treeoflife10m")
    monkeypatch.setattr(loop, "validate", lambda *_, **__: dict(zip(names, next(losses), strict=True)))
    settings = SETTINGS.model_copy(update={"epochs": 3.0})
    limits = TrainLimits(workers=0, keep_checkpoints=1, keep_epochs=False)
    in_process(corpus, start, tmp_path, settings, limits=limits)
    (folder,) = tmp_path.glob("work/*/checkpoints")
    assert sorted(path.name for path in folder.iterdir()) == ["step-00000010", "step-00000015"]
    best, last = (load_file(tmp_path / f"train/{name}.safetensors") for name in ("best", "model"))
    saved = Checkpoints(folder, "", 1)
    assert torch.equal(best["visual.proj"], saved.model(10)["proj"])
    assert torch.equal(last["visual.proj"], saved.model(15)["proj"])
    assert not torch.equal(best["visual.proj"], last["visual.proj"])
    assert json.loads((tmp_path / "train/summary.json").read_text())["best"] == {"step": 10, "loss": 1.0}


def test_replay_alone_is_plain_clip_training_on_captions(corpus, start: Path, tmp_path: Path) -> None:
    settings = FAST.model_copy(update={"replay_batch": 0, "global_batch": 4})
    in_process(corpus, start, tmp_path, settings, corpora=())
    rows = metrics_of(tmp_path / "train")
    assert len(rows) == 5
    assert {row["text_type"] for row in rows} == {"caption"}
    assert all(row["loss_biology"] is None and row["loss"] == row["loss_replay"] for row in rows)
    assert "replay_projector" not in load_file(tmp_path / "train/model.safetensors")


def test_replay_may_share_the_one_projector(corpus, start: Path, tmp_path: Path) -> None:
    in_process(corpus, start, tmp_path, FAST.model_copy(update={"second_projector": False}))
    rows = metrics_of(tmp_path / "train")
    assert all(row["loss_replay"] > 0 and row["loss_biology"] > 0 for row in rows)
    assert "replay_projector" not in load_file(tmp_path / "train/model.safetensors")


def test_biology_alone_has_one_projector(corpus, start: Path, tmp_path: Path) -> None:
    in_process(corpus, start, tmp_path, FAST.model_copy(update={"replay_batch": 0}), replay=None)
    assert {row["loss_replay"] for row in metrics_of(tmp_path / "train")} == {None}
    assert "replay_projector" not in load_file(tmp_path / "train/model.safetensors")


def test_nonfinite_losses_stop_the_run_and_name_the_images(
    corpus, start: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = FAST.model_copy(update={"lr": 1e30, "warmup_steps": 0})
    monkeypatch.setattr(health, "MAX_SKIPPED_IN_A_ROW", 2)
    with pytest.raises(InputError, match=r"\b3 steps.*\b4\b"):
        in_process(corpus, start, tmp_path, settings)
    (skipped,) = tmp_path.glob("work/*/skipped.jsonl")
    rows = [json.loads(line) for line in skipped.read_text().splitlines()]
    assert [row["step"] for row in rows] == [2, 3, 4]
    known = set(pq.read_table(corpus.shards / "train/index.parquet")["uuid"].to_pylist())
    known |= set(pq.read_table(corpus.replay / "train/index.parquet")["uuid"].to_pylist())
    assert all(len(row["uuids"]) == 12 and set(row["uuids"]) <= known for row in rows)
    assert json.loads((tmp_path / "work/outcome.json").read_text())["outcome"] == "bad input"
    # The remedies of the message work.
    mended = FAST.model_copy(update={"lr": 1e-4, "warmup_steps": 2, "clip_norm": 1.0})
    in_process(corpus, start, tmp_path / "mended", mended)
    assert json.loads((tmp_path / "mended/train/summary.json").read_text())["skipped"] == 0


def test_one_step_without_a_finite_loss_is_skipped_and_changes_no_weight(
    corpus, start: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from workflow_scripts.train import forward

    losses, calls = forward.contrastive_losses, []

    def poisoned(*given) -> torch.Tensor:
        calls.append(given)
        return losses(*given) * (math.nan if len(calls) == 3 else 1)

    monkeypatch.setattr(forward, "contrastive_losses", poisoned)
    in_process(corpus, start, tmp_path, limits=TrainLimits(workers=0, checkpoint_steps=1, keep_checkpoints=9))
    summary = json.loads((tmp_path / "train/summary.json").read_text())
    assert summary["skipped"] == 1
    rows = metrics_of(tmp_path / "train")
    assert [row["loss"] is not None for row in rows] == [True, True, False, True, True]
    (folder,) = tmp_path.glob("work/*/checkpoints")
    saved = [Checkpoints(folder, "", 1).model(step) for step in (2, 3, 4)]
    assert all(torch.equal(saved[0][name], saved[1][name]) for name in saved[0])
    assert not torch.equal(saved[1]["proj"], saved[2]["proj"])


def test_the_export_predicts_what_the_trainer_does(
    corpus, start: Path, model_settings: ModelSettings, tmp_path: Path
) -> None:
    in_process(corpus, start, tmp_path)
    export(trained=tmp_path / "train", start=start, settings=ExportSettings(), out=tmp_path / "model")
    weights = load_file(tmp_path / "train/model.safetensors")
    loaded = clip.load(f"local-dir:{start}")
    trainer = TwoProjectorClip(loaded.model, weights.pop("replay_projector"))
    trainer.proj.data = weights.pop("visual.proj")
    trainer.clip.load_state_dict(weights)
    chance = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (6, 32, 32, 3), dtype=torch.uint8, generator=chance)
    words = ["a photo of Circle red.", "a photo of Square.", "x y", "a", "b", "c"]
    pixels = clip.normalised(images, loaded.mean, loaded.std)
    with torch.no_grad():
        image, text, scale = trainer(pixels, loaded.tokenizer(words), 4)

    exported = f"local-dir:{tmp_path / 'model'}"
    model, _, preprocess = open_clip_models.open_clip.create_model_and_transforms(exported)
    model.eval()
    tokens = open_clip_models.open_clip.get_tokenizer(exported)(words)
    seen = torch.stack([preprocess(Image.fromarray(item.numpy())) for item in images])
    with torch.no_grad():
        torch.testing.assert_close(model.encode_image(seen, normalize=True)[:4], image[:4], rtol=0, atol=1e-5)
        torch.testing.assert_close(model.encode_text(tokens, normalize=True), text, rtol=0, atol=1e-5)
        torch.testing.assert_close(model.logit_scale.exp(), scale)
    replay = clip.encode_image(clip.load(exported), images, projector="replay")
    torch.testing.assert_close(torch.nn.functional.normalize(replay, dim=-1)[4:], image[4:], rtol=0, atol=1e-5)


def test_a_model_without_second_projector_says_so(start: Path) -> None:
    loaded = clip.load(f"local-dir:{start}")
    with pytest.raises(InputError, match="has no replay_projector"):
        clip.encode_image(loaded, torch.zeros(1, 32, 32, 3, dtype=torch.uint8), projector="replay")


def test_bf16_trains_too(start: Path, model_settings: ModelSettings) -> None:
    for precision in ("bf16", "pure_bf16"):
        settings = SETTINGS.model_copy(update={"precision": precision, "grad_checkpointing": True})
        loaded = clip.load(f"local-dir:{start}")
        from workflow_scripts.train.model import starting_model

        model = starting_model(loaded, model_settings, settings, second_projector=True)
        forward = Forward(model, loaded, settings, Ranks(0, 1, 0, 1, dist.HashStore()))
        images = torch.randint(0, 256, (6, 32, 32, 3), dtype=torch.uint8)
        losses = forward.backward(images, torch.randint(1, 99, (6, 32), dtype=torch.int32), [4, 2])
        assert losses is not None
        assert losses.dtype == torch.float32
        assert model.proj.dtype == (torch.bfloat16 if precision == "pure_bf16" else torch.float32)
        assert all(torch.isfinite(p.grad).all() for p in model.parameters())
