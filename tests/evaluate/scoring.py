"""Score a benchmark by the protocol of its layout, as its rule does."""

from importlib import import_module
from typing import Any

from workflow_scripts.common.config.evaluate import BenchmarkSettings
from workflow_scripts.evaluate.scoring import score


def score_layout(*, settings: BenchmarkSettings, **arguments: Any) -> None:
    """Write the scores of a benchmark of any layout."""
    layout = import_module(f"workflow_scripts.evaluate.{settings.spec.layout}.score")
    score(layout.score_model, settings=settings, **arguments)
