"""Records of a training: one line per step, each step once despite interruptions; unreadable samples."""

import json
import math
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from workflow_scripts.common.config.train import WandbSettings
from workflow_scripts.common.errors import InputError
from workflow_scripts.common.files import write_text
from workflow_scripts.train.loader import Broken


class WandbLog:
    """The same lines for Weights & Biases; the package is imported only when the config asks for it.

    Args:
        settings: where they go.
        folder: the work folder; its name is the run's id there, so that a resumed run goes on in its place.
        config: what the run is, to be shown beside its curves.

    Raises:
        InputError: the package is missing, or Weights & Biases refuses.
    """

    def __init__(self, settings: WandbSettings, folder: Path, config: Mapping[str, Any]) -> None:
        try:
            import wandb
        except ImportError as error:
            raise InputError(f"limits.train.wandb: {error}; `pip install wandb`, or take the key away") from None
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
            raise InputError(f"limits.train.wandb: {str(error).splitlines()[0]}") from None

    def add(self, row: Mapping[str, Any]) -> None:
        """Send a line; its step is the run's."""
        self._run.log({name: value for name, value in row.items() if value is not None}, step=row["step"])

    def close(self) -> None:
        """Send what is left."""
        self._run.finish()


class Metrics:
    """Appends lines to a metrics file, after cutting off what a resumed run will do again.

    Args:
        path: the file.
        steps: the steps done so far; later lines, and one half-written at the end, are removed.
        wandb: takes the same lines, where the config asks for it.
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
        """Write a line; numbers are rounded to what they are worth, and null where they are not finite."""
        rounded = {name: _rounded(value) if isinstance(value, float) else value for name, value in row.items()}
        self._file.write(json.dumps(rounded) + "\n")
        self._file.flush()
        if self._wandb:
            self._wandb.add(rounded)

    def flush(self) -> None:
        """Bring the lines to the disk, so that no checkpoint is ahead of them."""
        os.fsync(self._file.fileno())


class SkippedFile:
    """Names the images of the steps that were skipped.

    Args:
        folder: the work folder.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / "skipped.jsonl"

    def add(self, step: int, uuids: Sequence[str]) -> None:
        """Append a step."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, "uuids": list(uuids)}) + "\n")


class BrokenFile:
    """Names the samples that a rank could not read. A resumed run may name one again.

    Args:
        folder: the work folder.
        rank: this process's number.
    """

    def __init__(self, folder: Path, rank: int) -> None:
        self.path = folder / f"broken-{rank}.jsonl"

    def add(self, samples: Sequence[Broken]) -> None:
        """Append samples."""
        if samples:
            with self.path.open("a", encoding="utf-8") as file:
                file.writelines(json.dumps(sample._asdict()) + "\n" for sample in samples)


def broken_samples(folder: Path) -> list[dict[str, str]]:
    """The distinct samples that any rank could not read, by uuid."""
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
