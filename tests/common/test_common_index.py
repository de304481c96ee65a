"""`python -m workflow_scripts` lists the commands for people."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from workflow_scripts.__main__ import COMMANDS, summary_of

ROOT = Path(__file__).resolve().parents[2]
LISTED = [module for modules in COMMANDS.values() for module in modules]
RULES = "\n".join(path.read_text() for path in [ROOT / "Snakefile", *(ROOT / "rules").glob("*.smk")])
# Commands that neither people nor rule files call: launchers, and commands that profiles, make and run call.
OTHERS = {
    *("common.controller", "common.config.document", "common.entry"),
    *("train.launch", "world.launch", "train.run", "train.slots"),
}


BY_CONFIG = re.compile(r"catalog\.\w+|evaluate\.\w+\.(index|score)|screen\.\w+")


def is_command(path: Path) -> bool:
    return any(
        isinstance(node, ast.If) and ast.unparse(node.test) == "__name__ == '__main__'"
        for node in ast.parse(path.read_text()).body
    )


def test_the_index_names_each_command_with_its_own_summary() -> None:
    done = subprocess.run([sys.executable, "-m", "workflow_scripts"], capture_output=True, text=True, check=True)
    printed = " ".join(done.stdout.split())
    for purpose, modules in COMMANDS.items():
        assert f"{purpose}:" in printed
        for module in modules:
            assert f"{module} {summary_of(module)}" in printed


@pytest.mark.parametrize("module", LISTED)
def test_each_listed_module_is_a_command_with_a_summary(module: str) -> None:
    path = ROOT.joinpath("workflow_scripts", *module.split(".")).with_suffix(".py")
    assert is_command(path)
    assert len(summary_of(module)) > 20


def test_commands_in_the_docs_are_listed() -> None:
    texts = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    typed = {name for path in texts for name in re.findall(r"python -m workflow_scripts\.([\w.]*\w)", path.read_text())}
    # The page's example of a step that only a rule calls.
    assert typed - {"taxonomy.resolve"} <= set(LISTED)


def test_each_command_is_called_by_a_rule_or_listed() -> None:
    commands = {
        ".".join(path.relative_to(ROOT / "workflow_scripts").with_suffix("").parts)
        for path in (ROOT / "workflow_scripts").rglob("*.py")
        if path.name != "__main__.py" and is_command(path)
    }
    # The config names readers and layouts; the takedown calls each stage's `forget`.
    called = {
        name
        for name in commands
        if re.search(rf"\b{re.escape(name)}\b", RULES) or BY_CONFIG.fullmatch(name) or name.endswith(".forget")
    }
    assert commands - called - set(LISTED) - OTHERS == set()
