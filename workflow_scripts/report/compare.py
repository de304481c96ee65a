"""Compare several finished runs on one page: scores, training curves, config, corpus and cost."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
    """A setting or fact, and its value in each run."""

    name: str
    values: tuple[str, ...]

    @property
    def differs(self) -> bool:
        """Whether the value differs between runs."""
        return len(set(self.values)) > 1


def compare(*, runs: tuple[str, ...] = (), results: Path | None = None, out: Path | None = None) -> None:
    """Write one page that compares finished runs; the first one is the reference.

    Args:
        runs: names of at least two runs.
        results: the results folder. Default: the site's.
        out: the page. Default: `RESULTS/compare/RUNS/index.html`.

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
    text = (
        page_templates()
        .get_template(TEMPLATE)
        .render(
            runs=runs,
            config=[row for row in _rows([one.facts["config"] for one in found]) if row.differs and row.name != "run"],
            corpora=_rows([one.facts["corpus"] for one in found]),
            versions=[row for row in _rows([one.facts["versions"] for one in found]) if row.differs],
            scores=scores,
            std=STD,
            main=MAIN_METRIC,
            effect_of=effect_of,
            pairs=_pairs(found, scores),
            steps=steps,
            totals=totals_by_users(steps),
            figures={name: figure for name, figure in drawn.items() if figure is not None},
            **page_parts(),
        )
    )
    write_text(page, text)
    sys.stdout.write(f"{page}\n")


def _score_files(one: Run) -> list[Path]:
    """Score files of a run's own model on the config's benchmarks; files of other benchmarks may be outdated."""
    return [one.folder / "scores" / one.name / f"{benchmark}.json" for benchmark in one.facts["config"]["benchmarks"]]


def _rows(values: Sequence[Mapping[str, Any]]) -> list[Row]:
    """Nested values as rows by dotted name, in order of first appearance."""
    flat = [dict(_flat(value)) for value in values]
    names = dict.fromkeys(name for one in flat for name in one)
    return [Row(name, tuple(one.get(name, MISSING) for one in flat)) for name in names]


def _flat(value: Any, name: str = "") -> list[tuple[str, str]]:
    if isinstance(value, Mapping):
        return [pair for key, inner in value.items() for pair in _flat(inner, f"{name}.{key}".strip("."))]
    if isinstance(value, list) and any(isinstance(inner, Mapping) for inner in value):
        return [pair for number, inner in enumerate(value) for pair in _flat(inner, f"{name}.{number}")]
    if isinstance(value, list):
        return [(name, ", ".join(map(str, value)))]
    return [(name, f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value))]


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
