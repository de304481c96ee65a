"""Backbones and name resolution."""

from typing import Literal, get_args

from pydantic import Field

from workflow_scripts.common.config.base import Section

Strategy = Literal[
    "override", "taxon_key", "exact", "synonym", "rank_context", "filled", "fuzzy", "hidden_binomial", "higher_rank"
]
STRATEGIES: tuple[Strategy, ...] = get_args(Strategy)


class Backbone(Section):
    """A checklist that names are resolved against."""

    name: str = Field(pattern=r"^[a-z0-9_]+$", description="Its name; taxon ids start with it.")
    reader: Literal["dwca"] = Field(description="Its format: a Darwin Core Archive's folder or zip.")
    path: str = Field(description="Folder or zip with Taxon.tsv and VernacularName.tsv.")


class TaxonomySettings(Section):
    """How provider labels become taxa."""

    backbones: list[Backbone] = Field(min_length=1, description="In order of preference: the first that answers wins.")
    strategies: list[Strategy] = Field(
        default=list(STRATEGIES),
        description="Which strategies count, in this order whatever order is written here.",
    )
    languages: list[str] = Field(default=["en", "eng"], description="Languages of common names, the first preferred.")
    overrides: str | None = Field(
        None,
        description="A curator's CSV file: columns of the provider's label that a row is for (any of the seven ranks, "
        "scientific_name), taxon_id (`backbone:id`; empty: leave it unresolved), why.",
    )
