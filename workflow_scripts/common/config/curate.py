"""Which images are kept."""

from typing import Literal

from pydantic import Field

from workflow_scripts.common.config.base import Section

Rank = Literal["kingdom", "phylum", "class", "order", "family", "genus", "species"]


class TaxaFilter(Section):
    """Which taxa are kept."""

    include: list[str] = Field(default_factory=list, description="Names at any rank; when given, only these are kept.")
    exclude: list[str] = Field(default_factory=list, description="Names at any rank that are left out.")
    min_rank: Rank = Field("genus", description="Labels resolved only to a rank above this one are left out.")


class CurateSettings(Section):
    """What becomes of each image. Changing it downloads nothing again."""

    taxa: TaxaFilter = Field(default_factory=TaxaFilter, description="Which taxa are kept.")
    min_size: int = Field(
        224, ge=0, description="Images whose original's shorter side is below this are left out, pixels."
    )
    placeholder_taxa: int = Field(3, ge=2, description="One picture under at least this many taxa is a placeholder.")
    val_share: float = Field(0.02, ge=0, lt=1, description="Share of the occurrences held out for validation.")
