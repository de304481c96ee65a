"""Settings of replay pairs."""

from typing import Any

from pydantic import Field, field_validator, model_validator

from workflow_scripts.common.config.base import Section
from workflow_scripts.common.config.download import DownloadSettings
from workflow_scripts.common.config.shards import ShardSettings


class ReplayColumns(Section):
    """Column names of the metadata, which differ between releases of LAION. Null: the column does not exist."""

    url: str = Field("URL", description="Column with the image's address.")
    caption: str = Field("TEXT", description="Column with the caption.")
    width: str | None = Field("WIDTH", description="Column with the width in pixels.")
    height: str | None = Field("HEIGHT", description="Column with the height in pixels.")
    similarity: str | None = Field("similarity", description="Column with the CLIP similarity of image and caption.")
    punsafe: str | None = Field(
        "punsafe",
        description="Column with the probability of unsafe content. `null`: the metadata has none; all rows pass.",
    )
    pwatermark: str | None = Field("pwatermark", description="Column with the probability of a watermark.")
    license: str | None = Field(None, description="Column with the licence (`LICENSE`).")
    language: str | None = Field(None, description="Column with the language of the caption (`LANGUAGE`).")


class ReplaySettings(Section):
    """A LAION-like set of image-caption pairs."""

    metadata: list[str] = Field(min_length=1, description="Parquet files with the metadata, in order.")
    columns: ReplayColumns = Field(default_factory=ReplayColumns, description="Names of the metadata's columns.")
    min_size: int = Field(0, ge=0, description="Minimum shorter side in the metadata, pixels. Rows without sizes pass.")
    min_similarity: float | None = Field(
        None, ge=-1, le=1, description="Minimum similarity. Rows without one are left out."
    )
    max_punsafe: float | None = Field(
        0.5, ge=0, le=1, description="Maximum probability of unsafe content. Rows without one pass."
    )
    max_pwatermark: float | None = Field(
        0.8, ge=0, le=1, description="Maximum probability of a watermark. Rows without one pass."
    )
    licenses: list[str] | None = Field(
        None, description="Licences to keep, as written in the metadata. Rows without one are left out. Default: all."
    )
    languages: list[str] | None = Field(
        None, description="Languages to keep, as written in the metadata. Rows without one are left out. Default: all."
    )
    parts: int = Field(2, ge=1, le=5000, description="Number of parts, each downloaded by one job.")
    max_shards: int | None = Field(None, ge=1, description="Number of shards to keep, the first ones. Default: all.")
    val_share: float = Field(0.05, ge=0, lt=1, description="Share of pairs held out to measure forgetting.")
    download: DownloadSettings = Field(
        default_factory=lambda: DownloadSettings(min_size=0),
        description="Which replay images are accepted and how they are stored.",
    )
    shards: ShardSettings = Field(default_factory=ShardSettings, description="How shards are written.")

    @field_validator("download", mode="before")
    @classmethod
    def _default_min_size(cls, value: Any) -> Any:
        """Default `min_size` to 0: replay images may be of any size."""
        return {"min_size": 0, **value} if isinstance(value, dict) else value

    @model_validator(mode="after")
    def _filters_have_columns(self) -> "ReplaySettings":
        for key, column in (("licenses", "license"), ("languages", "language")):
            if getattr(self, key) is not None and getattr(self.columns, column) is None:
                raise ValueError(f"replay.{key} needs replay.columns.{column}")
        return self
