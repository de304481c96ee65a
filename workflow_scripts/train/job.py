"""Inputs and settings of a training, and their checks."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from workflow_scripts.common.config.train import ModelSettings, TrainLimits, TrainSettings
from workflow_scripts.common.errors import InputError
from workflow_scripts.common.open_clip_models import CONFIG_FILE, REPLAY_PROJECTOR_FILE, WEIGHTS_FILE
from workflow_scripts.common.step_versions import versioned
from workflow_scripts.common.work_folder import file_digests
from workflow_scripts.train.data import TrainingData
from workflow_scripts.train.loader import Pairs
from workflow_scripts.train.ranks import Ranks
from workflow_scripts.train.stream import steps_of


@dataclass(frozen=True)
class Job:
    """One training.

    Attributes:
        start: open_clip directory of the starting weights.
        model: the model's settings.
        settings: the recipe.
        limits: runtime limits.
        data: the shards and labels it reads.
    """

    start: Path
    model: ModelSettings
    settings: TrainSettings
    limits: TrainLimits
    data: TrainingData

    def check(self, ranks: Ranks) -> None:
        """Check devices and data.

        Raises:
            InputError: a device or an input is missing, or inputs do not match.
        """
        if not torch.cuda.is_available() and not self.settings.allow_cpu:
            raise InputError("no GPU found; to train on the CPU, set train.allow_cpu: true")
        if torch.cuda.is_available() and torch.cuda.device_count() < ranks.local_size:
            raise InputError(
                f"{torch.cuda.device_count()} GPUs for {ranks.local_size} processes; lower limits.train.processes"
            )
        if self.limits.nodes > 1 and ranks.size == ranks.local_size:
            raise InputError(
                f"limits.train.nodes is {self.limits.nodes}, but this training runs on one machine; use --profile "
                "profiles/slurm, or set it to 1"
            )
        self.data.check(ranks.size)

    def key(self) -> dict[str, Any]:
        """The work folder's key: digests of data, starting weights, recipe and code, without paths and limits."""
        weights = [self.start / CONFIG_FILE, self.start / WEIGHTS_FILE]
        if (self.start / REPLAY_PROJECTOR_FILE).is_file():
            weights.append(self.start / REPLAY_PROJECTOR_FILE)
        return {
            "data": self.data.digests(),
            "start": file_digests({"start": weights})["start"],
            "model": self.model.model_dump(mode="json", exclude={"start"}),
            "settings": self.settings.model_dump(mode="json"),
            **versioned("train.run"),
        }

    def steps(self, datasets: Sequence[Pairs]) -> int:
        """Total steps of the training; epochs are counted over the first dataset."""
        return steps_of(self.settings.epochs, len(datasets[0].stream), datasets[0].batch)
