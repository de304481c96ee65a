"""Settings of training shards."""

from typing import Literal

from pydantic import Field

from workflow_scripts.common.config.base import Section, Seed


class ShardSettings(Section):
    """How samples are written. The number of jobs and the names of taxa do not affect shards."""

    image_size: int = Field(224, ge=16, le=4096, description="Side of the square images, pixels.")
    resize: Literal["squash", "crop"] = Field(
        "squash", description="How images are made square: `squash`, as in the papers, or `crop`."
    )
    samples_per_shard: int = Field(10_000, ge=1, description="Samples per shard.")
    seed: Seed = Field(42, description="Seed of the global shuffle.")
