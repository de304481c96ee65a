"""Every way to get the environment installs the one lock."""

import re
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml
from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).resolve().parents[2]
LOCK = ROOT / "envs/requirements.lock"
PYTHON = "3.11"
PIN = re.compile(r"^([\w.-]+)==(\S+)$")


def pins(file: Path) -> dict[str, str]:
    lines = [line for line in file.read_text().splitlines() if line and not line.startswith("#")]
    found = [PIN.match(line) for line in lines]
    return {match[1].lower().replace("_", "-"): match[2] for match in found if match}


def test_the_lock_pins_everything_and_what_is_asked_for() -> None:
    lines = [line for line in LOCK.read_text().splitlines() if line and not line.startswith("#")]
    assert len(pins(LOCK)) == len(lines)
    asked = [line for line in (ROOT / "envs/requirements.in").read_text().splitlines() if line and line[0] != "#"]
    assert {re.split("==", name)[0].lower().replace("_", "-") for name in asked} <= set(pins(LOCK))
    assert pins(ROOT / "envs/requirements.in").items() <= pins(LOCK).items()


def test_these_tests_run_on_the_lock() -> None:
    # Builds of torch for one accelerator or another bear its name behind a plus.
    assert {name: version(name).split("+")[0] for name in pins(LOCK)} == pins(LOCK)


def test_conda_installs_the_lock_and_nothing_else() -> None:
    conda = yaml.safe_load((ROOT / "envs/workflow.yaml").read_text())
    assert conda["dependencies"] == [f"python={PYTHON}", "pip", {"pip": ["-r requirements.lock"]}]


# With the folder that each is built in, as its first line says.
@pytest.mark.parametrize(("recipe", "folder"), [("envs/Dockerfile", "envs"), ("envs/workflow.def", ".")])
def test_images_install_the_lock_and_nothing_else(recipe: str, folder: str) -> None:
    text = (ROOT / recipe).read_text()
    # `slim` has no compiler, which what has no wheel needs.
    assert re.findall(r"^from:? (?:docker.io/library/)?(.+)$", text, re.M | re.I) == [f"python:{PYTHON}-bookworm"]
    ((given, inside),) = re.findall(r"^(?:COPY|   ) ([\w./]+) (/opt/[\w.]+)$", text, re.M)
    assert (ROOT / folder / given).resolve() == LOCK
    assert re.findall(r"pip install (.*)", text) == [f"--no-cache-dir --requirement {inside}"]
    assert not re.search(r"(apt-get|apk|conda|dnf) ", text)
    assert "PYTHONNOUSERSITE=1" in text


def test_the_python_of_images_and_conda_is_allowed() -> None:
    allowed = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    assert PYTHON in SpecifierSet(allowed)
