"""The versions of the published evaluation code (Imageomics/bioclip-2) that a score may follow.

`v1.0.1` is of June 2025, `v2.0.0` of January 2026, `main-49e1cf5` the head of 2026. Which of them made BioCLIP 2's
table is not known. `corrected` mends what is plainly a slip in them.
"""

from collections.abc import Collection
from typing import Literal, get_args

Protocol = Literal["v1.0.1", "v2.0.0", "main-49e1cf5", "corrected"]
PROTOCOLS: tuple[Protocol, ...] = get_args(Protocol)
CORRECTED: Protocol = "corrected"
PUBLISHED = tuple(protocol for protocol in PROTOCOLS if protocol != CORRECTED)


def metric_name(metric: str, followed: Collection[Protocol]) -> str:
    """The name of a metric in score files: its own where it is corrected, else below the first version it follows."""
    if CORRECTED in followed:
        return metric
    return f"{next(protocol for protocol in PROTOCOLS if protocol in followed)}/{metric}"


def plain_metric(name: str) -> str:
    """The metric without the version that it follows."""
    version, _, metric = name.partition("/")
    return metric if version in PUBLISHED else name
