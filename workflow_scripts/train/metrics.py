"""What a run writes down as it goes: a line a step, each step once however often it was interrupted; broken samples."""

import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from workflow_scripts.common.files import write_text
from workflow_scripts.train.loader import Broken


class MetricsFile:
    """Appends lines to a metrics file, after cutting off what a resumed run will do again.

    Args:
        path: the file.
        steps: the steps done so far; later lines, and one half-written at the end, are removed.
    """

    def __init__(self, path: Path, steps: int) -> None:
        kept = [line for line in _lines(path) if _step(line) <= steps]
        write_text(path, "".join(f"{line}\n" for line in kept))
        self._file = path.open("a", encoding="utf-8")

    def add(self, row: Mapping[str, Any]) -> None:
        """Write a line; numbers are rounded to what they are worth."""
        rounded = {name: float(f"{value:.6g}") if isinstance(value, float) else value for name, value in row.items()}
        self._file.write(json.dumps(rounded) + "\n")
        self._file.flush()

    def flush(self) -> None:
        """Bring the lines to the disk, so that no checkpoint is ahead of them."""
        os.fsync(self._file.fileno())


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


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


def _step(line: str) -> float:
    try:
        return int(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return float("inf")
