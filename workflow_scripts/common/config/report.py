"""Settings of feature analysis and publishing."""

from typing import Annotated

from pydantic import Field

from workflow_scripts.common.config.base import Section


class IntrinsicSettings(Section):
    """Analysis of features: t-SNE, and how well their distances follow the taxonomy."""

    benchmarks: list[str] | None = Field(
        None,
        description="Benchmarks whose features are analysed. Their labels need ranks. Default: all benchmarks "
        "whose classes are named by ranks.",
    )


# Prefixes of SPDX identifiers of licences that allow derivatives: training images are scaled copies.
REDISTRIBUTABLE = (
    "CC0-1.0",
    "CC-PDM-1.0",
    *(f"CC-{terms}-{version}" for terms in ("BY", "BY-SA", "BY-NC", "BY-NC-SA") for version in ("1", "2", "3", "4")),
)


class PublishSettings(Section):
    """What `publish` writes. It uploads nothing."""

    images: bool = Field(
        True, description="Whether to publish images. Only those with a licence in `licences` are written."
    )
    licences: list[Annotated[str, Field(min_length=1)]] = Field(
        default=[*REDISTRIBUTABLE],
        description="Licences whose images may be published, as prefixes of SPDX identifiers. Default: all "
        "Creative Commons licences that allow derivatives, because training images are scaled.",
    )
    model_license: Annotated[str, Field(min_length=1)] | None = Field(
        None,
        description="Licence of the model and of the run's crate, as in Hugging Face model cards (`mit`, "
        "`cc-by-4.0`). Required by `publish` and `crate`.",
    )
    authors: list[Annotated[str, Field(min_length=1)]] = Field(
        default_factory=list,
        description="Authors of model and dataset, for CITATION.cff, Croissant and the crate. Required by "
        "`publish` and `crate`.",
    )
