"""Plans that redo finished costly work stop before the first job; `redo` and `keep` are checked."""

import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from workflow_scripts.common.accounts import Account, write_account
from workflow_scripts.common.errors import InputError
from workflow_scripts.common.layout import Corpus
from workflow_scripts.common.redo import Words, changed_params, cost_of, redone, refusal, take_words

NOTHING = Words(frozenset(), frozenset())
CORPUS = Corpus("results/corpora/demo")
LEDGER = "results/ledgers/demo.parquet"


def words(command_line: dict[str, Any], **in_files: Any) -> tuple[Words, dict[str, Any]]:
    config = {"run": "demo", **in_files, **command_line}
    return take_words(config, command_line), config


@pytest.mark.parametrize("value", ["shards", ["shards"]])
def test_a_step_is_taken_out_of_the_config(value: Any) -> None:
    taken, config = words({"redo": value, "keep": ["download", "train"]})
    assert taken == Words(frozenset({"shards"}), frozenset({"download", "train"}))
    assert config == {"run": "demo"}


@pytest.mark.parametrize("word", ["redo", "keep"])
def test_an_unknown_step_is_refused_with_the_steps_there_are(word: str) -> None:
    for value in ("shard", ["shard"]):
        with pytest.raises(InputError, match=rf"{word}=shard: .*download, screen, replay, shards, pretrain, train"):
            words({word: value})


def test_a_word_in_a_config_file_would_stay_and_is_refused() -> None:
    with pytest.raises(InputError, match=r"redo: .*command line"):
        words({}, redo="shards")


def test_a_step_is_redone_or_kept() -> None:
    with pytest.raises(InputError, match=r"shards .*redo.*keep"):
        words({"redo": "shards", "keep": "shards"})


class Records:
    """What Snakemake recorded of jobs, compared with the jobs as they are now."""

    def __init__(self, files: tuple[str, ...]) -> None:
        self.metadata = dict.fromkeys(files, "a record").get

    def params_changed(self, job: Any) -> Any:
        return job.changed["params"]

    def input_changed(self, job: Any) -> Any:
        return iter([True] if job.changed["input"] else [])

    def code_changed(self, job: Any) -> Any:
        return iter([True] if job.changed["code"] else [])

    def software_stack_changed(self, job: Any) -> Any:
        return iter([True] if job.changed["software_stack"] else [])


class Plan:
    """The parts of Snakemake's plan that `redone` uses."""

    def __init__(self, *jobs: Any, recorded: tuple[str, ...] = ()) -> None:
        self.jobs = jobs
        self.workflow = SimpleNamespace(persistence=Records(recorded))
        self.dependencies = {job: dict.fromkeys(job.after) for job in jobs}

    def needrun_jobs(self, exclude_finished: bool) -> Any:
        return iter(self.jobs)

    def needrun(self, job: Any) -> bool:
        return job in self.jobs

    def reason(self, job: Any) -> Any:
        return job.reason


class Job:
    def __init__(self, rule: str, output: list[Path], after: tuple[Any, ...] = (), **why: Any) -> None:
        self.rule = SimpleNamespace(name=rule)
        self.output = [str(path) for path in output]
        self.input: list[str] = []
        self.after = after
        self.changed = {
            name: why.pop(f"{name}_changed", None) for name in ("params", "input", "code", "software_stack")
        }
        sets = {name: set() for name in ("updated_input", "updated_input_run", "missing_output")}
        self.reason = SimpleNamespace(**{"forced": False} | sets | why)


@pytest.fixture
def account(tmp_path: Path) -> Path:
    path = tmp_path / "account.json"
    write_account(path, Account("download", "part-0000", "images", rows_in=1300, kept=1234, dropped={"timeout": 66}))
    return path


def test_a_finished_job_is_redone_with_its_cause_and_its_images(account: Path) -> None:
    first = Job("catalog_source", [], updated_input={"metadata.parquet"})
    second = Job("catalog_merge_g000", [], (first,), updated_input={"a"}, updated_input_run={"a"})
    job = Job("download", [account], (second,), updated_input={"part"}, updated_input_run={"part"})
    (found,) = redone(Plan(first, second, job), NOTHING, CORPUS, LEDGER)
    assert (found.step, found.jobs, found.cost) == ("download", 1, "1,234 images")
    assert found.why == ("catalog_source runs: changed input metadata.parquet",)
    line = refusal([found])
    for words_of_line in ("download", "1,234 images", "metadata.parquet", "--config redo=download", "keep=download"):
        assert words_of_line in line


def test_unfinished_forced_and_allowed_work_is_not_held_up(account: Path, tmp_path: Path) -> None:
    missing = Job("download", [account, tmp_path / "manifest.parquet"], missing_output={"manifest.parquet"})
    forced = Job("download", [account], forced=True)
    cheap = Job("curate", [account], updated_input={"x"})
    assert redone(Plan(missing, forced, cheap), NOTHING, CORPUS, LEDGER) == []
    job = Job("download", [account], updated_input={"x"})
    assert redone(Plan(job), Words(frozenset({"download"}), frozenset()), CORPUS, LEDGER) == []
    assert redone(Plan(job), Words(frozenset({"shards"}), frozenset()), CORPUS, LEDGER) != []


