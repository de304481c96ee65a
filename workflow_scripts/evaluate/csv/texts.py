"""How a benchmark's classes are written, by the rules of the papers' evaluation code (bioclip-2 v1.0.1)."""

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
    """The classes by the names that prompts are made of.

    As in the published code, images whose names are equal are of one class, whatever their label says.

    Raises:
        InputError: a row has no name of this type.
    """
    return Classes.in_order([class_name(row, text_type) for row in table.iter_rows(named=True)])


def class_name(row: Mapping[str, Any], text_type: str) -> str:
    """The name that prompts are made of, for one row of the images table.

    Raises:
        InputError: the row has no name of this type.
    """
    if name := written(row, text_type):
        return name
    raise InputError(
        f"row {row['position']} of the labels, class {row['class']!r}: no name of the type {text_type}; "
        "fill in its ranks, or take text_type asis"
    )


def written(row: Mapping[str, Any], text_type: str) -> str:
    """The name of a class that a text type writes; "" where the row has none.

    `asis` is `class` verbatim, underscores and all. The others are built from the ranks, and differ from training's
    captions in two ways: without a kingdom only `Genus species` is written, and without a common name nothing is
    added. Where `com` has no common name it is the scientific name, for a prompt must name something.

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
