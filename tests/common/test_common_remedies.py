"""Commands in messages have the options of the current run."""

import ast
import os
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from workflow_scripts.common import remedies
from workflow_scripts.common.config.root import sections
from workflow_scripts.common.remedies import OPTIONS, TYPED, remember_options, snakemake

ROOT = Path(__file__).resolve().parents[2]
CARRIED_OUT: list[tuple[str, str]] = [
    (name, test)
    for test, names in tomllib.loads((ROOT / "tests/common/carried_out.toml").read_text()).items()
    for name in names
]
"""Commands and keys that texts name, each with a test below `tests` that carries it out; two where texts differ."""


@pytest.fixture(autouse=True)
def _no_run(monkeypatch: pytest.MonkeyPatch) -> None:
    # Restored after the test, because `remember_options` sets it.
    monkeypatch.setenv(OPTIONS, "")
    monkeypatch.delenv(OPTIONS)
    monkeypatch.setattr(remedies.os, "environ", dict(os.environ))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            "data --profile profiles/local --configfile a.yaml b.yaml",
            "--profile profiles/local --configfile a.yaml b.yaml",
        ),
        ("--configfile=a.yaml -c4 -k data", "--configfile a.yaml -c4"),
        ("-c all --cores 8", "-c all --cores 8"),
        ("--snakefile=/a/Snakefile -n -d there", "--snakefile /a/Snakefile -d there"),
        ("all -n --config run=x redo=train 'train={lr: 1}'", "--config run=x 'train={lr: 1}'"),
        ("all --config keep=shards -j 3", ""),
    ],
)
def test_targets_come_first_and_what_concerns_one_run_alone_is_left_out(given: str, said: str) -> None:

    remember_options(shlex.split(given))
    assert snakemake("retry_failed") == f"snakemake retry_failed {said}".strip()


def test_further_values_join_those_of_the_run() -> None:
    remember_options(["all", "--config", "run=x", "--profile", "p"])
    assert snakemake("all", config=["redo=train"]) == "snakemake all --profile p --config run=x redo=train"


def test_without_a_run_the_config_must_be_given() -> None:
    assert snakemake("data", configfile="mine.yaml") == "snakemake data --profile profiles/local --configfile mine.yaml"
    assert snakemake("data").endswith("--configfile CONFIG")


def test_a_run_by_the_entry_is_named_as_typed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, TYPED, '["~/treeoflife/run", "-n", "--profile", "profiles/local"]')
    remember_options(["--snakefile=/a/Snakefile", "-n", "--profile", "/a/profiles/local"])
    assert shlex.split(snakemake("data")) == ["~/treeoflife/run", "data", "--profile", "profiles/local"]


def test_arguments_with_spaces_are_quoted() -> None:
    remember_options(["--configfile", "my config.yaml"])
    assert snakemake(str(Path("a b.parquet"))) == "snakemake 'a b.parquet' --configfile 'my config.yaml'"


KEY = re.compile(r"(?<![\w./-])([a-z_]+(?:\.[a-z_]+)+)(?![\w(]|\.\w|\.$)")
WORDS = re.compile(
    r"python -m workflow_scripts\.[\w.]+|--config [*']?\w+=|\./run [\w-]+|snakemake --?\w+|`snakemake [\w -]+`"
)
IN_PAGES = re.compile(r"snakemake (?:[a-z_]+)(?= --)")


def keys_of_the_config() -> set[str]:
    return {f"{path}.{name}" for path, section in sections() for name in section.model_fields}


def written(node: ast.expr) -> str:
    """A text with `*` for each inserted value."""
    if isinstance(node, ast.JoinedStr):
        return "".join(map(written, node.values))
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else "*"


def texts_of(module: ast.Module) -> Iterator[str]:
    """The texts of a module that are not documentation."""
    passed_over: set[int] = set()
    for node in ast.walk(module):
        if id(node) in passed_over or (isinstance(node, ast.keyword) and node.arg == "description"):
            passed_over |= {id(part) for part in ast.iter_child_nodes(node)}
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            passed_over.add(id(node.value))
        elif isinstance(node, ast.Dict):
            # Names of settings, such as those that the report shows.
            passed_over |= {id(key) for key in node.keys}
        elif isinstance(node, ast.JoinedStr | ast.Constant):
            yield written(node)


def commands_of(module: ast.Module) -> Iterator[str]:
    """The command lines made by calls of `snakemake`."""
    for node in ast.walk(module):
        if isinstance(node, ast.Call) and getattr(node.func, "id", getattr(node.func, "attr", "")) == "snakemake":
            words = list(map(written, node.args))
            for keyword in node.keywords:
                if keyword.arg == "config" and isinstance(keyword.value, ast.List):
                    words += ["--config", *map(written, keyword.value.elts)]
            yield " ".join(["snakemake", *words])


def named() -> dict[str, str]:
    """The commands and keys in texts, each with a file that has it."""
    found: dict[str, str] = {}
    keys = keys_of_the_config()
    for file in sorted((ROOT / "workflow_scripts").rglob("*.py")):
        module = ast.parse(file.read_text())
        for text in texts_of(module):
            names = [*(key for key in KEY.findall(text) if key in keys), *WORDS.findall(text)]
            found |= {re.sub("[*'`]", "", name): file.name for name in names}
        found |= dict.fromkeys(commands_of(module), file.name)
    for file in [ROOT / "Snakefile", *sorted((ROOT / "rules").glob("*.smk"))]:
        lines = [
            line for line in file.read_text().splitlines() if "sys.exit" in line or 'f"' in line or "remedies." in line
        ]
        for line in lines:
            found |= dict.fromkeys(re.findall(r"--config \w+=", line), file.name)
            found |= {f"snakemake {word}": file.name for word in re.findall(r"snakemake\('([^']+)'\)", line)}
    for file in sorted((ROOT / "workflow_scripts").rglob("*.j2")):
        found |= dict.fromkeys(IN_PAGES.findall(file.read_text()), file.name)
    return found


def test_each_command_and_key_that_a_text_names_is_carried_out_by_a_test() -> None:
    found = named()
    carried_out = {name for name, _ in CARRIED_OUT}
    assert {name: file for name, file in found.items() if name not in carried_out} == {}, "no test carries these out"
    assert carried_out - set(found) == set(), "no text names these any more"


@pytest.mark.parametrize(("name", "carried_out_by"), CARRIED_OUT)
def test_the_tests_that_carry_them_out_are_there(name: str, carried_out_by: str) -> None:
    file, _, function = carried_out_by.partition("::")
    source = (ROOT / "tests" / file).read_text()
    (test,) = [node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef) and node.name == function]
    # What is carried out stands in the test, or in what its module gives it.
    last = re.split(r"[ .=]", name.rstrip("=*").rstrip())[-1].strip("-")
    assert last in source or "typed(" in source
    assert function.startswith("test_") and test.body
