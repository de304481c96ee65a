"""Problems of a run, one line each, for the report's first screen."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from workflow_scripts.report.flow import Step
from workflow_scripts.report.headline import Line
from workflow_scripts.report.scores import Scores

MOST_NAMES = 3


@dataclass(frozen=True)
class Problem:
    """One line of text, and the id of the section with the details."""

    text: str
    section: str


def problems(
    *,
    lines: Sequence[Line],
    scores: Scores,
    steps: Sequence[Step],
    gaps: Sequence[str],
    hosts: Sequence[Mapping[str, Any]],
    training: Mapping[str, Any],
) -> list[Problem]:
    """List what a person should know before using the model, most important first."""
    return [
        *_of_scores(lines, scores),
        *_of_training(training),
        *(Problem(gap, "rows") for gap in gaps),
        *_of_rows(steps),
        *_of_hosts(hosts),
    ]


def _of_scores(lines: Sequence[Line], scores: Scores) -> Iterator[Problem]:
    singles = [line for line in lines if not line.is_mean]
    if worse := [line.name for line in singles if line.effect == "worse"]:
        yield Problem(f"worse than {scores.models[1]} on {_listed(worse)}", "scores")
    guessing = [
        one.name for one in singles if one.chance is not None and one.interval and one.interval[0] <= one.chance
    ]
    if guessing:
        yield Problem(f"not clearly better than chance on {_listed(guessing)}", "scores")
    if left_out := [f"{metric} of {name}" for name, metric, _ in scores.left_out()]:
        yield Problem(f"not scored: {_listed(left_out)}", "scores")


def _of_training(training: Mapping[str, Any]) -> Iterator[Problem]:
    if skipped := training.get("skipped"):
        yield Problem(
            f"training skipped {skipped:,} of {training['steps']:,} steps (loss or gradient not finite)", "training"
        )
    if broken := training.get("broken_samples"):
        yield Problem(f"training could not read {len(broken):,} samples", "training")


def _of_rows(steps: Sequence[Step]) -> Iterator[Problem]:
    for step in steps:
        lost = step.rows_in - step.kept
        if step.name == "download" and lost:
            yield Problem(f"{lost:,} of {step.rows_in:,} images failed to download ({_reasons(step)})", "rows")
        elif step.name == "taxonomy" and lost:
            yield Problem(f"{lost:,} of {step.rows_in:,} labels are unresolved ({_reasons(step)})", "taxonomy")
        elif step.name == "benchmarks" and lost:
            yield Problem(f"{lost:,} of {step.rows_in:,} benchmark images could not be used ({_reasons(step)})", "rows")
        for part in step.parts:
            yield from (Problem(f"{part.part}: {warning}", "rows") for warning in part.warnings)


def _of_hosts(hosts: Sequence[Mapping[str, Any]]) -> Iterator[Problem]:
    if stopped := [host["host"] for host in hosts if host["stopped"]]:
        yield Problem(f"stopped requesting images from {_listed(stopped)}", "hosts")
    if unverified := sum(host["unverified"] for host in hosts):
        yield Problem(f"{unverified:,} images downloaded without verifying the host's certificate", "hosts")


def _reasons(step: Step) -> str:
    return _listed([f"{reason.replace('_', ' ')} {rows:,}" for reason, rows in step.dropped.items()])


def _listed(names: Sequence[str]) -> str:
    more = len(names) - MOST_NAMES
    return ", ".join(names[:MOST_NAMES]) + (f" and {more} more" if more > 0 else "")
