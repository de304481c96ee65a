"""Class names of a benchmark, by the rules of the papers' evaluation code (bioclip-2 v1.0.1)."""

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from workflow_scripts.common.captions import Taxon, with_common_name
from workflow_scripts.common.config.evaluate import ClassText
from workflow_scripts.common.errors import InputError
from workflow_scripts.evaluate.classes import Classes

if TYPE_CHECKING:
    import polars as pl


def classes_of(table: "pl.DataFrame", text_type: ClassText) -> Classes:
    """The classes of a benchmark, identified by their names in prompts.

    As in the published code, images with equal names have the same class, even if their labels differ.

    Raises:
        InputError: a row has no name of this text type.
    """
    return Classes.in_order([class_name(row, text_type) for row in table.iter_rows(named=True)])


def class_name(row: Mapping[str, Any], text_type: str) -> str:
    """The class name in prompts for one row of the images table.

    Raises:
        InputError: the row has no name of this text type.
    """
    if name := name_of_type(row, text_type):
        return name
    raise InputError(
        f"row {row['position']} of the labels, class {row['class']!r}: no name of text type {text_type}; "
        "fill in its ranks, or set text_type: asis"
    )


def name_of_type(row: Mapping[str, Any], text_type: str) -> str:
    """The class name of a text type; "" if the row has none.

    `asis` is `class` verbatim, including underscores. The others are built from the ranks and differ from training
    captions in two ways: without a kingdom the name is only `Genus species`, and a missing common name adds nothing.
    `com` falls back to the scientific name.

    Args:
        row: `class`, `common_name` and the seven ranks as `taxon_RANK`.
        text_type: one of ClassText.
    """
    if text_type == "asis":
        return str(row["class"])
    taxon = Taxon.from_row(row, "taxon_")
    *higher, species = taxon.ranks
    taxon = replace(taxon, ranks=(*(name.capitalize() for name in higher), species.lower()))
    kingdom, *_, genus, species = taxon.ranks
    scientific = " ".join(name for name in (genus, species) if name)
    head, _, with_common = text_type.partition("_")
    name = {
        "sci": scientific,
        "com": taxon.common_name or scientific,
        "taxon": taxon.taxonomic if kingdom else scientific,
    }[head]
    return name and with_common_name(name, taxon.common_name if with_common else "")
