"""The papers' own scores beside ours, where a benchmark has the same name."""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from workflow_scripts.common.protocols import PUBLISHED
from workflow_scripts.report.scores import Scores

TABLE = Path(__file__).with_name("published.csv")
# How many images and classes the papers' benchmarks have, by their label files; empty where those do not say.
SIZES = Path(__file__).with_name("published_sizes.csv")
# Of those, the share that must be there: a few may be unreadable or gone.
SHARE = 0.95
# Which version of its code made BioCLIP 2's table is not known. BioCLIP's own code scores as BioCLIP 2's of v2.0.0 does
# the benchmarks that both have: Rare Species by taxonomic and common names.
MADE_BY = {"bioclip2": PUBLISHED, "bioclip": ("v2.0.0",)}


@dataclass(frozen=True)
class Comparison:
    """One benchmark's scores, ours and the papers'.

    Attributes:
        benchmark: its name.
        metric: ours, which follows published code.
        protocols: the versions that it follows, of those that may have made the published score.
        ours: our models' scores as fractions.
        theirs: the published scores as fractions, by model.
    """

    benchmark: str
    metric: str
    protocols: tuple[str, ...]
    ours: dict[str, float | None]
    theirs: dict[str, float]


def compare(scores: Scores, table: Path = TABLE) -> list[Comparison]:
    """Each benchmark that the papers score too, in the order of ours: only scores of the same protocol.

    A benchmark of the same name but another size (the embedded world has some) is another benchmark.
    Zero-shot top-1 and the tasks without text as the model card of BioCLIP 2 gives them, and zero-shot top-1 of the
    first paper. Where the versions that may have made a published score differ, there is one comparison for each.
    """
    with table.open(encoding="utf-8", newline="") as file:
        published = list(csv.DictReader(file))
    with SIZES.open(encoding="utf-8", newline="") as file:
        sizes = {row["benchmark"]: row for row in csv.DictReader(file)}
    found = []
    for benchmark in scores.benchmarks:
        if benchmark not in sizes or not _is_of_size(scores.size(benchmark), sizes[benchmark]):
            continue
        theirs: dict[str, dict[str, float]] = {}
        followed: dict[str, dict[str, None]] = {}
        for row in published:
            if row["benchmark"] != benchmark:
                continue
            for protocol in MADE_BY[row["paper"]]:
                if (ours := scores.following(benchmark, row["metric"], protocol)) is not None:
                    theirs.setdefault(ours, {})[row["model"]] = float(row["percent"]) / 100
                    followed.setdefault(ours, {})[protocol] = None
        for ours, of_papers in theirs.items():
            values = {model: scores.value(benchmark, ours, model) for model in scores.models}
            found.append(Comparison(benchmark, ours, tuple(followed[ours]), values, of_papers))
    return found


def _is_of_size(size: tuple[int, int], published: Mapping[str, str]) -> bool:
    """Whether a benchmark has the published one's classes, and nearly all of its images."""
    (images, classes), (all_images, all_classes) = size, (published["images"], published["classes"])
    return (not all_classes or classes == int(all_classes)) and (
        not all_images or SHARE * int(all_images) <= images <= int(all_images)
    )
