"""Checkpoints by torch.distributed.checkpoint: written aside, summed, renamed; checked before they are believed.

A checkpoint is a folder `step-NNNNNNNN`. All ranks write its tensors, each tensor once; `state.json` holds the rest,
`sums.json` the SHA-256 of every file. It appears whole or not at all. Tensors are stored whole under the names of the
model's parameters, so that any number of ranks can read what any other number wrote.
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
# What the names of tensors begin with.
MODEL = "model."
OPTIMIZER = "optimizer."


class Checkpoints:
    """The checkpoints of one run.

    Args:
        folder: where they are.
        fingerprint: of the recipe that they belong to.
        newest: how many of the newest are kept.
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
        """Save what there is after `step` steps. Every rank calls this, with the same tensors.

        It returns, on any rank, when the checkpoint is there: a rank that then ends has torchrun kill the main rank, if
        that takes longer than 30 seconds to follow.

        Args:
            step: the step.
            tensors: by name.
            state: plain values; the main rank's count.
            is_kept: whether the checkpoint of a step is kept though it is none of the newest; an epoch's, for instance.
        """
        rank, ranks = (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)
        target = self._path(step)
        aside = self.folder / f".tmp-{target.name}"
        if rank == 0:
            for leftover in (aside, target):
                shutil.rmtree(leftover, ignore_errors=True)
            aside.mkdir(parents=True)
            write_json(aside / STATE, {"fingerprint": self.fingerprint, **state})
        if ranks > 1:
            dist.barrier()
        writer = dcp.FileSystemWriter(aside, single_file_per_rank=True, sync_files=True)
        dcp.save(dict(tensors), storage_writer=writer)
        mine = [*aside.glob(f"__{rank}_*"), *([aside / ".metadata", aside / STATE] if rank == 0 else [])]
        sums = [{file.name: sha256_file(file) for file in mine}] * ranks
        if ranks > 1:
            dist.all_gather_object(sums, sums[rank])
        if rank == 0:
            write_json(aside / SUMS, {name: checksum for part in sums for name, checksum in part.items()})
            aside.rename(target)
            _flush_folder(self.folder)
        if ranks > 1:
            dist.barrier()
        if rank == 0:
            for old in self._steps()[: -self.newest]:
                if not is_kept(old):
                    shutil.rmtree(self._path(old))

    def newest_whole(self) -> int | None:
        """The step of the newest checkpoint whose sums hold, or None. Damaged ones are named and removed.

        Raises:
            InputError: it belongs to another recipe.
            OSError: the file system fails; nothing is removed then.
        """
        for leftover in self.folder.glob(".tmp-*"):
            shutil.rmtree(leftover)
        for step in reversed(self._steps()):
            if self.is_whole(step):
                if (found := self.state(step)["fingerprint"]) != self.fingerprint:
                    raise InputError(
                        f"{self._path(step)}: a checkpoint of another recipe (fingerprint {found}, this one's is "
                        f"{self.fingerprint}); move it away"
                    )
                return step
            logger.warning("%s is damaged and removed; falling back to the one before it", self._path(step))
            shutil.rmtree(self._path(step))
        return None

    def is_whole(self, step: int) -> bool:
        """Whether there is a checkpoint of `step` and its sums hold.

        Raises:
            OSError: a file is there and cannot be read, which says nothing about what is in it.
        """
        try:
            sums = json.loads((self._path(step) / SUMS).read_text())
            return all(sha256_file(self._path(step) / name) == checksum for name, checksum in sums.items())
        except (FileNotFoundError, ValueError):
            return False

    def state(self, step: int) -> dict[str, Any]:
        """The plain values of a checkpoint."""
        return dict(json.loads((self._path(step) / STATE).read_text()))

    def load(self, step: int, prefix: str = "") -> dict[str, torch.Tensor]:
        """The tensors of a whole checkpoint whose names begin with `prefix`, on the CPU.

        Check its sums first: the library does not notice changed bytes, and its index is a pickle.
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
        """The model's weights in a whole checkpoint, for its `load_state_dict`."""
        return {name.removeprefix(MODEL): value for name, value in self.load(step, MODEL).items()}

    def _path(self, step: int) -> Path:
        return self.folder / f"step-{step:08d}"

    def _steps(self) -> list[int]:
        return sorted(int(path.name.removeprefix("step-")) for path in self.folder.glob("step-*"))


def tensors_of(model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    """Everything that training changes: the model's weights, and what the optimiser remembers of each."""
    names: dict[torch.Tensor, str] = {parameter: name for name, parameter in model.named_parameters()}
    return {f"{MODEL}{name}": value for name, value in model.state_dict().items()} | {
        f"{OPTIMIZER}{names[parameter]}.{key}": value
        for parameter, memory in optimizer.state.items()
        for key, value in memory.items()
    }


def restore(tensors: Mapping[str, torch.Tensor], model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Put back what `tensors_of` gave."""
    model.load_state_dict(
        {name.removeprefix(MODEL): value for name, value in tensors.items() if name.startswith(MODEL)}
    )
    names = {parameter: name for name, parameter in model.named_parameters()}
    ordered = [names[parameter] for group in optimizer.param_groups for parameter in group["params"]]
    memories: dict[int, dict[str, torch.Tensor]] = {}
    places = {name: place for place, name in enumerate(ordered)}
    for name, value in tensors.items():
        if name.startswith(OPTIMIZER):
            parameter, _, key = name.removeprefix(OPTIMIZER).rpartition(".")
            memories.setdefault(places[parameter], {})[key] = value
    optimizer.load_state_dict({"state": memories, "param_groups": optimizer.state_dict()["param_groups"]})


def _flush_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
