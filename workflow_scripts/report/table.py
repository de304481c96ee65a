"""Print the scores as a table for the terminal."""

import sys
from pathlib import Path

from workflow_scripts.common.cli import AsJson, print_json, run
from workflow_scripts.report.scores import STD, Scores, read_scores


def table(*, scores: tuple[Path, ...], report: Path, json_lines: AsJson = False) -> None:
    """Print the scores in percent (rows: benchmark and metric; columns: models) and the path of the report.

    Args:
        scores: score files; they set the order of models and benchmarks.
        report: path of the report's page.
        json_lines: print one JSON object: report, and scores as a list of benchmark, metric, model, value, std
            and chance.

    Raises:
        InputError: a score file is missing or unreadable.
    """
    read = read_scores(scores)
    if json_lines:
        print_json({"report": str(report), "scores": _values(read)})
        return
    rows = _rows(read)
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        names = [cell.ljust(width) for cell, width in zip(row[:2], widths[:2], strict=True)]
        numbers = [cell.rjust(width) for cell, width in zip(row[2:], widths[2:], strict=True)]
        sys.stdout.write("  ".join([*names, *numbers]).rstrip() + "\n")
    sys.stdout.write(f"\nreport: {report}\n")


def _values(scores: Scores) -> list[dict[str, object]]:
    return [
        {
            "benchmark": benchmark,
            "metric": metric,
            "model": model,
            "value": scores.value(benchmark, metric, model),
            "std": scores.value(benchmark, metric + STD, model),
            "chance": scores.chance(benchmark, metric),
        }
        for benchmark in scores.benchmarks
        for metric in scores.metrics(benchmark)
        for model in scores.models
    ]


def _rows(scores: Scores) -> list[list[str]]:
    rows = [["benchmark", "percent", *scores.models, "chance"]]
    for benchmark in scores.benchmarks:
        for metric in scores.metrics(benchmark):
            values = [
                _percent(scores.value(benchmark, metric, model), scores.value(benchmark, metric + STD, model))
                for model in scores.models
            ]
            rows.append([benchmark, metric, *values, _percent(scores.chance(benchmark, metric))])
    return rows


def _percent(value: float | None, std: float | None = None) -> str:
    if value is None:
        return "-"
    return f"{100 * value:.1f}" + ("" if std is None else f" ± {100 * std:.1f}")


if __name__ == "__main__":
    run(table)
