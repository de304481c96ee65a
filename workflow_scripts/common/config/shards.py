"""Training shards."""

from typing import Literal

from pydantic import Field

from workflow_scripts.common.config.base import Section, Seed


class ShardSettings(Section):
    """How samples are written. Neither the number of jobs nor names are part of it."""

    image_size: int = Field(224, ge=16, le=4096, description="Side of the square images, pixels.")
    resize: Literal["squash", "crop"] = Field("squash", description="Squash to the square, as the papers did, or crop.")
    samples_per_shard: int = Field(10_000, ge=1, description="Samples a shard.")
    seed: Seed = Field(42, description="Key of the global shuffle.")
