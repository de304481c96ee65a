"""What no file of the product does, whatever data it is given."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted((ROOT / "workflow_scripts").rglob("*.py"))
# Each loads objects, not data, and so runs what a stranger wrote.
LOADERS = {"pickle.load", "pickle.loads", "marshal.load", "marshal.loads", "shelve.open", "joblib.load", "dill.load"}
LOADERS |= {"yaml.load", "yaml.unsafe_load", "yaml.full_load", "eval", "exec", "compile", "__import__"}
LOADERS |= {"pd.read_pickle", "pandas.read_pickle", "torch.jit.load", "torch.hub.load", "pickle.Unpickler"}
SHELLS = {"os.system", "os.popen", "subprocess.getoutput", "subprocess.getstatusoutput"}
# Imported by other names, the checks of calls would not see them.
OPEN = LOADERS | SHELLS | {"torch.load", "numpy.load", "subprocess.run", "subprocess.Popen"}
RENAMED = {name.split(".")[0] for name in OPEN} - {"numpy", "pandas"}
UNPACKERS = {"extract", "extractall", "unpack_archive"}


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
        assert keyword(call, "trust_remote_code") in (None, "False"), where
        # Members of archives are read as streams: their names are never paths.
        assert name.split(".")[-1] not in UNPACKERS, where
        # What a shell is given to run stands in the code as it is.
        words = call.args[0].elts if call.args and isinstance(call.args[0], ast.List) else []
        if words and ast.unparse(words[0]).strip("'").endswith("sh"):
            assert isinstance(words[2], ast.Constant) or ast.unparse(words[2]).isupper(), where


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_what_can_load_objects_or_run_a_shell_is_called_by_its_full_name(file: Path) -> None:
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert not {f"{node.module}.{alias.name}" for alias in node.names} & OPEN, node.lineno
        if isinstance(node, ast.Import):
            assert not {alias.name for alias in node.names if alias.asname} & RENAMED, node.lineno
