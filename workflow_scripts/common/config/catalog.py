"""Sources of metadata, by generation."""

from typing import Annotated, Literal

from pydantic import Field

from workflow_scripts.common.config.base import Section


class TreeOfLife200M(Section):
    """TreeOfLife-200M's `catalog.parquet` with its `provenance.parquet`."""

    name: str = Field(description="Name of the source within the corpus.")
    reader: Literal["treeoflife200m"] = Field(description="Which reader.")
    catalog: str = Field(description="Path of catalog.parquet.")
    provenance: str | None = Field(None, description="Path of provenance.parquet.")
    select: str | None = Field(None, description="SQL predicate over the catalogue's columns; other rows are left out.")

    @property
    def inputs(self) -> dict[str, str]:
        """The files that it reads, by option name."""
        return {"catalog": self.catalog} | ({"provenance": self.provenance} if self.provenance else {})


class Table(Section):
    """Any CSV or parquet table with `url` or `path` and columns named like ranks."""

    name: str = Field(description="Name of the source within the corpus.")
    reader: Literal["table"] = Field(description="Which reader.")
    table: str = Field(description="Path of the CSV or parquet file.")
    columns: dict[str, str] = Field(
        default_factory=dict,
        description="Our column name: its name in the table, where they differ (for example {species: binomial}).",
    )
    images: str | None = Field(
        None, description="Folder that relative values of `path` start from. Default: the table's."
    )
    select: str | None = Field(None, description="SQL predicate over the table's columns; other rows are left out.")

    @property
    def inputs(self) -> dict[str, str]:
        """The files that it reads, by option name."""
        return {"table": self.table}


Source = Annotated[TreeOfLife200M | Table, Field(discriminator="reader")]


class Generation(Section):
    """What the corpus grows by at one time. Once built, a generation is never changed; add another one."""

    sources: list[Source] = Field(min_length=1, description="Where its records come from, in order of preference.")
    parts: int = Field(4, ge=1, le=5000, description="How many download parts it is split into: the size to restart.")
