"""Versions of the published evaluation code (Imageomics/bioclip-2) that a score may follow.

`v1.0.1` is from June 2025, `v2.0.0` from January 2026, `main-49e1cf5` from the head of 2026. It is not known which of
them produced BioCLIP 2's table. `corrected` fixes obvious mistakes in them.
"""

from collections.abc import Collection
from typing import Literal, get_args

Protocol = Literal["v1.0.1", "v2.0.0", "main-49e1cf5", "corrected"]
PROTOCOLS: tuple[Protocol, ...] = get_args(Protocol)
CORRECTED: Protocol = "corrected"
PUBLISHED = tuple(protocol for protocol in PROTOCOLS if protocol != CORRECTED)


def metric_name(metric: str, followed: Collection[Protocol]) -> str:
    """Name of a metric in score files; prefixed with the first version that it follows unless it is corrected."""
    if CORRECTED in followed:
        return metric
    return f"{next(protocol for protocol in PROTOCOLS if protocol in followed)}/{metric}"


def plain_metric(name: str) -> str:
    """Name of a metric without the prefix for its version."""
    version, _, metric = name.partition("/")
    return metric if version in PUBLISHED else name
