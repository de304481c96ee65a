"""`make device` needs PyTorch and little else, ends in time whatever its rows do, and detects errors of the trainer."""

import json
import os
import subprocess
import sys
from collections.abc import Iterable
from importlib.metadata import distribution
from pathlib import Path

import pytest
import torch
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
MIB = 2**20
MODELS = ("ViT-B-16", "ViT-L-14", "ViT-H-14")
LISTED = [line for line in (ROOT / "envs/device.in").read_text().splitlines() if line and not line.startswith("#")]
# PyTorch imports NumPy if it is installed.
OF_THE_MACHINE = ("torch", "numpy")


def required_by(names: Iterable[str]) -> set[str]:
    """The distributions of these names and all their dependencies."""
    found: set[str] = set()
    todo = list(names)
    while todo:
        name = canonicalize_name(todo.pop())
        if name not in found:
            found.add(name)
            needs = [Requirement(line) for line in distribution(name).requires or []]
            todo += [need.name for need in needs if need.marker is None or need.marker.evaluate({"extra": ""})]
    return found


def packages(folder: Path, names: Iterable[str]) -> Path:
    """A folder with links to these installed distributions and no others."""
    folder.mkdir()
    for name in names:
        found = distribution(name)
        for top in {file.parts[0] for file in found.files or [] if file.parts[0] != ".."}:
            if not (folder / top).exists():
                (folder / top).symlink_to(Path(str(found.locate_file(top))))
    return folder


