"""Settings of curation."""

from typing import Annotated, Literal

from pydantic import Field

from workflow_scripts.common.config.base import Section
from workflow_scripts.common.pdq_distance import BITS, MAX_DISTANCE

Rank = Literal["kingdom", "phylum", "class", "order", "family", "genus", "species"]


class TaxaFilter(Section):
    """Taxa to keep."""

    include: list[str] = Field(default_factory=list, description="Taxa to keep, by names at any rank. Default: all.")
    exclude: list[str] = Field(default_factory=list, description="Taxa to leave out, by names at any rank.")
    min_rank: Rank = Field("genus", description="Labels that are resolved only to a rank above this one are left out.")
    cap: int | None = Field(
        None, ge=1, description="Maximum number of images per species. Images of older generations are kept first."
    )
    floor: int | None = Field(
        None, ge=1, description="Minimum number of images per species. Species with fewer are left out."
    )


class LicenceFilter(Section):
    """Licences to keep. `attribution.parquet` always lists the licence of each image."""

    allow: list[str] | None = Field(
        None,
        description="SPDX identifiers to keep. `CC-BY` is a licence stated without a version; it does not "
        "cover `CC-BY-4.0`. Default: all.",
    )
    unknown: Literal["keep", "drop"] = Field(
        "keep", description="Whether to keep images whose licence is missing or unknown."
    )


class CurateSettings(Section):
    """Which images are kept. Changing these settings downloads nothing again."""

    taxa: TaxaFilter = Field(default_factory=TaxaFilter, description="Which taxa are kept.")
    licences: LicenceFilter = Field(default_factory=LicenceFilter, description="Which licences are kept.")
    clean_of: list[str] = Field(
        default_factory=list,
        description="Benchmarks whose images are left out of the corpus: images with the same bytes, or "
        f"with a PDQ hash at most {MAX_DISTANCE} of {BITS} bits away. For a benchmark that is added later, use the "
        "target `leakage`; list it here only for a new corpus.",
    )
    hold_out_species_of: list[str] = Field(
        default_factory=list,
        description="Benchmarks (CSV layout, with ranks) whose species are left out of the corpus entirely.",
    )
    min_size: int = Field(
        224,
        ge=0,
        description="Minimum shorter side of the original, pixels. Smaller images are left out. Default: "
        "`download.min_size`.",
    )
    exclude_basis: list[str] = Field(
        default=["MATERIAL_CITATION"], description="Values of basisOfRecord to leave out (GBIF)."
    )
    camera_trap_max: int | None = Field(
        15,
        ge=1,
        description="Maximum number of images per camera-trap occurrence; occurrences with more are left out. "
        "Camera traps are recognised by `img_type`, or if that is empty by `basisOfRecord` MACHINE_OBSERVATION.",
    )
    verdicts: list[str] = Field(
        default_factory=list,
        description="Parquet files written by other programs, with `uuid` and `reason` of images to leave out.",
    )
    placeholder_taxa: int = Field(
        3,
        ge=2,
        description="An image that occurs under this many taxa or more is treated as a placeholder and left out.",
    )
    val_share: float = Field(
        0.02,
        ge=0,
        lt=1,
        description="Share of occurrences held out for validation. All images of an occurrence are in the same split.",
    )


class AttributionSettings(Section):
    """Citations for the corpus's attribution."""

    cite: dict[str, Annotated[str, Field(min_length=1)]] = Field(
        default_factory=dict, description="Citations (usually DOIs) by `dataset_key` or `data_source`."
    )
