"""Benchmarks and the models that they score."""

from typing import Annotated, Literal

from pydantic import Field

from workflow_scripts.common.config.base import Section


class CsvBenchmark(Section):
    """A classification benchmark in the papers' common layout: a CSV and a folder of images."""

    layout: Literal["csv"] = Field(description="Which reader.")
    labels: str = Field(description="CSV with `filepath` and `class`, and where known ranks and common_name.")
    images: str = Field(description="Folder that `filepath` starts from. It is read, never written.")
    text_type: Literal["asis", "sci", "com", "taxon", "sci_com", "taxon_com"] = Field(
        "asis", description="How a class is written: `asis` takes `class` verbatim, others build it from the ranks."
    )
    shots: list[int] = Field(default=[1, 5], description="Few-shot: support images a class; empty for none.")

    @property
    def inputs(self) -> dict[str, str]:
        """The files that it reads, by option name."""
        return {"labels": self.labels}


class ReplayBenchmark(Section):
    """Held-out replay pairs of the corpus: each image among all distinct captions. It measures forgetting."""

    layout: Literal["replay"] = Field(description="Which reader.")


Benchmark = Annotated[CsvBenchmark | ReplayBenchmark, Field(discriminator="layout")]


class EmbedLimits(Section):
    """How features are made. It cannot change the numbers beyond rounding."""

    batch: int = Field(256, ge=1, description="Images a forward pass.")
    workers: int = Field(1, ge=0, description="Loader workers.")
