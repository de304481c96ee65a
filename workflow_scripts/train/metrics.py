"""Records of a training: one row of metrics per step, skipped batches, unreadable samples."""

import json
import math
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from workflow_scripts.common.config.train import WandbSettings
from workflow_scripts.common.errors import InputError, first_line
from workflow_scripts.common.files import write_text
from workflow_scripts.train.loader import Broken


class WandbLog:
    """Logs metrics to Weights & Biases. The package is imported only when it is used.

    Args:
        settings: project, entity and mode.
        folder: the work folder; its name is the W&B run id, so that a resumed training continues its run.
        config: model and recipe, shown beside the curves.

    Raises:
        InputError: the package is not installed, or `wandb.init` fails.
    """

    def __init__(self, settings: WandbSettings, folder: Path, config: Mapping[str, Any]) -> None:
        try:
            import wandb
        except ImportError as error:
            raise InputError(f"limits.train.wandb: {error}; `pip install wandb`, or remove the key") from None
        try:
            self._run = wandb.init(
                project=settings.project,
                entity=settings.entity,
                mode=settings.mode,
                id=folder.name,
                resume="allow",
                dir=folder,
                config=dict(config),
            )
        except (wandb.Error, OSError) as error:
            raise InputError(f"limits.train.wandb: {first_line(error)}") from None

    def add(self, row: Mapping[str, Any]) -> None:
        """Log a row at its step, without null values."""
        self._run.log({name: value for name, value in row.items() if value is not None}, step=row["step"])

    def close(self) -> None:
        """Upload remaining rows and finish the run."""
        self._run.finish()


class Metrics:
    """Appends rows to a metrics file, after removing those that a resumed training repeats.

    Args:
        path: the file.
        steps: completed steps; rows of later steps, and an incomplete last line, are removed.
        wandb: also logs the rows, if given.
    """

    def __init__(self, path: Path, steps: int, wandb: WandbLog | None = None) -> None:
        kept = [line for line in _lines(path) if _step(line) <= steps]
        write_text(path, "".join(f"{line}\n" for line in kept))
        self._file = path.open("a", encoding="utf-8")
        self._wandb = wandb

    def __enter__(self) -> "Metrics":
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()
        if self._wandb:
            self._wandb.close()

    def add(self, row: Mapping[str, Any]) -> None:
        """Append a row; floats are rounded to six digits, and null if not finite."""
        rounded = {name: _rounded(value) if isinstance(value, float) else value for name, value in row.items()}
        self._file.write(json.dumps(rounded) + "\n")
        self._file.flush()
        if self._wandb:
            self._wandb.add(rounded)

    def flush(self) -> None:
        """Sync the file to disk; called before a checkpoint is saved, so that none is ahead of the metrics."""
        os.fsync(self._file.fileno())


class SkippedFile:
    """Records the images of skipped steps in `skipped.jsonl`.

    Args:
        folder: the work folder.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / "skipped.jsonl"

    def add(self, step: int, uuids: Sequence[str]) -> None:
        """Append the images of a skipped step."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, "uuids": list(uuids)}) + "\n")


class BrokenFile:
    """Records the samples that a rank could not read in `broken-<rank>.jsonl`; a resumed run may repeat some.

    Args:
        folder: the work folder.
        rank: rank of this process.
    """

    def __init__(self, folder: Path, rank: int) -> None:
        self.path = folder / f"broken-{rank}.jsonl"

    def add(self, samples: Sequence[Broken]) -> None:
        """Append unreadable samples."""
        if samples:
            with self.path.open("a", encoding="utf-8") as file:
                file.writelines(json.dumps(sample._asdict()) + "\n" for sample in samples)


def broken_samples(folder: Path) -> list[dict[str, str]]:
    """The distinct samples that any rank could not read, sorted by uuid."""
    found = {}
    for path in folder.glob("broken-*.jsonl"):
        for line in _lines(path):
            with suppress(ValueError):
                sample = json.loads(line)
                found[sample["uuid"]] = sample
    return [found[uuid] for uuid in sorted(found)]


def _rounded(value: float) -> float | None:
    return float(f"{value:.6g}") if math.isfinite(value) else None


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


def _step(line: str) -> float:
    try:
        return int(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return float("inf")
