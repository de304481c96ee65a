"""A step keeps its version only if the micro world shows that its outputs are the same."""

import importlib.util
import subprocess
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from workflow_scripts.common.code_digest import ROOT

SPEC = importlib.util.spec_from_file_location("record", ROOT / "tests/record/record.py")
assert SPEC is not None
assert SPEC.loader is not None
record = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(record)

STEP = "curate.decide"


def difference(before: dict[str, str], again: dict[str, str], new: dict[str, str]) -> str:
    """What `record.difference` says of files with these texts."""
    made = [{STEP: {name: record.TOKEN.findall(text) for name, text in run.items()}} for run in (before, again, new)]
    return record.difference(STEP, *made)


def test_equal_outputs_keep_the_version_whatever_differs_between_runs_of_the_same_code() -> None:
    before, again, new = ({"a.json": f'{{"kept": 7, "seconds": {seconds}}}'} for seconds in ("1.5", "2.25", "0.75"))
    assert difference(before, again, new) == ""


@pytest.mark.parametrize("text", ['{"kept": 8, "seconds": 1.5}', '{"kept": 7, "seconds": 1.5, "more": 1}'])
def test_other_outputs_are_named_with_the_way_on(text: str) -> None:
    before, again = ({"a.json": f'{{"kept": 7, "seconds": {seconds}}}'} for seconds in ("1.5", "2.25"))
    said = difference(before, again, {"a.json": text})
    assert "a.json" in said
    assert "NEXT=1" in said


def test_other_files_and_steps_that_did_not_run_are_not_shown_to_be_the_same() -> None:
    same = {"a.json": "1"}
    assert "b.json" in difference(same, same, same | {"b.json": "1"})
    assert "does not run it" in record.difference("catalog.gbif", {}, {}, {})


def test_a_nondeterministic_step_is_not_shown_to_be_the_same() -> None:
    assert "NEXT=1" in difference({"a": "one"}, {"a": "two"}, {"a": "three"})
    assert "NEXT=1" in difference({"a": "one"}, {"a": "one two"}, {"a": "one"})


def test_tables_are_compared_by_column_and_databases_by_table(tmp_path: Path) -> None:
    pieces = []
    for name, value in (("one", 1), ("other", 2)):
        pq.write_table(pa.table({"a": [1, 2], "b": [value, 3]}), tmp_path / f"{name}.parquet")
        with duckdb.connect(str(tmp_path / f"{name}.duckdb")) as connection:
            connection.execute(f"CREATE TABLE taxa AS SELECT {value} AS taxon")
            connection.execute("CREATE TABLE names AS SELECT 'Aus' AS name")
        pieces.append([record.pieces_of(tmp_path / f"{name}{suffix}") for suffix in (".parquet", ".duckdb")])
    for one, other in zip(*pieces, strict=True):
        assert len(one) == len(other)
        assert sum(a != b for a, b in zip(one, other, strict=True)) == 1


def test_steps_are_found_by_the_commit_that_has_their_recorded_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "workflow_scripts"
    (package / "stage").mkdir(parents=True)

    def commit(code: str, lock: str) -> str:
        (package / "stage/step.py").write_text(code)
        (package / "versions.lock").write_text(lock)
        for words in (["add", "-A"], ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "more"]):
            subprocess.run(["git", *words], cwd=tmp_path, check=True)
        said = subprocess.run(["git", "rev-parse", "HEAD"], cwd=tmp_path, capture_output=True, text=True, check=True)
        return said.stdout.strip()

    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    monkeypatch.setattr(record, "ROOT", tmp_path)
    monkeypatch.setattr(record, "LOCK", package / "versions.lock")
    first = commit("X = 1\n", "# one\n")
    commit("X = 2\n", "# two\n")
    (tmp_path / "as/workflow_scripts/stage").mkdir(parents=True)
    (tmp_path / "as/workflow_scripts/stage/step.py").write_text("X = 1\n")
    code = record.code_digest("workflow_scripts.stage.step", tmp_path / "as")
    assert record.by_commit(["stage.step"], {"stage.step": record.Recorded(1, code)}) == {first: ["stage.step"]}
    with pytest.raises(record.InputError, match=r"stage.step: .*NEXT=1"):
        record.by_commit(["stage.step"], {"stage.step": record.Recorded(1, "0" * 16)})


def test_next_takes_the_next_version_of_what_changed_and_new_steps_start_at_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = tmp_path / "versions.lock"
    monkeypatch.setattr(record, "LOCK", lock)
    monkeypatch.setattr("workflow_scripts.common.step_versions.LOCK", lock)
    codes = {step: record.code_digest(f"workflow_scripts.{step}") for step in ("curate.decide", "curate.leakage")}
    old = record.Recorded(4, "0" * 16)
    record.write_lock({"curate.decide": old, "curate.leakage": old, "gone.step": old}, lock)
    assert record.record(["curate.decide"], take_next=True) == []
    now = record.read_lock(lock)
    assert now["curate.decide"] == record.Recorded(5, codes["curate.decide"])
    assert now["curate.leakage"] == old
    assert "gone.step" not in now
    assert now["train.run"].version == 1
    with pytest.raises(record.InputError, match=r"curate\.decyde"):
        record.record(["curate.decyde"], take_next=True)


def test_a_step_that_cannot_keep_its_version_stays_as_it_was_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = tmp_path / "versions.lock"
    monkeypatch.setattr(record, "LOCK", lock)
    monkeypatch.setattr("workflow_scripts.common.step_versions.LOCK", lock)
    steps = record.steps_of_rules((ROOT / "rules").glob("*.smk"))
    current = {step: record.Recorded(1, record.code_digest(f"workflow_scripts.{step}")) for step in steps}
    old = record.Recorded(1, "0" * 16)
    record.write_lock(current | {"curate.decide": old, "curate.leakage": old}, lock)
    monkeypatch.setattr(record, "compared", lambda steps, lock: ["curate.leakage: verdicts.parquet differs"])
    assert len(record.record([], take_next=False)) == 1
    now = record.read_lock(lock)
    assert now["curate.decide"] == current["curate.decide"]
    assert now["curate.leakage"] == old


def test_what_a_step_made_is_found_by_its_command_with_what_no_rule_declares(tmp_path: Path) -> None:
    folder = tmp_path / "results/corpora/micro/download/part-0000"
    folder.mkdir(parents=True)
    for name in ("manifest.json", "images-00000.tar", ".published-manifest.json"):
        (folder / name).write_text(name)
    row = {
        "output_file": "results/corpora/micro/download/part-0000/manifest.json",
        "shellcmd": "python -m workflow_scripts.world.serve -- python -m workflow_scripts.download.fetch --part p",
    }
    said = "\n".join("\t".join(values) for values in (row, row.values()))

    class Finished:
        folder = tmp_path

        def path(self, name: str) -> Path:
            return tmp_path / name

        def snakemake(self, *words: str) -> subprocess.CompletedProcess[str]:
            return subprocess.CompletedProcess(words, 0, said, "")

    made = record.made_by_steps(Finished(), ROOT)
    assert list(made) == ["download.fetch"]
    assert sorted(Path(name).name for name in made["download.fetch"]) == ["images-00000.tar", "manifest.json"]