def python(
    *words: str | Path, folder: Path, path: Iterable[Path] = (), isolated: bool = True, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run Python in a folder; if isolated, only with the packages on the path."""
    places = os.pathsep.join(map(str, (ROOT, HERE, *path)))
    return subprocess.run(
        [sys.executable, *(["-S"] if isolated else []), *map(str, words)],
        cwd=folder,
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "PYTHONPATH": places,
            "OMP_NUM_THREADS": "1",
            **environment,
        },
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
def test_it_runs_to_its_end_with_pytorch_and_the_listed_packages_alone(tmp_path: Path) -> None:
    site = packages(tmp_path / "site", required_by(OF_THE_MACHINE) | set(LISTED))
    (tmp_path / "config").mkdir()
    (tmp_path / "config/site.yaml").write_text("results: elsewhere\n")
    done = python(HERE / "device.py", folder=tmp_path, path=[site], SMALL="1")
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads((tmp_path / "elsewhere/device-small.json").read_text())
    rows = {row["row"]: row for row in found["rows"]}
    assert found["skipped"] == []
    assert not [row for row in rows.values() if "error" in row]
    for model in MODELS[:2]:
        eager, compiled = rows[f"training {model} bf16"], rows[f"training {model} bf16 compiled"]
        assert eager["eager_loss"] is None
        assert compiled["loss"] == pytest.approx(eager["loss"], rel=0.01)
        assert rows[f"beside open_clip_train {model} bf16"]["theirs"]["samples_per_second"] > 0
    assert rows["training ViT-H-14 pure_bf16"]["speed"]["tflops"] > 0
    for model in MODELS:
        assert rows[f"embedding {model}"]["speed"]["samples_per_second"] > 0
        assert any(name.startswith(f"rehearsal {model}") for name in rows)
    assert rows["rehearsal ViT-L-14 bf16 checkpointing"]["pairs_at_once"] == 8
    exact = rows["correctness ViT-B-16"]
    assert all(0 < distance < exact["allowed"][name] for name, distance in exact["distances"].items())


def test_what_must_be_carried_to_a_machine_with_pytorch_is_small() -> None:
    sizes = {
        name: sum(
            Path(str(file.locate())).stat().st_size
            for file in distribution(name).files or []
            if file.suffix != ".pyc" and Path(str(file.locate())).is_file()
        )
        for name in LISTED
    }
    assert min(sizes.values()) > 0
    assert sum(sizes.values()) < 64 * MIB


def test_flops_are_those_that_open_clip_publishes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(HERE))
    # Makes torchvision importable, whatever PyTorch it was built for.
    from workflow_scripts.common import open_clip_models  # noqa: F401, I001
    import device_rows

    # open_clip's docs/model_profile.csv: GFLOPs of the image, and of image and text.
    for model, image, both in (("ViT-B-16", 35.13, 41.09), ("ViT-L-14", 162.03, 175.33)):
        assert device_rows.image_flops(model) / 1e9 == pytest.approx(image, rel=1e-3)
        assert device_rows.training_flops(model) / 3e9 == pytest.approx(both, rel=1e-3)


# A bench with rows that pass, fail their bounds, raise, are too long for the remaining time, and never end.
ROWS = """
import sys, time
from dataclasses import make_dataclass
from pathlib import Path
from types import SimpleNamespace
import device

Good = make_dataclass("Good", ["value", "within"])
def endless():
    while True:
        try:
            time.sleep(0.01)
        except Exception:
            pass
def broken():
    raise RuntimeError("out of luck\\nand more")
ALL = {
    "good": device.Check("good", 1, lambda: Good(1.5, True)),
    "wrong": device.Check("wrong", 1, lambda: Good(1.5, False)),
    "broken": device.Check("broken", 1, broken),
    "long": device.Check("long", 1e6, lambda: Good(1.5, True)),
    "endless": device.Check("endless", 0.3, endless),
}
rows = SimpleNamespace(find_machine=make_dataclass("Machine", []), free=lambda: None)
device.ready = lambda: (rows, Path("results"))
device.checks = lambda *_: [ALL[name] for name in sys.argv[1:]]
sys.exit(device.main())
"""


@pytest.mark.parametrize(
    ("names", "status", "measured", "skipped"),
    [
        (["good", "long", "endless", "good"], 0, ["good", "good"], ["long", "endless"]),
        (["wrong", "good"], 1, ["wrong", "good"], []),
        (["broken", "good"], 1, ["broken", "good"], []),
    ],
)
def test_it_ends_in_time_and_names_what_it_left_out(
    names: list[str], status: int, measured: list[str], skipped: list[str], tmp_path: Path
) -> None:
    done = python("-c", ROWS, *names, folder=tmp_path, isolated=False)
    assert done.returncode == status, done.stdout + done.stderr
    found = json.loads((tmp_path / "results/device.json").read_text())
    assert [row["row"] for row in found["rows"]] == measured
    assert found["skipped"] == skipped
    if "broken" in names:
        assert found["rows"][0]["error"] == "RuntimeError: out of luck"


# A trainer with wrong features in one precision, a peer with another loss, and a step that needs more memory than was
# rehearsed.
WRONG = """
import json
import device

rows, _ = device.ready()
machine = rows.find_machine()
features = rows.Forward.features
def rolled(self, *given, **others):
    image, text, scale = features(self, *given, **others)
    return (image.roll(1, 0) if self.settings.precision == "bf16" else image), text, scale
rows.Forward.features = rolled
found = rows.correctness(machine, "ViT-B-16")
rows.Forward.features = features
class OtherLoss(rows.ClipLoss):
    def forward(self, image_features, text_features, logit_scale, **others):
        return super().forward(image_features, text_features.roll(1, 0), logit_scale * 2, **others)
rows.ClipLoss = OtherLoss
beside = rows.beside_open_clip(machine, "ViT-B-16", "bf16", 8)
def step(self, batch):
    raise rows.torch.OutOfMemoryError
rows.Trainer.step = step
memory = rows.rehearsal(machine, "ViT-B-16", "bf16", (8,), grad_checkpointing=False)
near = {name: distance <= found.allowed[name] for name, distance in found.distances.items()}
print(json.dumps([near, found.within, beside.within, memory.within]))
"""


@pytest.mark.slow
def test_it_sees_wrong_losses_and_a_rehearsal_that_promised_too_much(tmp_path: Path) -> None:
    done = python("-c", WRONG, folder=tmp_path, isolated=False, SMALL="1")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [{"bf16": False, "pure_bf16": True}, False, False, False]


def test_a_python_without_pytorch_is_named(tmp_path: Path) -> None:
    done = python(HERE / "device.py", folder=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert all(word in done.stderr for word in (sys.executable, "torch", "PYTHON="))
    assert len(done.stderr.splitlines()) == 1


def test_a_package_that_is_missing_is_named_with_the_way_to_carry_it(tmp_path: Path) -> None:
    names = required_by(OF_THE_MACHINE) | set(LISTED) - {"ftfy"}
    done = python(HERE / "device.py", folder=tmp_path, path=[packages(tmp_path / "site", names)], SMALL="1")
    assert (done.returncode, done.stdout) == (2, "")
    assert all(word in done.stderr for word in ("ftfy", "make device-packages", ".device"))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_runs_only_when_it_is_told_to(tmp_path: Path) -> None:
    done = python(HERE / "device.py", folder=tmp_path, isolated=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert "GPU" in done.stderr and "SMALL=1" in done.stderr
