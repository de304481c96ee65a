"""What no file of the product does, whatever data it is given."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted((ROOT / "workflow_scripts").rglob("*.py"))
# Each loads objects, not data, and so runs what a stranger wrote.
LOADERS = {"pickle.load", "pickle.loads", "marshal.load", "marshal.loads", "shelve.open", "joblib.load", "dill.load"}
LOADERS |= {"yaml.load", "yaml.unsafe_load", "yaml.full_load", "eval", "exec", "compile", "__import__"}
SHELLS = {"os.system", "os.popen", "subprocess.getoutput", "subprocess.getstatusoutput"}


def calls(file: Path) -> Iterator[tuple[str, ast.Call]]:
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


def keyword(call: ast.Call, name: str) -> str | None:
    return next((ast.unparse(word.value) for word in call.keywords if word.arg == name), None)


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_data_never_becomes_code(file: Path) -> None:
    for name, call in calls(file):
        where = f"{file.name}:{call.lineno}: {name}"
        assert name not in LOADERS | SHELLS, where
        if name.endswith("torch.load"):
            assert keyword(call, "weights_only") == "True", where
        if name in ("np.load", "numpy.load"):
            assert keyword(call, "allow_pickle") in (None, "False"), where
        assert keyword(call, "shell") in (None, "False"), where
        # Members of archives are read as streams: their names are never paths.
        assert not re.search(r"\b(tar|tarfile|zip|archive)\w*\.(extract|extractall)$", name), where


def test_every_dependency_is_pinned() -> None:
    lines = [line.strip() for line in (ROOT / "envs/requirements.lock").read_text().splitlines()]
    loose = [
        line for line in lines if line and not line.startswith("#") and not re.fullmatch(r"[\w.\[\]-]+==[\w.!+]+", line)
    ]
    assert loose == []
    pinned = {line.split("==")[0].lower().replace("_", "-") for line in lines if "==" in line}
    wanted = re.findall(r"^([A-Za-z][\w.-]*)", (ROOT / "envs/requirements.in").read_text(), re.MULTILINE)
    assert {name.lower().replace("_", "-") for name in wanted} <= pinned