def test_growth_holds_nothing_up_unless_something_else_changed_with_it(account: Path) -> None:
    new = Job("catalog_source", [], missing_output={"g001/museum.parquet"})
    names = Job("taxonomy_resolve", [], (new,), input_changed=True)
    job = Job("shards_write", [account], (names,), updated_input={"plan"}, updated_input_run={"plan"})
    assert redone(Plan(new, names, job), NOTHING, CORPUS, LEDGER) == []
    changed = Job("catalog_source", [], updated_input={"metadata.parquet"})
    names.after = (new, changed)
    (found,) = redone(Plan(new, changed, names, job), NOTHING, CORPUS, LEDGER)
    assert found.why == ("catalog_source runs: changed input metadata.parquet",)


def test_photos_of_a_new_generation_do_not_change_the_corpus(account: Path, tmp_path: Path) -> None:
    made = tmp_path / "g001.parquet"
    new = Job("catalog_source", [made], missing_output={str(made)}, updated_input={"photos2"})
    names = Job("taxonomy_resolve", [], (new,), input_changed=True)
    job = Job("shards_write", [account], (names,), updated_input={"plan"}, updated_input_run={"plan"})
    assert redone(Plan(new, names, job), NOTHING, CORPUS, LEDGER) == []
    # Its output was made and purged, and its photos have changed.
    (found,) = redone(Plan(new, names, job, recorded=(str(made),)), NOTHING, CORPUS, LEDGER)
    assert found.why == ("catalog_source runs: changed input photos2",)


def test_another_source_of_a_built_generation_is_not_growth(account: Path) -> None:
    new = Job("catalog_source", [], missing_output={"g000/museum.parquet"})
    merge = Job("catalog_merge_g000", [], (new,), input_changed=True)
    job = Job("shards_write", [account], (merge,), updated_input={"plan"}, updated_input_run={"plan"})
    (found,) = redone(Plan(new, merge, job), NOTHING, CORPUS, LEDGER)
    assert "catalog_merge_g000" in found.why[0]


def test_a_changed_setting_is_found_behind_new_work(account: Path) -> None:
    screen = Job("screen", [], missing_output={"findings"}, updated_input={"detector.onnx"})
    refusals = SimpleNamespace(only_old={repr("")}, only_new={repr("--refusals '{}'")})
    curate = Job("curate", [], (screen,), updated_input_run={"findings"}, params_changed=refusals, input_changed=True)
    job = Job("shards_write", [account], (curate,), updated_input_run={"plan"})
    (found,) = redone(Plan(screen, curate, job), NOTHING, CORPUS, LEDGER)
    assert found.step == "shards" and "curate" in found.why[0] and "--refusals" in found.why[0]
    # A judge without thresholds refuses no image.
    curate.changed["params"] = None
    assert redone(Plan(screen, curate, job), NOTHING, CORPUS, LEDGER) == []


def test_a_download_setting_does_not_hide_what_changed_before_it(account: Path) -> None:
    hosts = SimpleNamespace(only_old={repr("{}")}, only_new={repr(json.dumps({"allow_hosts": ["10.0.0.0/8"]}))})
    source = Job("catalog_source", [], updated_input={"metadata.parquet"})
    job = Job("download", [account], (source,), updated_input_run={"part"}, params_changed=hosts)
    (found,) = redone(Plan(source, job), NOTHING, CORPUS, LEDGER)
    assert found.step == "download" and "metadata.parquet" in found.why[1]


def test_a_takedown_holds_nothing_up_and_other_changes_within_the_corpus_do(account: Path, tmp_path: Path) -> None:
    verdicts, ledger = tmp_path / "verdicts.parquet", tmp_path / "ledger.parquet"
    for path, time in ((verdicts, 1000), (ledger, 2000)):
        path.touch()
        os.utime(path, (time, time))
    manifest = f"{CORPUS.folder}/download/part-0000/manifest.parquet"
    gather = Job("download_gather", [], updated_input={manifest})
    curate = Job("curate", [verdicts], (gather,), updated_input={"a"}, updated_input_run={"a"})
    job = Job("shards_write", [account], (curate, gather), updated_input={"plan"}, updated_input_run={"plan"})
    (found,) = redone(Plan(gather, curate, job), NOTHING, CORPUS, str(ledger))
    assert manifest in found.why[0]
    curate.input = [str(ledger)]
    assert redone(Plan(gather, curate, job), NOTHING, CORPUS, str(ledger)) == []
    os.utime(verdicts, (3000, 3000))
    assert redone(Plan(gather, curate, job), NOTHING, CORPUS, str(ledger)) != [], "that takedown was taken in before"


