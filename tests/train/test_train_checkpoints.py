"""Checkpoints: atomic, verified, kept as requested, bound to one recipe."""

import errno
import time
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist

from tests.train.processes import CONTEXT, join
from workflow_scripts.common.errors import InputError
from workflow_scripts.common.files import write_json
from workflow_scripts.train import checkpoint
from workflow_scripts.train.checkpoint import Checkpoints, restore, tensors_of
from workflow_scripts.train.ranks import Ranks

Pair = tuple[torch.nn.Module, torch.optim.Optimizer]


def trained(steps: int) -> Pair:
    """A small model with a frozen parameter, and its optimiser, after some steps."""
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Linear(4, 2))
    model[0].bias.requires_grad_(False)
    groups = [{"params": [model[1].weight, model[1].bias]}, {"params": [model[0].weight], "lr": 0.5}]
    optimizer = torch.optim.AdamW(groups, lr=0.1, fused=True)
    for step in range(steps):
        model(torch.full((2, 3), float(step))).sum().backward()
        optimizer.step()
        optimizer.zero_grad()
    return model, optimizer


def save(checkpoints: Checkpoints, step: int, pair: Pair, **others) -> None:
    checkpoints.save(step, tensors_of(*pair), {"done": {"steps": step}}, **others)


def damage(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)


@pytest.mark.parametrize("steps", [0, 4])
def test_weights_and_optimiser_state_are_restored(steps: int, tmp_path: Path) -> None:
    model, optimizer = pair = trained(steps)
    checkpoints = Checkpoints(tmp_path, "recipe", newest=1)
    save(checkpoints, steps, pair)
    assert checkpoints.newest_intact() == steps
    assert checkpoints.state(steps)["done"] == {"steps": steps}
    found, found_optimizer = trained(1 if steps else 0)
    restore(checkpoints.load(steps), found, found_optimizer)
    for (name, one), other in zip(model.named_parameters(), found.parameters(), strict=True):
        assert torch.equal(one, other), name
        assert optimizer.state.get(one, {}).keys() == found_optimizer.state.get(other, {}).keys()
        for key, value in optimizer.state.get(one, {}).items():
            assert torch.equal(value, found_optimizer.state[other][key]), (name, key)
    assert [group["lr"] for group in found_optimizer.param_groups] == [0.1, 0.5]


def one_rank(rank: int, size: int, folder: Path) -> None:
    torch.set_num_threads(1)

    def slowly(path: Path, value: Any) -> None:
        time.sleep(1)
        write_json(path, value)

    checkpoint.write_json = slowly
    with Ranks(rank, size, rank, size, dist.FileStore(str(folder / "store"), size)).process_group():
        save(Checkpoints(folder / "checkpoints", "recipe", newest=1), 4, trained(4))
        # When a rank exits, torchrun ends the others.
        assert (folder / "checkpoints/step-00000004").is_dir()


def test_ranks_write_a_checkpoint_together_and_one_process_reads_it(tmp_path: Path) -> None:
    children = [CONTEXT.Process(target=one_rank, args=(rank, 2, tmp_path)) for rank in range(2)]
    for child in children:
        child.start()
    join(children)
    checkpoints = Checkpoints(tmp_path / "checkpoints", "recipe", newest=1)
    assert checkpoints.newest_intact() == 4
    files = {path.name for path in (tmp_path / "checkpoints/step-00000004").iterdir()}
    assert {"__0_0.distcp", "__1_0.distcp", ".metadata", "state.json", "sums.json"} == files
    expected = tensors_of(*trained(4))
    found = checkpoints.load(4)
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_the_newest_and_the_requested_checkpoints_are_kept(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, "recipe", newest=2)
    for step in (5, 10, 15, 20, 25):
        save(checkpoints, step, trained(0), is_kept=lambda step: step == 10)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-00000010", "step-00000020", "step-00000025"]


@pytest.mark.parametrize("file", ["__0_0.distcp", ".metadata", "state.json"])
def test_damaged_checkpoints_are_reported_and_the_previous_one_is_used(
    file: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    checkpoints = Checkpoints(tmp_path, "recipe", newest=3)
    for step in (5, 10, 15):
        save(checkpoints, step, trained(1))
    damage(tmp_path / "step-00000015" / file)
    (tmp_path / "step-00000010" / "sums.json").unlink()
    (tmp_path / ".tmp-step-00000020").mkdir()
    assert checkpoints.newest_intact() == 5
    assert all(any(name in line for line in caplog.messages) for name in ("step-00000015", "step-00000010"))
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000005"]


def test_a_read_error_removes_no_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoints = Checkpoints(tmp_path, "recipe", newest=2)
    for step in (5, 10):
        save(checkpoints, step, trained(1))

    def fails(path: Path) -> str:
        raise OSError(errno.EIO, "Input/output error", str(path))

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "sha256_file", fails)
        with pytest.raises(OSError, match=r"Input/output error: .*step-00000010"):
            checkpoints.newest_intact()
    assert checkpoints.newest_intact() == 10


def test_a_checkpoint_of_another_recipe_is_refused(tmp_path: Path) -> None:
    save(Checkpoints(tmp_path, "one", newest=1), 5, trained(1))
    with pytest.raises(InputError, match=r"step-00000005: .*\bother\b.*\bone\b.*move it"):
        Checkpoints(tmp_path, "other", newest=1).newest_intact()
