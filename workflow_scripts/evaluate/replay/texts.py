"""The texts of replay pairs: their captions, verbatim."""

from typing import TYPE_CHECKING

from workflow_scripts.common.prompts import Template
from workflow_scripts.evaluate.classes import Classes

if TYPE_CHECKING:
    import polars as pl

TEMPLATES: tuple[Template, ...] = (str,)


def captions_of(table: "pl.DataFrame") -> Classes:
    """Classes of replay pairs: one per distinct caption."""
    return Classes.in_order(table["class"].to_list())
