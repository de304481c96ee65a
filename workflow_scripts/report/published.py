"""The papers' published scores, matched to ours by benchmark and protocol."""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from workflow_scripts.common.protocols import PUBLISHED
from workflow_scripts.report.scores import Scores

TABLE = Path(__file__).with_name("published.csv")
# Sizes of the papers' benchmarks: scored images and classes by their label files, and where the number of scored images
# is not published, all images of the data set as its paper or repository gives them. Empty if not known.
SIZES = Path(__file__).with_name("published_sizes.csv")
# Minimum share of a benchmark's images: a few may be unreadable or gone.
SHARE = 0.95
# Minimum share of a data set's images that its test split has; PlantDoc's, the smallest, has a tenth.
TEST_SHARE = 0.05
# The protocol versions that may have produced each paper's table. For BioCLIP 2's it is not documented. BioCLIP's code
# scores the shared benchmark as v2.0.0 does: Rare Species by taxonomic and common names.
MADE_BY = {"bioclip2": PUBLISHED, "bioclip": ("v2.0.0",)}


@dataclass(frozen=True)
class Comparison:
    """One benchmark's scores, ours and the papers'.

    Attributes:
        benchmark: name of the benchmark.
        metric: our metric, which follows published code.
        protocols: the versions it follows, among those that may have produced the published score.
        ours: our scores by model, fractions.
        theirs: the published scores by model, fractions.
    """

    benchmark: str
    metric: str
    protocols: tuple[str, ...]
    ours: dict[str, float | None]
    theirs: dict[str, float]


def compare(scores: Scores, table: Path = TABLE) -> list[Comparison]:
    """Compare our scores with published scores of the same benchmark and protocol, in the order of our benchmarks.

    Benchmarks of the same name but another size (the embedded world has some) are skipped. Published are zero-shot
    top-1 and the tasks without text of BioCLIP 2's model card, and zero-shot top-1 of the first paper. If the versions
    that may have produced a published score differ, there is one comparison for each.
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
    """Whether a benchmark has as many classes as the published one, and a plausible number of images."""
    images, classes = size
    known = {name: int(number) for name, number in published.items() if name != "benchmark" and number}
    most = known.get("images", known.get("all_images", images))
    least = SHARE * known["images"] if "images" in known else TEST_SHARE * known.get("all_images", 0)
    return classes == known.get("classes", classes) and least <= images <= most
