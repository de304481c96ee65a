"""The plan on one screen: jobs by stage, and the changed setting, file or step that causes them."""

import shlex
from types import SimpleNamespace
from typing import Any

from snakemake.jobs import Reason
from snakemake.persistence import ParamsChange

from workflow_scripts.common import short_plan
from workflow_scripts.common.short_plan import PlannedJob, cause_of, plan_lines


def reason(**found: Any) -> Reason:
    made = Reason()
    for name, value in found.items():
        setattr(made, name, value)
    return made


def changed(before: list[str], now: list[str], **params: str) -> str:
    change = ParamsChange(only_old={*map(repr, before)}, only_new={*map(repr, now)}, files={"out"})
    cause, detail = cause_of(reason(params_changed=change, _missing_output={"x"}), params)
    assert cause == short_plan.CHANGED
    return detail


def test_a_changed_setting_is_named_with_both_values() -> None:
    now = '{"epochs":3,"lr":0.1,"precision":"bf16"}'
    found = changed(['{"epochs":20,"lr":0.1}'], [now], settings=now, version="4")
    assert found == "settings.epochs 20 -> 3, settings.precision none -> bf16"
    assert changed(["4"], ["5"], settings=now, version="5") == "version 4 -> 5"
    # With several at once, which value was of which param is unknown.
    assert changed(["4", "a"], ["5", now], settings=now, version="5") == "settings, version"
    assert changed(["4"], [], version="5") == "4"


def test_a_job_counts_for_its_own_cause_before_what_it_follows_from() -> None:
    others = {"_updated_input_run": {"a"}}
    assert cause_of(reason(_missing_output={"x"}, **others), {}) == (short_plan.MISSING, "")
    assert cause_of(reason(**others), {}) == (short_plan.FOLLOWS, "")
    assert cause_of(reason(_updated_input={"a", "b", "c"}, **others), {}) == (short_plan.NEWER, "b and 1 more")
    assert cause_of(reason(_incomplete_output={"x"}, _missing_output={"x"}), {}) == (short_plan.INTERRUPTED, "")
    assert cause_of(reason(forced=True, _missing_output={"x"}), {}) == (short_plan.FORCED, "")
    assert cause_of(reason(nooutput=True), {}) == (short_plan.ALWAYS, "")


def test_thousands_of_jobs_fit_on_one_screen(monkeypatch: Any) -> None:
    monkeypatch.setattr("shutil.get_terminal_size", lambda fallback: SimpleNamespace(columns=80))
    jobs = [PlannedJob("download", "download", short_plan.MISSING)] * 2000
    jobs += [PlannedJob(f"eval_{number}", "evaluate", short_plan.FOLLOWS) for number in range(14)]
    jobs += [PlannedJob("train_run", "train", short_plan.CHANGED, "settings.lr 1 -> 2")]
    lines = list(plan_lines(jobs))
    assert len(lines) < 12
    assert max(map(len, lines)) <= 80
    assert lines[0].startswith("plan: 2,015 jobs")
    assert lines[1].split() == ["download", "2,000", "download", "2,000"]
    text = " ".join(shlex.split(" ".join(lines)))
    assert "train 1 train_run" in text
    assert f"{short_plan.CHANGED}: train_run: settings.lr 1 -> 2" in text
    assert f"{short_plan.MISSING}: 2,000 jobs" in text
    assert f"{short_plan.FOLLOWS}: 14 jobs" in text


def test_many_changed_files_are_counted_beyond_the_first() -> None:
    jobs = [PlannedJob("download", "download", short_plan.NEWER, f"part-{number}.parquet") for number in range(2000)]
    text = " ".join(" ".join(plan_lines(jobs)).split())
    assert len(list(plan_lines(jobs))) < 20
    assert "download: part-0.parquet" in text
    assert f"download {2000 - short_plan.MOST_DETAILS + 1:,}: 1,993 others (-p lists them)" in text
