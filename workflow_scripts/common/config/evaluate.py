"""Benchmarks and the models that they score."""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from workflow_scripts.common.config.base import Section

ClassText = Literal["asis", "sci", "com", "taxon", "sci_com", "taxon_com"]


class CsvBenchmark(Section):
    """A classification benchmark in the papers' common layout: a CSV and a folder of images."""

    layout: Literal["csv"] = Field(description="Which reader.")
    labels: str = Field(description="CSV with `filepath` and `class`, and where known ranks and common_name.")
    images: str = Field(description="Folder that `filepath` starts from. It is read, never written.")
    text_type: ClassText = Field(
        "asis", description="How a class is written: `asis` takes `class` verbatim, others build it from the ranks."
    )
    published_text_type: ClassText | None = Field(
        None,
        description="How the code behind the published table wrote it, where that was otherwise (Rare Species: "
        "`sci_com`); scored besides, as `published/zero_shot`.",
    )
    shots: list[Annotated[int, Field(ge=1)]] = Field(
        default=[1, 5], description="Few-shot: support images a class; empty for none."
    )

    @property
    def inputs(self) -> dict[str, str]:
        """The files that it reads, by option name."""
        return {"labels": self.labels}


class ReplayBenchmark(Section):
    """Held-out replay pairs of the corpus: each image among all distinct captions. It measures forgetting."""

    layout: Literal["replay"] = Field(description="Which reader.")


Benchmark = Annotated[CsvBenchmark | ReplayBenchmark, Field(discriminator="layout")]


class BenchmarkSettings(Section):
    """A benchmark of any layout, for the command line of a step: the benchmark's own JSON is enough."""

    spec: Benchmark = Field(description="The benchmark.")

    @model_validator(mode="before")
    @classmethod
    def _bare(cls, value: Any) -> Any:
        return {"spec": value} if isinstance(value, dict) and "layout" in value else value


class EmbedLimits(Section):
    """How features are made. It cannot change the numbers beyond rounding."""

    batch: int = Field(256, ge=1, description="Images a forward pass.")
    workers: int = Field(1, ge=0, description="Loader workers.")
