"""The plan of a dry run on one screen: jobs by stage, and what causes them.

Snakemake's own list, with files and reasons of every job, is several hundred lines long.
"""

import json
import shutil
import textwrap
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Causes in the order in which they are shown. A job counts for the first one that applies to it.
FORCED, CHANGED, NEWER, INTERRUPTED, MISSING = (
    "requested on the command line",
    "settings or code changed",
    "inputs changed",
    "interrupted before",
    "not made yet",
)
FOLLOWS = "use the output of other jobs in this plan"
ALWAYS = "made in every run"
CAUSES = (FORCED, CHANGED, NEWER, INTERRUPTED, MISSING, ALWAYS, FOLLOWS)
# Causes whose details tell rules apart; the others need only a count.
DETAILED = (FORCED, CHANGED, NEWER, INTERRUPTED)
LONGEST_VALUE = 60
# Details of one cause that are shown, those of most jobs first.
MOST_DETAILS = 8
MIN_WIDTH, MAX_WIDTH = 60, 120


@dataclass(frozen=True)
class PlannedJob:
    """A job of the plan.

    Attributes:
        rule: its rule.
        stage: the rule file, without suffix.
        cause: one of `CAUSES`.
        detail: the changed settings or files; "" if the cause says enough.
    """

    rule: str
    stage: str
    cause: str
    detail: str = ""


def planned_jobs(workflow: Any, jobs: Iterable[Any]) -> list[PlannedJob]:
    """The jobs of a plan with their causes, in the order of the rules.

    Args:
        workflow: Snakemake's workflow, after planning.
        jobs: the jobs that would run, without targets.
    """
    order = {rule.name: number for number, rule in enumerate(workflow.rules)}
    found = [
        PlannedJob(job.rule.name, Path(job.rule.snakefile).stem, *cause_of(workflow.dag.reason(job), job.params))
        for job in jobs
    ]
    return sorted(found, key=lambda job: (order.get(job.rule, len(order)), job.detail))


def cause_of(reason: Any, params: Any) -> tuple[str, str]:
    """What causes a job, and the details.

    Args:
        reason: Snakemake's reason.
        params: the job's params, to name those that changed.
    """
    if reason.forced:
        return FORCED, ""
    if reason.params_changed:
        return CHANGED, changed_params(reason.params_changed, dict(params.items()))
    if reason.code_changed or reason.software_stack_changed:
        return CHANGED, "rule or software environment"
    if newer := sorted(map(str, reason.updated_input - reason.updated_input_run)):
        return NEWER, f"{newer[0]}{f' and {len(newer) - 1} more' if len(newer) > 1 else ''}"
    if reason.input_changed:
        return NEWER, "another set of input files"
    if reason.incomplete_output:
        return INTERRUPTED, ""
    if reason.missing_output:
        return MISSING, ""
    return (FOLLOWS, "") if reason.updated_input_run else (ALWAYS, "")


def changed_params(change: Any, params: Mapping[str, Any]) -> str:
    """Name the changed params, and within JSON the changed keys, with both values where they can be told.

    Args:
        change: Snakemake's `ParamsChange`: representations of the params before and now.
        params: the job's params by name.
    """
    names = {repr(value): name for name, value in params.items()}
    now = sorted(change.only_new, key=lambda text: names.get(text, text))
    before = sorted(change.only_old)
    if len(now) == len(before) == 1:
        name, old, new = names.get(now[0], ""), _parsed(before[0]), _parsed(now[0])
        if isinstance(old, dict) and isinstance(new, dict):
            return ", ".join(
                f"{name}{'.' * bool(name)}{key} {_short(old.get(key))} -> {_short(new.get(key))}"
                for key in dict.fromkeys([*old, *new])
                if old.get(key) != new.get(key)
            )
        return f"{name} {_short(old)} -> {_short(new)}".strip()
    return ", ".join(names.get(text, _short(_parsed(text))) for text in now or before)


def _parsed(text: str) -> Any:
    """A param from its representation; JSON becomes its value."""
    plain = text[1:-1] if text[:1] == text[-1:] and text[:1] in ("'", '"') else text
    try:
        return json.loads(plain)
    except ValueError:
        return plain


def _short(value: Any) -> str:
    text = "none" if value is None else value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return textwrap.shorten(text, LONGEST_VALUE, placeholder="...") or '""'


def plan_lines(jobs: Sequence[PlannedJob]) -> Iterator[str]:
    """The plan: a line for each stage with its jobs by rule, then the causes with the rules that they apply to."""
    yield f"plan: {len(jobs):,} jobs (add -p for the files, reason and command of each)"
    width = min(max(shutil.get_terminal_size((100, 0)).columns, MIN_WIDTH), MAX_WIDTH)
    stages: dict[str, list[PlannedJob]] = {}
    for job in jobs:
        stages.setdefault(job.stage, []).append(job)
    longest = max(map(len, stages))
    for stage, of_stage in stages.items():
        head = f"  {stage:{longest}} {len(of_stage):>6,}  "
        yield from _wrapped(head, _counted(job.rule for job in of_stage), width)
    yield "why:"
    for cause in CAUSES:
        of_cause = [job for job in jobs if job.cause == cause]
        if of_cause and cause not in DETAILED:
            yield f"  {cause}: {len(of_cause):,} job{'s' * (len(of_cause) > 1)}"
            continue
        details: dict[str, list[str]] = {}
        for job in of_cause:
            details.setdefault(job.detail, []).append(job.rule)
        shown = sorted(details.items(), key=lambda item: -len(item[1]))
        if len(shown) > MOST_DETAILS:
            others = [rule for _, rules in shown[MOST_DETAILS - 1 :] for rule in rules]
            shown[MOST_DETAILS - 1 :] = [(f"{len(details) - MOST_DETAILS + 1:,} others (-p lists them)", others)]
        for detail, rules in shown:
            yield from _wrapped(f"  {cause}: ", f"{_counted(rules)}{': ' * bool(detail)}{detail}", width)


def _counted(rules: Iterable[str]) -> str:
    """Rules with their number of jobs where it is not 1."""
    return ", ".join(f"{rule} {count:,}" if count > 1 else rule for rule, count in Counter(rules).items())


def _wrapped(head: str, text: str, width: int) -> list[str]:
    indent = " " * (len(head) if len(head) < width // 2 else 4)
    return textwrap.wrap(
        text, width, initial_indent=head, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )
