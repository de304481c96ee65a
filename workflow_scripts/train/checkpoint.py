"""Checkpoints with torch.distributed.checkpoint, written to a temporary folder, renamed when complete, and verified.

A checkpoint is a folder `step-NNNNNNNN`. All ranks write its tensors, each tensor once; `state.json` has the
TrainState, `sums.json` the SHA-256 of every file. Tensors are stored unsharded under the names of the model's
parameters, so that any number of ranks can load a checkpoint that any other number wrote.
"""

import json
import logging
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from torch.distributed.checkpoint.metadata import TensorStorageMetadata

from workflow_scripts.common.errors import InputError
from workflow_scripts.common.files import sha256_file, write_json

logger = logging.getLogger(__name__)

STATE = "state.json"
SUMS = "sums.json"
# Prefixes of tensor names.
MODEL = "model."
OPTIMIZER = "optimizer."


class Checkpoints:
    """The checkpoints of one training.

    Args:
        folder: their folder.
        fingerprint: digest of the training's inputs and settings.
        newest: number of newest checkpoints to keep.
    """

    def __init__(self, folder: Path, fingerprint: str, newest: int) -> None:
        self.folder = folder
        self.fingerprint = fingerprint
        self.newest = newest

    def save(
        self,
        step: int,
        tensors: Mapping[str, torch.Tensor],
        state: Mapping[str, Any],
        is_kept: Callable[[int], bool] = lambda step: False,
    ) -> None:
        """Save a checkpoint after `step` steps. Called on every rank, with the same tensors.

        Returns on every rank only when the checkpoint is complete: torchrun kills the main rank if it is still writing
        30 seconds after another rank has exited.

        Args:
            step: number of completed steps.
            tensors: tensors by name.
            state: JSON values; the main rank's are saved.
            is_kept: whether to keep the checkpoint of a step that is no longer among the newest, such as an epoch's.
        """
        rank, ranks = (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)
        target = self._path(step)
        temporary = self.folder / f".tmp-{target.name}"
        if rank == 0:
            for leftover in (temporary, target):
                shutil.rmtree(leftover, ignore_errors=True)
            temporary.mkdir(parents=True)
            write_json(temporary / STATE, {"fingerprint": self.fingerprint, **state})
        if ranks > 1:
            dist.barrier()
        writer = dcp.FileSystemWriter(temporary, single_file_per_rank=True, sync_files=True)
        dcp.save(dict(tensors), storage_writer=writer)
        own_files = list(temporary.glob(f"__{rank}_*"))
        if rank == 0:
            own_files += [temporary / ".metadata", temporary / STATE]
        sums = [{file.name: sha256_file(file) for file in own_files}] * ranks
        if ranks > 1:
            dist.all_gather_object(sums, sums[rank])
        if rank == 0:
            write_json(temporary / SUMS, {name: checksum for part in sums for name, checksum in part.items()})
            temporary.rename(target)
            _fsync_folder(self.folder)
        if ranks > 1:
            dist.barrier()
        if rank == 0:
            for old in self._steps()[: -self.newest]:
                if not is_kept(old):
                    shutil.rmtree(self._path(old))

    def newest_intact(self) -> int | None:
        """The step of the newest checkpoint with matching checksums, or None. Damaged ones are logged and removed.

        Raises:
            InputError: the checkpoint belongs to a different training.
            OSError: a file cannot be read; nothing is removed.
        """
        for leftover in self.folder.glob(".tmp-*"):
            shutil.rmtree(leftover)
        for step in reversed(self._steps()):
            if self.is_intact(step):
                if (found := self.state(step)["fingerprint"]) != self.fingerprint:
                    raise InputError(
                        f"{self._path(step)}: checkpoint of a different training: expected fingerprint "
                        f"{self.fingerprint}, found {found}; move it away"
                    )
                return step
            logger.warning("%s: damaged checkpoint removed; using the previous one", self._path(step))
            shutil.rmtree(self._path(step))
        return None

    def is_intact(self, step: int) -> bool:
        """Whether the checkpoint of `step` exists and all its checksums match.

        Raises:
            OSError: a file exists but cannot be read, so the checkpoint may still be intact.
        """
        try:
            sums = json.loads((self._path(step) / SUMS).read_text())
            return all(sha256_file(self._path(step) / name) == checksum for name, checksum in sums.items())
        except (FileNotFoundError, ValueError):
            return False

    def state(self, step: int) -> dict[str, Any]:
        """The JSON values of a checkpoint."""
        return dict(json.loads((self._path(step) / STATE).read_text()))

    def load(self, step: int, prefix: str = "") -> dict[str, torch.Tensor]:
        """The tensors of a checkpoint whose names begin with `prefix`, on the CPU.

        Call `is_intact` first: the library does not detect changed bytes, and its index is a pickle.
        """
        reader = dcp.FileSystemReader(self._path(step))
        tensors = {
            name: torch.empty(entry.size, dtype=entry.properties.dtype)
            for name, entry in reader.read_metadata().state_dict_metadata.items()
            if name.startswith(prefix) and isinstance(entry, TensorStorageMetadata)
        }
        dcp.load(tensors, storage_reader=reader, no_dist=True)
        return tensors

    def model(self, step: int) -> dict[str, torch.Tensor]:
        """The model's state dict in a checkpoint. Call `is_intact` first."""
        return {name.removeprefix(MODEL): value for name, value in self.load(step, MODEL).items()}

    def _path(self, step: int) -> Path:
        return self.folder / f"step-{step:08d}"

    def _steps(self) -> list[int]:
        return sorted(int(path.name.removeprefix("step-")) for path in self.folder.glob("step-*"))


def tensors_of(model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    """The model's weights and the optimiser's state, by name."""
    names: dict[torch.Tensor, str] = {parameter: name for name, parameter in model.named_parameters()}
    return {f"{MODEL}{name}": value for name, value in model.state_dict().items()} | {
        f"{OPTIMIZER}{names[parameter]}.{key}": value
        for parameter, moments in optimizer.state.items()
        for key, value in moments.items()
    }


def restore(tensors: Mapping[str, torch.Tensor], model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Load the tensors of `tensors_of` into the model and the optimiser."""
    model.load_state_dict(
        {name.removeprefix(MODEL): value for name, value in tensors.items() if name.startswith(MODEL)}
    )
    names = {parameter: name for name, parameter in model.named_parameters()}
    ordered = [names[parameter] for group in optimizer.param_groups for parameter in group["params"]]
    state: dict[int, dict[str, torch.Tensor]] = {}
    places = {name: place for place, name in enumerate(ordered)}
    for name, value in tensors.items():
        if name.startswith(OPTIMIZER):
            parameter, _, key = name.removeprefix(OPTIMIZER).rpartition(".")
            state.setdefault(places[parameter], {})[key] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def _fsync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