def test_a_takedown_that_an_interrupted_run_has_half_followed_holds_nothing_up(account: Path, tmp_path: Path) -> None:
    ledger, verdicts = tmp_path / "ledger.parquet", f"{CORPUS}/curate/g000/verdicts.parquet"
    ledger.touch()
    plan = Job("shards_plan", [account], updated_input={verdicts})
    job = Job("shards_write", [account], (plan,), updated_input={"plan"}, updated_input_run={"plan"})
    for made, is_held_up in ((-1000, False), (1000, True)):
        time = ledger.stat().st_mtime + made
        os.utime(account, (time, time))
        assert bool(redone(Plan(plan, job), NOTHING, CORPUS, str(ledger))) is is_held_up


def test_several_steps_are_named_in_one_line_and_one_word(account: Path) -> None:
    jobs = [Job(rule, [account], updated_input={"x"}) for rule in ("train_run", "download")]
    line = refusal(redone(Plan(*jobs), NOTHING, CORPUS, LEDGER))
    assert "'redo=[download,train]'" in line
    assert "\n" not in line


def test_a_cause_that_several_steps_share_is_named_once(account: Path) -> None:
    settings = [[repr(json.dumps({"images": folder})), repr(f"--images {folder}")] for folder in ("A", "B b")]
    settings[1][1] = repr("--images 'B b'")
    changed = SimpleNamespace(only_old=set(settings[0]), only_new=set(settings[1]))
    first = Job("catalog_source", [], params_changed=changed)
    download = Job("download", [account], (first,), updated_input={"a"}, updated_input_run={"a"})
    shards = Job("shards_write", [account], (download,), updated_input={"a"}, updated_input_run={"a"})
    line = refusal(redone(Plan(first, download, shards), NOTHING, CORPUS, LEDGER))
    assert line.count("A -> B b") == 1 and "--images" not in line
    assert "download (" in line and "shards (" in line and "'redo=[download,shards]'" in line
    # The own cause of a step is that of the steps after it, which may have further ones.
    download.changed["params"] = changed
    other = Job("shards_plan", [], updated_input={"other"})
    shards.after = (download, other)
    line = refusal(redone(Plan(download, other, shards), NOTHING, CORPUS, LEDGER))
    assert line.count("A -> B b") == 1 and "shards_plan runs: changed input other" in line


@pytest.mark.parametrize(
    ("settings", "held_up"),
    [
        ({"allow_hosts": ["10.0.0.0/8"]}, False),
        ({"hosts": {"a.example": {"max_pixels": 9, "content_types": ["*/*"]}}, "passes": 9}, False),
        ({"hosts": {"a.example": {"max_pixels": 9, "rewrite": {"pattern": "a"}}}}, True),
        ({"allow_hosts": ["10.0.0.0/8"], "jpeg_quality": 59}, True),
        ({}, True),
    ],
)
def test_settings_that_only_retry_refused_images_block_later_steps_but_no_download(
    account: Path, settings: dict[str, Any], held_up: bool
) -> None:
    changed = SimpleNamespace(only_old={repr("{}")}, only_new={repr(json.dumps(settings))})
    job = Job("download", [account], params_changed=changed)
    assert bool(redone(Plan(job), NOTHING, CORPUS, LEDGER)) is held_up
    both = SimpleNamespace(only_old={repr("{}"), repr("1")}, only_new={repr(json.dumps(settings)), repr("2")})
    job = Job("download", [account], params_changed=both)
    assert redone(Plan(job), NOTHING, CORPUS, LEDGER) != []
    job = Job("download", [account], params_changed=changed)
    shards = Job("shards_write", [account], (job,), updated_input={"plan"}, updated_input_run={"plan"})
    found = redone(Plan(job, shards), NOTHING, CORPUS, LEDGER)
    assert [one.step for one in found] == (["download"] if held_up else []) + ["shards"]


def test_changed_settings_are_named_by_key_and_versions_by_number() -> None:
    old = [repr(json.dumps({"quality": 95, "hosts": {"a": 1}})), repr("1"), repr("results/a")]
    new = [repr(json.dumps({"quality": 59, "hosts": {"a": 1}})), repr("2"), repr("results/b")]
    said = changed_params(old, new)
    assert "quality 95 -> 59" in said
    assert "hosts" not in said
    assert "code version 1 -> 2" in said
    assert "results/a -> results/b" in said
    options = [["--a 1 --b 2"], ["--a 1 --b 3"]]
    assert "--b 2 -> --a 1 --b 3" in changed_params(*(list(map(repr, some)) for some in options))
    assert "1 -> 1-0123456789abcdef" in changed_params([repr("1")], [repr("1-0123456789abcdef")])


def test_a_training_costs_its_hours_on_all_its_devices(tmp_path: Path) -> None:
    summary = tmp_path / "summary.json"
    summary.write_text(json.dumps({"seconds": 1800.0, "processes": 8, "device": "H200"}))
    assert cost_of([summary]) == "4 device hours on H200"
