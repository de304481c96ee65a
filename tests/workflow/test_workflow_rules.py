"""Each rule file can be read alone: its names are defined there or in common.smk, or imported by name."""

import ast
import builtins
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from snakemake.parser import parse

ROOT = Path(__file__).resolve().parents[2]
RULES = ROOT / "rules"
# What Snakemake itself gives to a rule file.
SNAKEMAKE = {
    *("workflow", "config", "rules", "input", "output", "params", "wildcards", "threads", "resources", "log"),
    *("expand", "multiext", "unpack", "ancient", "subpath", "report", "shell", "update_config", "os", "snakemake"),
}


def tree(file: Path) -> ast.Module:
    """A rule file as the Python that Snakemake makes of it."""
    source = SimpleNamespace(get_path_or_uri=lambda secret_free: str(file))
    workflow: Any = SimpleNamespace(sourcecache=SimpleNamespace(open=lambda path: file.open()), modifier=None)
    code, _ = parse(source, workflow, {})
    return ast.parse(code)


def defined(module: ast.Module) -> set[str]:
    return {name for node in ast.walk(module) for name in _defined(node)}


def _defined(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
        yield node.id
    elif isinstance(node, ast.FunctionDef | ast.ClassDef):
        yield node.name
    elif isinstance(node, ast.arg):
        yield node.arg
    elif isinstance(node, ast.alias):
        yield (node.asname or node.name).split(".")[0]
    elif isinstance(node, ast.ExceptHandler) and node.name:
        yield node.name


def used(module: ast.Module) -> set[str]:
    return {node.id for node in ast.walk(module) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}


COMMON = defined(tree(RULES / "common.smk"))


@pytest.mark.parametrize("file", sorted(RULES.glob("*.smk")), ids=lambda file: file.stem)
def test_a_rule_file_uses_names_of_its_own_of_common_or_of_imports(file: Path) -> None:
    module = tree(file)
    foreign = used(module) - defined(module) - COMMON - SNAKEMAKE - set(dir(builtins))
    assert {name for name in foreign if not name.startswith("__")} == set()


@pytest.mark.parametrize("file", [ROOT / "Snakefile", *sorted(RULES.glob("*.smk"))], ids=lambda file: file.stem)
def test_paths_in_rules_double_no_braces(file: Path) -> None:
    assert [line for line in file.read_text().splitlines() if "{{" in line] == []
