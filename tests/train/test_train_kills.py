"""A training that is killed at random steps and resumed ends with the weights of an uninterrupted one, to the bit.

`make kills` kills ten times with 1, 2 and 4 ranks; `make test` twice with 4.
"""

import json
import os
import random
import signal
import time
from collections.abc import Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.train.processes import join, settings_for, start_together
from workflow_scripts.common.config.train import ModelSettings, TrainLimits

KILLS = int(os.environ.get("TREEOFLIFE_KILLS", "2"))
RANKS = (1, 2, 4) if "TREEOFLIFE_KILLS" in os.environ else (4,)
STEPS = 60 if "TREEOFLIFE_KILLS" in os.environ else 36
SETTINGS = settings_for(STEPS)


class Training:
    """One training in a folder of its own."""

    def __init__(self, corpus, start: Path, model: ModelSettings, folder: Path) -> None:
        self.corpus = corpus
        self.start = start
        self.model = model
        self.folder = folder

    def begin(self, ranks: int, workers: int) -> list[BaseProcess]:
        """Start its processes."""
        return start_together(
            ranks,
            start=self.start,
            model=self.model,
            settings=SETTINGS,
            limits=TrainLimits(workers=workers, checkpoint_steps=4),
            work=self.folder / "work",
            out_dir=self.folder / "train",
            threads=ranks,
            corpora=(self.corpus.biology,),
            replay=self.corpus.replay,
        )

    def finish(self, ranks: int, workers: int) -> None:
        """Run it to its end."""
        join(self.begin(ranks, workers))

    def killed(self, ranks: int, workers: int, step: int, victim: int) -> None:
        """Run it until `step` is done, and kill one rank with SIGKILL, then the others as torchrun does."""
        processes = self.begin(ranks, workers)
        deadline = time.monotonic() + 120
        while self.steps() < step:
            assert all(process.is_alive() for process in processes), "it ended before it could be killed"
            assert time.monotonic() < deadline
            time.sleep(0.002)
        os.kill(processes[victim].pid or 0, signal.SIGKILL)
        processes[victim].join()
        for process in processes:
            process.kill()
            process.join()

    def steps(self) -> int:
        """Number of completed steps, from the metrics."""
        found = list(self.folder.glob("work/*/metrics.jsonl"))
        lines = found[0].read_text().splitlines() if found else []
        try:
            return json.loads(lines[-1])["step"] if lines else 0
        except ValueError:
            return len(lines) - 1

    @property
    def metrics(self) -> list[dict]:
        """The rows of the metrics, one per step."""
        return [json.loads(line) for line in (self.folder / "train" / "metrics.jsonl").read_text().splitlines()]


def weights_differ(one: Training, other: Training) -> Sequence[str]:
    weights = [load_file(training.folder / "train" / "model.safetensors") for training in (one, other)]
    assert weights[0].keys() == weights[1].keys()
    return [name for name, tensor in weights[0].items() if not torch.equal(tensor, weights[1][name])]


@pytest.mark.slow
@pytest.mark.parametrize("ranks", RANKS)
def test_any_rank_killed_at_random_steps_leaves_the_weights_bit_identical(
    corpus, start: Path, model_settings: ModelSettings, tmp_path: Path, ranks: int
) -> None:
    draw = random.Random(ranks)
    undisturbed = Training(corpus, start, model_settings, tmp_path / "undisturbed")
    undisturbed.finish(ranks, workers=0)
    disturbed = Training(corpus, start, model_settings, tmp_path / "disturbed")
    for step in sorted(draw.sample(range(2, STEPS - 8), KILLS)):
        victim, workers = draw.randrange(ranks), draw.choice([0, 2, 3])
        disturbed.killed(ranks, workers, step, victim)
        print(f"{ranks} ranks, {workers} workers: rank {victim} killed after step {disturbed.steps()}")
    disturbed.finish(ranks, workers=3)
    assert not weights_differ(undisturbed, disturbed)
    assert [row["step"] for row in disturbed.metrics] == list(range(1, STEPS + 1))
    assert [row["loss"] for row in disturbed.metrics] == [row["loss"] for row in undisturbed.metrics]


@pytest.mark.slow
def test_from_two_ranks_to_one_every_step_takes_the_same_samples(
    corpus, start: Path, model_settings: ModelSettings, tmp_path: Path
) -> None:
    undisturbed = Training(corpus, start, model_settings, tmp_path / "undisturbed")
    undisturbed.finish(1, workers=0)
    disturbed = Training(corpus, start, model_settings, tmp_path / "disturbed")
    disturbed.killed(2, workers=2, step=20, victim=1)
    disturbed.finish(1, workers=3)
    # One process sums in another order than two, so the last bits differ; other samples would differ by far more.
    for key in ("loss_biology", "loss_replay"):
        found, expected = ([row[key] for row in training.metrics] for training in (disturbed, undisturbed))
        assert found == pytest.approx(expected, rel=1e-3)
    shuffled = [row["loss_biology"] for row in undisturbed.metrics[1:]]
    assert shuffled != pytest.approx([row["loss_biology"] for row in undisturbed.metrics[:-1]], rel=1e-3)
