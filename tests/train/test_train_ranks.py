"""The end of a rank's process group, after success and after failure."""

import sys
import time
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
import torch.distributed as dist

from tests.train.processes import CONTEXT
from workflow_scripts.common import clip
from workflow_scripts.common.config.train import ModelSettings, TrainSettings
from workflow_scripts.train.forward import Forward
from workflow_scripts.train.model import starting_model
from workflow_scripts.train.ranks import Ranks

SIZE = 2
SETTINGS = TrainSettings(epochs=1, global_batch=4, precision="fp32", allow_cpu=True)


def one_rank(rank: int, start: Path, settings: ModelSettings, folder: Path) -> None:
    torch.set_num_threads(1)
    ranks = Ranks(rank, SIZE, rank, SIZE, dist.FileStore(str(folder / "store"), SIZE))
    numbers = torch.ones(3)
    with ranks.process_group():
        loaded = clip.load(f"local-dir:{start}")
        forward = Forward(starting_model(loaded, settings, SETTINGS, second_projector=True), loaded, SETTINGS, ranks)
        images = torch.zeros((2, 32, 32, 3), dtype=torch.uint8)
        forward.backward(images, torch.ones((2, 32), dtype=torch.int32), [2, 0])
        if rank:
            time.sleep(1)
            dist.all_reduce(numbers)
        else:
            dist.all_reduce(numbers, async_op=True)
            # From here on, other threads get the GIL only when this one releases it.
            sys.setswitchinterval(60)
    if not rank:
        end = time.monotonic() + 8
        while time.monotonic() < end:
            pass


@pytest.mark.slow
def test_a_rank_ends_while_a_thread_of_gloo_waits_for_the_interpreter(
    start: Path, model_settings: ModelSettings, tmp_path: Path
) -> None:
    given = {"start": start, "settings": model_settings, "folder": tmp_path}
    children = [CONTEXT.Process(target=one_rank, args=(rank,), kwargs=given) for rank in range(SIZE)]
    for child in children:
        child.start()
    ends = []
    for child in children:
        child.join(30)
        ends.append(child.exitcode)
        child.kill()
        child.join()
    assert ends == [0] * SIZE


@pytest.mark.parametrize("fails", [False, True])
def test_only_successful_ranks_destroy_the_process_group(fails: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    ends = []
    monkeypatch.setattr(dist, "init_process_group", lambda *_, **__: None)
    monkeypatch.setattr(dist, "destroy_process_group", lambda: ends.append("together"))
    with (
        pytest.raises(OSError, match="disk full") if fails else nullcontext(),
        Ranks(1, 2, 1, 2, dist.HashStore()).process_group(),
    ):
        if fails:
            raise OSError("disk full")
    assert ends == ([] if fails else ["together"])
