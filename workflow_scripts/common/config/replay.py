"""Replay pairs: what keeps the model from forgetting."""

from typing import Any

from pydantic import Field, field_validator, model_validator

from workflow_scripts.common.config.base import Section
from workflow_scripts.common.config.download import DownloadSettings
from workflow_scripts.common.config.shards import ShardSettings


class ReplayColumns(Section):
    """Names of the metadata's columns; they differ between releases of LAION. An absent one is null."""

    url: str = Field("URL", description="Image address.")
    caption: str = Field("TEXT", description="Caption.")
    width: str | None = Field("WIDTH", description="Width in pixels.")
    height: str | None = Field("HEIGHT", description="Height in pixels.")
    similarity: str | None = Field("similarity", description="CLIP similarity of image and caption.")
    punsafe: str | None = Field(
        "punsafe", description="Probability of being unsafe. `null` says that there is none, and all rows pass."
    )
    pwatermark: str | None = Field("pwatermark", description="Probability of a watermark.")
    license: str | None = Field(None, description="Licence, as the metadata writes it (`LICENSE`).")
    language: str | None = Field(None, description="Language of the caption (`LANGUAGE`).")


class ReplaySettings(Section):
    """A LAION-like set of image and caption pairs."""

    metadata: list[str] = Field(min_length=1, description="Parquet files, in order.")
    columns: ReplayColumns = Field(default_factory=ReplayColumns, description="Column names.")
    min_size: int = Field(0, ge=0, description="Least stated shorter side, pixels; rows without sizes pass.")
    min_similarity: float | None = Field(None, ge=-1, le=1, description="Least similarity; rows without it fail.")
    max_punsafe: float | None = Field(
        0.5, ge=0, le=1, description="Largest probability of being unsafe; rows without it pass."
    )
    max_pwatermark: float | None = Field(
        0.8, ge=0, le=1, description="Largest probability of a watermark; rows without it pass."
    )
    licenses: list[str] | None = Field(
        None, description="Licences that are kept, as the metadata writes them; rows without one fail. Default: all."
    )
    languages: list[str] | None = Field(
        None, description="Languages that are kept, as the metadata writes them; rows without one fail. Default: all."
    )
    parts: int = Field(2, ge=1, le=5000, description="Download parts.")
    max_shards: int | None = Field(None, ge=1, description="Keep the first N shards only.")
    val_share: float = Field(0.05, ge=0, lt=1, description="Share held out, to measure forgetting.")
    download: DownloadSettings = Field(
        default_factory=lambda: DownloadSettings(min_size=0), description="What is kept of a replay image."
    )
    shards: ShardSettings = Field(default_factory=ShardSettings, description="How shards are written.")

    @field_validator("download", mode="before")
    @classmethod
    def _small_images_too(cls, value: Any) -> Any:
        """Whatever else is said of replay images, their size is no reason against them unless it is said."""
        return {"min_size": 0, **value} if isinstance(value, dict) else value

    @model_validator(mode="after")
    def _filters_have_columns(self) -> "ReplaySettings":
        for key, column in (("licenses", "license"), ("languages", "language")):
            if getattr(self, key) is not None and getattr(self.columns, column) is None:
                raise ValueError(f"replay.{key} needs replay.columns.{column}")
        return self
