"""What is looked at beyond scores, and what is made for others."""

from typing import Annotated

from pydantic import Field

from workflow_scripts.common.config.base import Section


class IntrinsicSettings(Section):
    """How features themselves are looked at: t-SNE, and how their distances follow the taxonomy."""

    benchmarks: list[str] | None = Field(
        None,
        description="Benchmarks whose features are looked at; their images need ranks. Default: all whose classes are "
        "written by ranks.",
    )


# How the SPDX ids begin of the licences that allow changed copies to be passed on: training images are scaled.
REDISTRIBUTABLE = (
    "CC0-1.0",
    "CC-PDM-1.0",
    *(f"CC-{terms}-{version}" for terms in ("BY", "BY-SA", "BY-NC", "BY-NC-SA") for version in ("1", "2", "3", "4")),
)


class PublishSettings(Section):
    """What `publish` writes. It uploads nothing."""

    images: bool = Field(True, description="Write the shards' images whose licence is one of `licences`.")
    licences: list[Annotated[str, Field(min_length=1)]] = Field(
        default=[*REDISTRIBUTABLE],
        description="How the SPDX identifiers begin of licences whose images are passed on. The default is every "
        "Creative Commons licence but those without derivatives: training images are scaled.",
    )
    model_license: Annotated[str, Field(min_length=1)] | None = Field(
        None,
        description="Licence of the model and of the run's crate, as Hugging Face's cards write it (`mit`, "
        "`cc-by-4.0`). `publish` and `crate` need it.",
    )
    authors: list[Annotated[str, Field(min_length=1)]] = Field(
        default_factory=list,
        description="Who ran this, and made model and dataset, for CITATION.cff, Croissant and the crate. `publish` "
        "and `crate` need it.",
    )
