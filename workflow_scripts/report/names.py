"""Resolution of names: images by source and resolved rank."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from workflow_scripts.contracts import RANKS

RANKS_SHOWN = (*reversed(RANKS), "none")
"""The ranks that a label may reach, the lowest first; `none`: unresolved."""


@dataclass(frozen=True)
class Reached:
    """What a source's labels reached.

    Attributes:
        source: the source.
        labels: how many labels it has.
        images: how many images.
        by_rank: its images by the rank reached.
    """

    source: str
    labels: int
    images: int
    by_rank: Mapping[str, int]


def ranks_by_source(stats: Mapping[str, Any]) -> list[Reached]:
    """The sources of taxonomy's `stats.json`, those with most images first."""
    labels: Counter[str] = Counter()
    images: dict[str, Counter[str]] = {}
    for row in stats["by_source"]:
        labels[row["source"]] += row["labels"]
        images.setdefault(row["source"], Counter())[row["rank"]] += row["images"]
    found = [Reached(source, labels[source], counts.total(), counts) for source, counts in images.items()]
    return sorted(found, key=lambda one: (-one.images, one.source))
