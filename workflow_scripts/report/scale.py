"""Estimate time, memory, disk and files of a corpus, stage by stage, from measured unit costs.

`common/unit_costs.csv` has a row per step: the cost of a million units on one core or GPU, and the figure's source.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from workflow_scripts.common import tables
from workflow_scripts.common.cli import AsJson, print_json, run
from workflow_scripts.common.config.screen import Screening
from workflow_scripts.common.unit_costs import COSTS, HOUR, TRAINING, read_costs
from workflow_scripts.contracts import CATALOG

# About as many as GBIF's backbone and the Catalogue of Life have together.
NAMES = 12_000_000
SCREENING = "screen "


def scale(
    *,
    images: int = 0,
    labels: int = 0,
    catalog: tuple[Path, ...] = (),
    catalog_labels: tuple[Path, ...] = (),
    names: int | None = None,
    pairs: int = 0,
    epochs: float = 1,
    model: str = "ViT-L-14",
    parts: int | None = None,
    groups: int = 1,
    cores: int = 64,
    gpus: int = 8,
    screening: Screening = Screening(looks=[]),  # noqa: B008 (frozen)
    costs: Path = COSTS,
    json_lines: AsJson = False,
) -> None:
    """Print the time, memory, disk and files that each stage of a corpus needs on a cluster.

    Args:
        images: number of images, if there is no catalog yet.
        labels: number of distinct labels, if there is no catalog yet.
        catalog: parts of the catalog, to count its images.
        catalog_labels: tables of its labels, to count them.
        names: number of names in the backbones, 0 for none. Default: about those of GBIF and the Catalogue of Life
            together.
        pairs: number of replay pairs.
        epochs: epochs of the training.
        model: architecture to train, one of those in `costs`.
        parts: number of download jobs. Default: the number of catalog parts.
        groups: number of shard jobs.
        cores: number of cores of the cluster.
        gpus: number of GPUs of the cluster.
        screening: the judges; their images are counted in the catalog.
        costs: table of unit costs with the columns of `unit_costs.csv`.
        json_lines: print one JSON object per step: step, unit, units, on (core or gpu), hours on one core or GPU,
            hours_here, memory_mb, kept_bytes, files and source.

    Raises:
        InputError: `costs` is not a table of unit costs.
    """
    known = read_costs(costs)
    judged = _images_to_judge(catalog, screening)
    images += sum(map(tables.count_rows, catalog))
    labels += sum(map(tables.count_rows, catalog_labels))
    counts = {
        "images": images,
        "labels": labels,
        "names": NAMES if names is None else names,
        "pairs": pairs,
        "samples": images * epochs,
    }
    split = {"parts": parts or len(catalog) or 1, "groups": groups, "screen": screening.jobs}
    rows = [("step", "units", "one core", "cluster", "memory", "disk", "files", "source of figures")]
    estimates: list[dict[str, Any]] = []
    steps = [
        (cost, cost.step, counts[cost.unit])
        for cost in known
        if not cost.step.startswith((TRAINING, SCREENING)) or cost.step == TRAINING + model
    ]
    at = 1 + next((place for place, (cost, *_) in enumerate(steps) if cost.step == "download"), -1)
    steps[at:at] = [
        (cost, f"screen {look.name}", judged[look.name])
        for look in screening.looks
        for cost in known
        if cost.step == look.cost
    ]
    for cost, step, units in steps:
        if not units:
            continue
        hours = cost.seconds * units / 1e6 / HOUR
        parallel = min(gpus if cost.on == "gpu" else cores, split.get(cost.jobs) or int(cost.jobs))
        estimates.append(
            {
                "step": step,
                "unit": cost.unit,
                "units": units,
                "on": cost.on,
                "hours": hours,
                "hours_here": hours / parallel,
                "memory_mb": cost.memory_mb or None,
                "kept_bytes": cost.kept_bytes * units,
                "files": cost.files * units / 1e6,
                "source": cost.source,
            }
        )
        rows.append(
            (
                step,
                f"{units:,.0f} {cost.unit}" + (", assumed" if cost.unit == "names" and names is None else ""),
                _time(hours) + (" (GPU)" if cost.on == "gpu" else ""),
                _time(hours / parallel),
                f"{cost.memory_mb / 1024:.1f} GiB" if cost.memory_mb else "",
                f"{cost.kept_bytes * units / 1e9:,.1f} GB" if cost.kept_bytes else "",
                f"{cost.files * units / 1e6:,.0f}" if cost.files else "",
                cost.source,
            )
        )
    if json_lines:
        for one in estimates:
            print_json(one)
        return
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        cells = [text.ljust(width) for text, width in zip(row, widths, strict=True)]
        sys.stdout.write(f"| {' | '.join(cells)} |\n")
        if row is rows[0]:
            sys.stdout.write(f"|{'|'.join('-' * (width + 2) for width in widths)}|\n")
    measured = {cost.step for cost in known}
    if unknown := sorted({look.cost for look in screening.looks} - measured):
        sys.stderr.write(f"{', '.join(unknown)}: unit cost unknown; the log of the first job gives images per second\n")
    if not any(row[0] == TRAINING + model for row in rows):
        sys.stderr.write(f"training {model}: unit cost unknown; its progress bar shows the time left\n")


def _images_to_judge(catalog: Sequence[Path], screening: Screening) -> dict[str, int]:
    """Number of images in the catalog for each judge."""
    if not screening.looks or not catalog:
        return dict.fromkeys((look.name for look in screening.looks), 0)
    with tables.connect() as connection:
        tables.read(connection, catalog, CATALOG, "catalog")
        view = connection.view("catalog")
        return {look.name: len(view.filter(look.of)) for look in screening.looks}


def _time(hours: float) -> str:
    return f"{hours:,.1f} h" if hours >= 1 else f"{hours * 60:,.1f} min"


if __name__ == "__main__":
    run(scale)
