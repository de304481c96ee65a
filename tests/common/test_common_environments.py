"""Every way to get the environment installs the same locks."""

import re
import subprocess
import sys
import tomllib
from hashlib import sha256
from importlib.metadata import packages_distributions, version
from pathlib import Path

import pytest
import yaml
from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).resolve().parents[2]
ENVS = ROOT / "envs"
PYTHON = "3.11"
PIN = re.compile(r"^([\w.-]+)==([^\s;]+)", re.M)
WORKFLOW = "--no-deps --require-hashes --requirement {}/workflow.lock"
TORCH = "--requirement {}/torch.txt"
# Asked for and imported by no module: commands, plugins, and what a library loads when it needs it.
NOT_IMPORTED = {"snakemake-executor-plugin-slurm", "torchvision", "pygments"}
# Imported by one judge of images, and installed only where it is asked for.
ON_REQUEST = {"onnxruntime"}


def normal(name: str) -> str:
    return re.sub(r"[._]", "-", name.lower())


def pins(file: str) -> dict[str, str]:
    return {normal(name): number for name, number in PIN.findall((ENVS / file).read_text())}


def asked(file: str) -> set[str]:
    lines = (ENVS / file).read_text().splitlines()
    return {normal(line.split("==")[0]) for line in lines if line and line[0] != "#"}


@pytest.mark.parametrize("name", ["workflow", "tests"])
def test_a_lock_pins_requirements_and_dependencies_with_hashes(name: str) -> None:
    lines = (ENVS / f"{name}.lock").read_text().splitlines()
    loose = [
        line for line in lines if not re.fullmatch(r"[\w.-]+==[\w.]+ \\|    --hash=sha256:[0-9a-f]{64}( \\)?", line)
    ]
    assert loose == []
    assert asked(f"{name}.in") <= set(pins(f"{name}.lock"))
    assert pins(f"{name}.in").items() <= pins(f"{name}.lock").items()


def test_torch_and_what_only_tests_need_are_apart() -> None:
    assert not pins("workflow.lock").keys() & pins("tests.lock").keys()
    apart = pins("torch.txt").keys()
    assert apart == {"torch", "torchvision"}
    assert not apart & (pins("workflow.lock").keys() | pins("tests.lock").keys())


def test_the_requirements_are_what_the_code_imports() -> None:
    code = [*(ROOT / "workflow_scripts").rglob("*.py"), ROOT / "Snakefile", *(ROOT / "rules").glob("*.smk")]
    imported = {
        name
        for file in code
        for name in re.findall(r"^\s*(?:import|from) (\w+)[\w.]*(?: import .*| as \w+|, .*)?$", file.read_text(), re.M)
    }
    libraries = packages_distributions()
    wanted = {
        normal(libraries[name][0]) for name in imported if name in libraries and name not in sys.stdlib_module_names
    }
    assert wanted - ON_REQUEST | NOT_IMPORTED == asked("workflow.in") | pins("torch.txt").keys()


def test_these_tests_run_on_the_locks() -> None:
    locked = pins("workflow.lock") | pins("tests.lock") | pins("faces.lock") | pins("torch.txt")
    # Builds of torch for one accelerator or another bear its name behind a plus.
    assert {name: version(name).split("+")[0] for name in locked} == locked


def installed_by(text: str) -> list[str]:
    return [words.replace("--no-cache-dir ", "") for words in re.findall(r"-m pip install (.*?)(?: \\)?$", text, re.M)]


def test_conda_installs_the_locks_and_nothing_else(tmp_path: Path) -> None:
    conda = yaml.safe_load((ENVS / "workflow.yaml").read_text())
    assert conda["dependencies"] == [f"python={PYTHON}", "pip"]
    script = ENVS / "workflow.post-deploy.sh"
    assert installed_by(script.read_text()) == [WORKFLOW.format("envs"), TORCH.format("envs")]
    # Snakemake takes the environment for another when this file differs: `make lock` writes the lock's digest into it.
    assert sha256((ENVS / "workflow.lock").read_bytes()).hexdigest() in script.read_text()
    (tmp_path / "envs").mkdir()
    (tmp_path / "envs/workflow.lock").write_text("other")
    assert subprocess.run(["bash", str(script)], cwd=tmp_path, capture_output=True, check=False).returncode != 0


# With the folder that each is built in, as its first line says.
@pytest.mark.parametrize(("recipe", "folder"), [("Dockerfile", ENVS), ("workflow.def", ROOT)])
def test_images_install_the_locks_and_nothing_else(recipe: str, folder: Path) -> None:
    text = (ENVS / recipe).read_text()
    # `slim` has no compiler, which torch.compile needs.
    assert re.findall(r"^from:? (?:docker.io/library/)?(.+)$", text, re.M | re.I) == [f"python:{PYTHON}-bookworm"]
    (copied,) = re.findall(r"^(?:COPY|%files)\s+((?:.+\n)+?)(?:RUN|\n)", text, re.M)
    given = {(folder / name).resolve() for name in copied.split() if not name.startswith("/")}
    assert given == {ENVS / "workflow.lock", ENVS / "torch.txt"}
    assert installed_by(text) == [WORKFLOW.format("/opt/envs"), TORCH.format("/opt/envs")]
    assert not re.search(r"(apt-get|apk|conda|dnf) ", text)
    assert "PYTHONNOUSERSITE=1" in text


def test_the_python_of_images_and_conda_is_allowed() -> None:
    allowed = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    assert PYTHON in SpecifierSet(allowed)
