"""Images by source and resolved rank."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from workflow_scripts.contracts import RANKS

RANKS_SHOWN = (*reversed(RANKS), "none")
"""Ranks that a label may resolve to, lowest first; `none`: unresolved."""


@dataclass(frozen=True)
class Reached:
    """Resolved ranks of a source's labels.

    Attributes:
        source: the source.
        labels: number of labels.
        images: number of images.
        by_rank: number of images by resolved rank.
    """

    source: str
    labels: int
    images: int
    by_rank: Mapping[str, int]


def ranks_by_source(stats: Mapping[str, Any]) -> list[Reached]:
    """The sources in taxonomy's `stats.json`, those with the most images first."""
    labels: Counter[str] = Counter()
    images: dict[str, Counter[str]] = {}
    for row in stats["by_source"]:
        labels[row["source"]] += row["labels"]
        images.setdefault(row["source"], Counter())[row["rank"]] += row["images"]
    found = [Reached(source, labels[source], counts.total(), counts) for source, counts in images.items()]
    return sorted(found, key=lambda one: (-one.images, one.source))
