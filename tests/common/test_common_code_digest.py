"""The code digest covers the code that a step runs, and nothing else."""

import shutil
from pathlib import Path

import pytest

from workflow_scripts.common import code_digest as digests
from workflow_scripts.common.code_digest import code_digest, code_of
from workflow_scripts.common.step_versions import steps_of_rules


@pytest.fixture
def project(tmp_path: Path) -> Path:
    package = tmp_path / "workflow_scripts"
    (package / "stage").mkdir(parents=True)
    (package / "common").mkdir()
    for folder in (package, package / "stage", package / "common"):
        (folder / "__init__.py").write_text("")
    (package / "common" / "helper.py").write_text(
        "from workflow_scripts.common.numbers import TWO, THREE\n"
        "def double(x):\n    return TWO * x\n"
        "def triple(x):\n    return THREE * x\n"
    )
    (package / "common" / "numbers.py").write_text("TWO = 2\nTHREE = 3\n")
    (package / "common" / "progress.py").write_text("def bar():\n    return 1\n")
    (package / "common" / "other.py").write_text("X = 1\n")
    (package / "stage" / "query.sql").write_text("SELECT 1")
    (package / "stage" / "step.py").write_text(
        '"""A step."""\n'
        "from pathlib import Path\n"
        "from workflow_scripts.common import helper\n"
        "from workflow_scripts.common.progress import bar\n"
        "WIDTH = Field(2, description='Wide.')\n"
        'SQL = Path(__file__).with_name("query.sql")\n'
        "def step(x):\n"
        '    """Double."""\n'
        "    bar()\n"
        "    return helper.double(x)  # twice\n"
    )
    return tmp_path


def digest_of(project: Path) -> str:
    for known in (code_digest, digests._read, digests._cached_digests, digests._sum_of_sources):
        known.cache_clear()
    return code_digest("workflow_scripts.stage.step", project)


def replace(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("stage/step.py", "# twice", "# two times"),
        ("stage/step.py", '"""Double."""', '"""Times two."""'),
        ("stage/step.py", '"""A step."""', '"""One step."""'),
        ("stage/step.py", '    """Double."""\n', ""),
        ("stage/step.py", "def step(x):", "\n\ndef step( x ):"),
        ("stage/step.py", "def step(x):", '"""What SQL is for."""\ndef step(x):'),
        ("stage/step.py", "Wide.", "Broad."),
        ("common/other.py", "X = 1", "X = 2"),
        ("common/helper.py", "THREE * x", "x * THREE"),
        ("common/numbers.py", "THREE = 3", "THREE = 4"),
        ("common/progress.py", "return 1", "return 2"),
    ],
)
def test_what_the_step_does_not_run_does_not_count(project: Path, name: str, old: str, new: str) -> None:
    before = digest_of(project)
    replace(project / "workflow_scripts" / name, old, new)
    assert digest_of(project) == before


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("stage/step.py", "helper.double(x)", "helper.double(x) + 1"),
        ("common/helper.py", "TWO * x", "x + x"),
        ("common/helper.py", "def triple", "print()\ndef triple"),
        ("common/numbers.py", "TWO = 2", "TWO = 1 + 1"),
        ("common/numbers.py", "THREE = 3", "THREE = 3\nprint()"),
        ("stage/query.sql", "SELECT 1", "SELECT 2"),
        ("common/__init__.py", "", "print()\n"),
    ],
)
def test_what_the_step_runs_counts(project: Path, name: str, old: str, new: str) -> None:
    before = digest_of(project)
    file = project / "workflow_scripts" / name
    file.write_text(file.read_text().replace(old, new, 1))
    assert digest_of(project) != before


def test_relative_imports_are_followed(project: Path) -> None:
    replace(
        project / "workflow_scripts/stage/step.py",
        "from workflow_scripts.common import helper",
        "from ..common import helper",
    )
    digest_of(project)
    assert "workflow_scripts.common.helper" in code_of("workflow_scripts.stage.step", project)


