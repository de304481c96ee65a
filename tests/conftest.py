"""Steps that tests start as commands find the project, and use one thread each; tests may fork and run side by side."""

import compileall
import fcntl
import gc
import importlib
import os
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.slurm.cluster import Cluster, missing_programs, running_cluster

ROOT = Path(__file__).resolve().parents[1]
# Longest first, and what waits beside what computes: no worker is left with the last of these alone.
FIRST = (
    "workflow/test_workflow_end_to_end.py",
    "train/test_train_slurm.py",
    "train",
    "workflow",
    "bench",
)
MICRO_PORTS = range(18_931, 18_991)
HELD = pytest.StashKey[object]()

os.environ["PYTHONPATH"] = str(ROOT)
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Workers and their jobs have more threads than there are cores: torch's threads must sleep while they wait, not spin.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"

# How long a busy machine takes to draw an example says nothing of the project.
settings.register_profile("any machine", suppress_health_check=[HealthCheck.too_slow], deadline=None)
settings.load_profile("any machine")

# A forked rank must not free what earlier tests left to the collector: that may wait for threads it does not have.
os.register_at_fork(after_in_child=gc.freeze)


def pytest_configure(config: pytest.Config) -> None:
    """Take a port for the micro world, which all workers of this session share and no other session has.

    Compile the project, once for its many copies.
    """
    if "MICRO_PORT" in os.environ:
        return
    compileall.compile_dir(ROOT / "workflow_scripts", quiet=1)
    for port in MICRO_PORTS:
        lock = (Path(tempfile.gettempdir()) / f"treeoflife-port-{port}.lock").open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            continue
        # Held until this process ends.
        config.stash[HELD] = lock
        os.environ["MICRO_PORT"] = str(port)
        return
    raise pytest.UsageError(f"all ports from {MICRO_PORTS[0]} to {MICRO_PORTS[-1]} are taken by other sessions")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Order the files for a few workers."""

    def place(item: pytest.Item) -> int:
        name = item.path.relative_to(ROOT / "tests").as_posix()
        return next((number for number, start in enumerate(FIRST) if name.startswith(start)), len(FIRST))

    items.sort(key=place)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Workers send what a test printed as UTF-8; names of files may be none."""
    report = yield
    report.sections = [
        (name, text.encode("utf-8", "backslashreplace").decode("utf-8")) for name, text in report.sections
    ]
    return report


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A real Slurm on this machine."""
    if missing := missing_programs():
        pytest.skip(f"no Slurm here, left out (no {', '.join(missing)}; apt-get install slurm-wlm munge)")
    with running_cluster() as cluster:
        yield cluster


@pytest.fixture(scope="session")
def vision_model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A tiny timm model with random weights, saved as its library saves one."""
    importlib.import_module("workflow_scripts.common.open_clip_models")
    timm, torch = importlib.import_module("timm"), importlib.import_module("torch")
    folder = tmp_path_factory.mktemp("vision") / "vit"
    arguments = {"img_size": 32, "patch_size": 16, "embed_dim": 24, "depth": 1, "num_heads": 2}
    torch.manual_seed(0)
    model = timm.create_model("vit_tiny_patch16_224", **arguments)
    described = {"input_size": (3, 32, 32), "mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
    timm.models.save_for_hf(model, folder, model_config=described, model_args=arguments, safe_serialization=True)
    return f"timm:local-dir:{folder}"
