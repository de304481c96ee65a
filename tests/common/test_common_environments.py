"""Every way to get the environment installs the one lock."""

import re
import tomllib
from importlib.metadata import version
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
LOCK = ROOT / "envs/requirements.lock"
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


def test_conda_and_images_install_the_lock_and_nothing_else() -> None:
    python = re.compile(r"python[=:](\d\.\d+)")
    conda = (ROOT / "envs/workflow.yaml").read_text()
    assert yaml.safe_load(conda)["dependencies"][1:] == ["pip", {"pip": ["-r requirements.lock"]}]
    versions = set(python.findall(conda))
    for recipe in ("envs/Dockerfile", "envs/workflow.def"):
        text = (ROOT / recipe).read_text()
        installs = re.findall(r"pip install (.*)", text)
        assert installs and all(line.endswith("requirements.lock") for line in installs)
        assert not re.search(r"(apt-get|apk|conda|dnf) ", text)
        versions |= set(python.findall(text))
    allowed = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    assert versions == {"3.11"}
    assert allowed.startswith(">=3.11")
