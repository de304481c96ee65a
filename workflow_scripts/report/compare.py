"""Compare several finished runs on one page: scores, training curves, config, corpus and cost."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from workflow_scripts.common.cli import AsJson, print_json
from workflow_scripts.common.cli import run as run_command
from workflow_scripts.common.errors import InputError
from workflow_scripts.common.files import write_text
from workflow_scripts.common.remedies import snakemake
from workflow_scripts.report import figures
from workflow_scripts.report.compared_costs import step_costs, totals_by_users
from workflow_scripts.report.corpora import Run, places
from workflow_scripts.report.curves import read_curves
from workflow_scripts.report.headline import effect_of
from workflow_scripts.report.pages import page_parts, page_templates
from workflow_scripts.report.paired import Paired, paired
from workflow_scripts.report.scores import MAIN_METRIC, STD, Scores, read_scores

TEMPLATE = "compare.html.j2"
MISSING = "–"


@dataclass(frozen=True)
class Row:
    """A setting or fact, and its value by run, for the runs that have one."""

    name: str
    values: Mapping[str, Any]
    runs: tuple[str, ...]

    @property
    def differs(self) -> bool:
        """Whether the value differs between runs."""
        return len(set(self.texts)) > 1

    @property
    def texts(self) -> list[str]:
        """The value in each run, for display."""
        return [_text(self.values[run]) if run in self.values else MISSING for run in self.runs]


def compare(
    *,
    runs: tuple[str, ...] = (),
    results: Path | None = None,
    out: Path | None = None,
    json_lines: AsJson = False,
) -> None:
    """Write one page that compares finished runs; the first one is the reference.

    Args:
        runs: names of at least two runs.
        results: the results folder. Default: the site's.
        out: the page. Default: `RESULTS/compare/RUNS/index.html`.
        json_lines: print one JSON object: page; scores (benchmark, metric, run, value, interval, and the paired
            difference from the first run where it is known); config, versions and corpora (name, and values by run);
            costs (step, owner, works, of_runs, and seconds, with shared work once).

    Raises:
        InputError: fewer than two different runs, or a run has no report.
    """
    if len(runs) < 2 or len(set(runs)) < len(runs):
        raise InputError("name at least two different runs: --config 'runs=[a,b]'")
    folder = places(results)
    found = [Run(folder / "runs" / name) for name in runs]
    for one in found:
        if not one.facts:
            command = snakemake("report", config=[f"run={one.name}"])
            raise InputError(f"{one.folder}/report/run.json: not found; run `{command}`")
    scores = read_scores([path for one in found for path in _score_files(one)], own=runs[0])
    page = out or folder / "compare" / "-".join(runs) / "index.html"
    steps = step_costs(found)
    curves = {one.name: read_curves(one.folder / "train/metrics.jsonl") for one in found}
    drawn = {"zero-shot": figures.score_dots(scores, MAIN_METRIC), "training": figures.overlaid(curves)}
    pairs = _pairs(found, scores)
    config = [row for row in _rows(found, "config") if row.differs and row.name != "run"]
    versions = [row for row in _rows(found, "versions") if row.differs]
    corpora = _rows(found, "corpus")
    text = (
        page_templates()
        .get_template(TEMPLATE)
        .render(
            runs=runs,
            config=config,
            corpora=corpora,
            versions=versions,
            scores=scores,
            std=STD,
            main=MAIN_METRIC,
            effect_of=effect_of,
            pairs=pairs,
            steps=steps,
            totals=totals_by_users(steps),
            figures={name: figure for name, figure in drawn.items() if figure is not None},
            **page_parts(),
        )
    )
    write_text(page, text)
    if not json_lines:
        sys.stdout.write(f"{page}\n")
        return
    facts = {"config": config, "versions": versions, "corpora": corpora}
    print_json(
        {"page": str(page), "scores": list(_score_rows(runs, scores, pairs))}
        | {name: [{"name": row.name, "values": row.values} for row in rows] for name, rows in facts.items()}
        | {"costs": [{**asdict(step), "seconds": step.seconds} for step in steps]}
    )


def _score_files(one: Run) -> list[Path]:
    """Score files of a run's own model on the config's benchmarks; files of other benchmarks may be outdated."""
    return [one.folder / "scores" / one.name / f"{benchmark}.json" for benchmark in one.facts["config"]["benchmarks"]]


def _rows(found: Sequence[Run], fact: str) -> list[Row]:
    """A nested fact of the runs as rows by dotted name, in order of first appearance."""
    flat = {one.name: dict(_flat(one.facts[fact])) for one in found}
    names = dict.fromkeys(name for one in flat.values() for name in one)
    return [Row(name, {run: one[name] for run, one in flat.items() if name in one}, tuple(flat)) for name in names]


def _flat(value: Any, name: str = "") -> list[tuple[str, Any]]:
    if isinstance(value, Mapping):
        return [pair for key, inner in value.items() for pair in _flat(inner, f"{name}.{key}".strip("."))]
    if isinstance(value, list) and any(isinstance(inner, Mapping) for inner in value):
        return [pair for number, inner in enumerate(value) for pair in _flat(inner, f"{name}.{number}")]
    return [(name, value)]


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def _score_rows(
    runs: Sequence[str], scores: Scores, pairs: Mapping[tuple[str, str], Paired | None]
) -> Iterator[dict[str, Any]]:
    """Scores as rows, with paired differences from the first run where they are known."""
    for benchmark in scores.benchmarks:
        for metric in scores.metrics(benchmark):
            for run in runs:
                row: dict[str, Any] = {"benchmark": benchmark, "metric": metric, "run": run}
                row |= {
                    "value": scores.value(benchmark, metric, run),
                    "interval": scores.interval(benchmark, metric, run),
                }
                pair = pairs.get((benchmark, run)) if metric == MAIN_METRIC else None
                yield row | ({"difference": asdict(pair.top1)} if pair else {})


def _pairs(found: Sequence[Run], scores: Scores) -> dict[tuple[str, str], Paired | None]:
    """Paired differences of top-1 predictions from the first run, by benchmark and run.

    None if the two runs scored different images. Benchmarks whose score is a mean over subsets have no entry: their
    difference is not a mean over images.
    """
    first, *others = found
    pairs: dict[tuple[str, str], Paired | None] = {}
    for benchmark in scores.benchmarks:
        name = f"{benchmark}.predictions.parquet"
        own = first.folder / "scores" / first.name / name
        of_subsets = any(metric.startswith("subset/") for metric in scores.metrics(benchmark))
        for other in others:
            theirs = other.folder / "scores" / other.name / name
            if not _same_images(scores, benchmark, first, other):
                pairs[benchmark, other.name] = None
            elif own.exists() and theirs.exists() and not of_subsets:
                pairs[benchmark, other.name] = paired(own, theirs)
    return pairs


def _same_images(scores: Scores, benchmark: str, one: Run, other: Run) -> bool:
    files = [scores.files.get((benchmark, run.name), {}) for run in (one, other)]
    images = [file.get("inputs", {}).get("images") for file in files]
    return images[0] == images[1]


if __name__ == "__main__":
    run_command(compare)
