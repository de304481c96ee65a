"""The commands of the quickstart work: the config is written, the run is planned."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.messages import says

ROOT = Path(__file__).resolve().parents[2]
QUICKSTART = (ROOT / "docs/quickstart.md").read_text()
REAL = os.environ.get("TREEOFLIFE_REAL_DATA")
LINES = [line for block in re.findall(r"```sh\n(.*?)```", QUICKSTART, re.S) for line in block.splitlines()]


def draw(folder: Path) -> None:
    for species in ("Pica_pica", "Corvus corax", "Garrulus_glandarius"):
        (folder / species).mkdir(parents=True)
        for number in range(6):
            pixels = np.random.default_rng(number + 10 * len(species)).integers(0, 255, (70, 70, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / species / f"{number}.jpg")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home folder with `photos`, and the project in place of the clone."""
    (tmp_path / "treeoflife").symlink_to(ROOT)
    if REAL is not None:
        (tmp_path / "photos").symlink_to(Path(REAL) / "real/photos")
    else:
        draw(tmp_path / "photos")
    (tmp_path / "new.jpg").symlink_to(next((tmp_path / "photos").rglob("*.jpg")))
    return tmp_path


def follow(home: Path, *lines: str) -> subprocess.CompletedProcess[str]:
    """Run command lines in a shell with the environment activated."""
    environment = os.environ | {"HOME": str(home), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    script = "\n".join(["set -e", *lines])
    return subprocess.run(
        ["bash", "-c", script], cwd=home, env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.slow
def test_the_quickstart_is_followed_line_by_line(home: Path) -> None:
    clone, enter_clone, setup, activate, make_folder, enter, init, plan, run, predict = LINES
    assert clone.startswith("git clone ") and clone.endswith(" ~/treeoflife")
    assert activate == "source .venv/bin/activate"
    # In this test, PYTHONPATH replaces the `.pth` file that lets commands run from any folder.
    installed = follow(home, enter_clone, setup.replace("make ", "make -n PYTHON=python3 --always-make "))
    assert says(installed.stdout, "envs/workflow.lock", "whl/cpu", "treeoflife.pth"), installed.stderr

    looked = follow(home, make_folder, enter, init)
    assert looked.returncode == 0, looked.stderr
    written = re.findall(r"```text\n(.*?)```", QUICKSTART, re.S)[1]
    assert says(
        written, "photos of", "problems:", "held out for testing", "wrote config/config.yaml, config/photos_test.csv"
    )
    if REAL is not None:
        assert says(looked.stdout, *written.splitlines())
    assert "next: " in looked.stdout

    assert plan.split()[:2] == [run.split()[0], "-n"]
    looked = follow(home, enter, plan)
    assert looked.returncode == 0, looked.stderr
    assert re.search(r"^  train +\d+  train_run\b.*", looked.stderr, re.M), looked.stderr
    assert len((looked.stdout + looked.stderr).splitlines()) < 24
    jobs = follow(home, enter, f"{run} -n -p")
    assert jobs.returncode == 0, jobs.stderr
    assert says(jobs.stderr, "config config/config.yaml, corpus photos, run small")
    assert "missing: " not in jobs.stderr
    assert says(jobs.stdout, "catalog.folders", "train.run ", "results/runs/small/report/index.html")
    (model,) = re.findall(r"--model (\S+)", predict)
    assert f"{model}/open_clip_config.json" in jobs.stdout
    # Nothing was trained, so the only error is the missing model.
    asked = follow(home, enter, predict)
    assert (asked.returncode, asked.stderr.count("\n")) == (2, 1), asked.stderr
    assert says(asked.stderr, "error: ", model)
