"""What belongs to a place, not to a recipe: `config/site.yaml`."""

from pydantic import Field

from workflow_scripts.common.config.base import Section


class SiteSettings(Section):
    """Where this machine or cluster keeps things, and who answers for it. Never part of a recipe."""

    results: str = Field("results", description="Folder for everything that is made.")
    data: str = Field(
        "data", description="Folder of what is given: metadata, benchmarks, models. Recipes call it `{data}`."
    )
    scratch: str | None = Field(
        None, description="The nodes' own disk, for `limits.train.stage_gb`; it may name a variable (`$TMPDIR`)."
    )
    memory_mb: int = Field(
        4096, ge=512, description="Memory limit of a data step (DuckDB spills to disk beyond it), MiB."
    )
    contact: str | None = Field(
        None, description="Mail or web address in the user agent, so that a host can reach you."
    )
