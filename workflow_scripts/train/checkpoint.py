"""Checkpoints: written aside, flushed, summed, then renamed; checked before they are believed.

A checkpoint is a folder `step-NNNNNNNN` with its file and `sums.json`. It appears whole or not at all.
"""

import json
import logging
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from workflow_scripts.common.files import sha256_file, write_json

logger = logging.getLogger(__name__)

STATE = "state.pt"
SUMS = "sums.json"


class Checkpoints:
    """The checkpoints of one run.

    Args:
        folder: where they are.
        keep: how many of the newest are kept.
    """

    def __init__(self, folder: Path, keep: int) -> None:
        self.folder = folder
        self.keep = keep

    def save(self, step: int, state: Mapping[str, Any]) -> None:
        """Save the state after `step` steps. One process calls this."""
        self.folder.mkdir(parents=True, exist_ok=True)
        target = self._path(step)
        aside = self.folder / f".tmp-{target.name}"
        for leftover in (aside, target):
            shutil.rmtree(leftover, ignore_errors=True)
        aside.mkdir()
        with (aside / STATE).open("wb") as file:
            torch.save(dict(state), file)
            file.flush()
            os.fsync(file.fileno())
        write_json(aside / SUMS, {STATE: sha256_file(aside / STATE)})
        aside.rename(target)
        _flush_folder(self.folder)
        for old in self._steps()[: -self.keep]:
            shutil.rmtree(self._path(old))

    def newest_whole(self) -> int | None:
        """The step of the newest checkpoint whose sums hold, or None. Damaged ones are named and removed."""
        for leftover in self.folder.glob(".tmp-*"):
            shutil.rmtree(leftover)
        for step in reversed(self._steps()):
            if self._is_whole(step):
                return step
            logger.warning("%s is damaged and removed; falling back to the one before it", self._path(step))
            shutil.rmtree(self._path(step))
        return None

    def load(self, step: int) -> dict[str, Any]:
        """The state after `step` steps, on the CPU: tensors and plain values only. Its sums have been checked."""
        return torch.load(self._path(step) / STATE, map_location="cpu", weights_only=True)

    def _path(self, step: int) -> Path:
        return self.folder / f"step-{step:08d}"

    def _steps(self) -> list[int]:
        return sorted(int(path.name.removeprefix("step-")) for path in self.folder.glob("step-*"))

    def _is_whole(self, step: int) -> bool:
        try:
            sums = json.loads((self._path(step) / SUMS).read_text())
            return all(sha256_file(self._path(step) / name) == checksum for name, checksum in sums.items())
        except (OSError, ValueError):
            return False


def _flush_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
