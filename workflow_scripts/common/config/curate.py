"""Which images are kept."""

from typing import Annotated, Literal

from pydantic import Field

from workflow_scripts.common.config.base import Section
from workflow_scripts.common.pdq_distance import BITS, MAX_DISTANCE

Rank = Literal["kingdom", "phylum", "class", "order", "family", "genus", "species"]


class TaxaFilter(Section):
    """Which taxa are kept."""

    include: list[str] = Field(default_factory=list, description="Names at any rank; when given, only these are kept.")
    exclude: list[str] = Field(default_factory=list, description="Names at any rank that are left out.")
    min_rank: Rank = Field("genus", description="Labels resolved only to a rank above this one are left out.")
    cap: int | None = Field(None, ge=1, description="Most images a species; older generations count first.")
    floor: int | None = Field(None, ge=1, description="Species with fewer images than this are left out.")


class LicenceFilter(Section):
    """Which licences are kept. Whatever they are, `attribution.parquet` names them."""

    allow: list[str] | None = Field(
        None,
        description="SPDX identifiers that are kept (`CC-BY-4.0`; `CC-BY` is a licence whose version nobody gives, and "
        "covers no other). Default: all.",
    )
    unknown: Literal["keep", "drop"] = Field(
        "keep", description="What becomes of images whose licence is absent or no known one."
    )


class CurateSettings(Section):
    """What becomes of each image. Changing it downloads nothing again."""

    taxa: TaxaFilter = Field(default_factory=TaxaFilter, description="Which taxa are kept.")
    licences: LicenceFilter = Field(default_factory=LicenceFilter, description="Which licences are kept.")
    clean_of: list[str] = Field(
        default_factory=list,
        description="Benchmarks (CSV layout) whose images are kept out: those with the same bytes, or with a PDQ hash "
        f"at most {MAX_DISTANCE} of {BITS} bits away. A benchmark that is added later belongs into a new corpus's "
        "list, not into this one's: the target `leakage` reports on it.",
    )
    hold_out_species_of: list[str] = Field(
        default_factory=list, description="Benchmarks (CSV layout, with ranks) whose species are kept out altogether."
    )
    min_size: int = Field(
        224, ge=0, description="Images whose original's shorter side is below this are left out, pixels."
    )
    exclude_basis: list[str] = Field(
        default=["MATERIAL_CITATION"], description="Values of basisOfRecord that are left out (GBIF)."
    )
    camera_trap_max: int | None = Field(
        15,
        ge=1,
        description="Camera-trap occurrences (by `img_type`, or where it is empty by `basisOfRecord` "
        "MACHINE_OBSERVATION) with more images than this are left out.",
    )
    verdicts: list[str] = Field(
        default_factory=list,
        description="Parquet files with `uuid` and `reason` of images that another judge refuses (of faces, say).",
    )
    placeholder_taxa: int = Field(3, ge=2, description="One picture under at least this many taxa is a placeholder.")
    val_share: float = Field(0.02, ge=0, lt=1, description="Share of the occurrences held out for validation.")


class AttributionSettings(Section):
    """Whom the corpus names."""

    cite: dict[str, Annotated[str, Field(min_length=1)]] = Field(
        default_factory=dict, description="What to cite, by `dataset_key` or `data_source` (usually a DOI)."
    )