def test_names_imported_from_an_importer_are_followed_to_where_they_are_made(project: Path) -> None:
    replace(
        project / "workflow_scripts/common/other.py", "X = 1", "from workflow_scripts.common.numbers import THREE\n"
    )
    replace(project / "workflow_scripts/stage/step.py", "helper.double(x)", "other.THREE")
    replace(project / "workflow_scripts/stage/step.py", "import helper", "import other")
    before = digest_of(project)
    replace(project / "workflow_scripts/common/numbers.py", "TWO = 2", "TWO = 5")
    assert digest_of(project) == before
    replace(project / "workflow_scripts/common/numbers.py", "THREE = 3", "THREE = 5")
    assert digest_of(project) != before


def test_a_digest_is_kept_for_the_next_process_as_long_as_no_source_changes(project: Path) -> None:
    digest = digest_of(project)
    kept = project / "workflow_scripts/__pycache__/code_digests.kept"
    replace(kept, digest, "f" * 16)
    assert digest_of(project) == "f" * 16
    (project / "workflow_scripts/stage/query.sql").write_text("SELECT 2")
    assert digest_of(project) not in ("f" * 16, digest)
    (project / "workflow_scripts/stage/query.sql").write_text("SELECT 1")
    for damage in ("", "[]", "{}", '{"sources": 1}'):
        kept.write_text(damage)
        assert digest_of(project) == digest
    shutil.rmtree(kept.parent)
    kept.parent.write_text("no folder can be made here")
    assert digest_of(project) == digest


def test_nothing_is_kept_of_sources_that_change_while_they_are_read(project: Path) -> None:
    digest = digest_of(project)
    shutil.rmtree(project / "workflow_scripts/__pycache__")
    for known in (code_digest, digests._read, digests._cached_digests, digests._sum_of_sources):
        known.cache_clear()
    digests._cached_digests(project)
    replace(project / "workflow_scripts/stage/step.py", "def step(x):", "def step(x, y=1):")
    assert code_digest("workflow_scripts.stage.step", project) != digest
    replace(project / "workflow_scripts/stage/step.py", "def step(x, y=1):", "def step(x):")
    assert digest_of(project) == digest


def test_a_step_that_does_not_exist_is_an_error() -> None:
    with pytest.raises(ModuleNotFoundError, match="no_such_step"):
        code_digest("workflow_scripts.catalog.no_such_step")


def test_every_query_template_and_table_that_a_step_reads_counts() -> None:
    """A data file whose name is composed, or is only in another data file, could change without a rerun."""
    steps = steps_of_rules((digests.ROOT / "rules").glob("*.smk"))
    counted = set()
    for step in steps:
        for name, statements in code_of(f"workflow_scripts.{step}").items():
            source = digests._read(name, digests.ROOT)
            assert source is not None
            counted |= {file for number in statements for file in source.data_files(number)}
    files = {file for file in (digests.ROOT / "workflow_scripts").rglob("*") if file.suffix in digests.DATA_SUFFIXES}
    # Data files read only by rule files and by commands that no rule calls.
    by_hand = {
        *("benchmark_sources.yaml", "takedown.sql", "forget.sql", "retried.sql", "retry.sql", "compare.html.j2"),
        *(
            "unit_costs.csv",
            "job_needs.csv",
            "embed_images.sql",
            "diff.sql",
            "explain.sql",
            "explain_near.sql",
            "explain_other_ranks.sql",
        ),
    }
    assert {file.name for file in files - counted} == by_hand


def test_no_stage_imports_another() -> None:
    root = Path(__file__).resolve().parents[2]
    for file in sorted((root / "workflow_scripts").glob("*/*.py")):
        module = f"workflow_scripts.{file.parent.name}.{file.stem}".removesuffix(".__init__")
        source = digests._read(module, root)
        assert source is not None
        used = {name.split(".")[1] for name in source.imported if "." in name}
        assert used <= {"common", "contracts", file.parent.name}, f"{file} imports {used}"


def test_the_digest_does_not_depend_on_the_python_version(project: Path) -> None:
    step = project / "workflow_scripts/stage/step.py"
    step.write_text("def f(x: int = 1) -> str:\n    return f\"{x!r:>{x}} {'a' + 'b'}\"\n\n\nclass A:\n    pass\n")
    assert digest_of(project) == "40444061ff3254bc"
