"""Sources of the papers' benchmarks, for messages about missing files and for the table in `docs/benchmarks.md`."""

from functools import cache
from pathlib import Path
from typing import Any

import yaml

from workflow_scripts.common.config.base import Section
from workflow_scripts.common.config.evaluate import Benchmark, BenchmarkSettings

SOURCES = "benchmark_sources.yaml"
HEADER = ("benchmark", "layout", "text type", "protocol", "source", "licence", "how to get it")


class BenchmarkSource(Section):
    """Where a benchmark comes from.

    Attributes:
        source: its authors or publisher.
        licence: terms of use.
        get: how to get it and where to put it.
    """

    source: str
    licence: str
    get: str


@cache
def benchmark_sources() -> dict[str, BenchmarkSource]:
    """The papers' benchmarks, by name."""
    text = Path(__file__).with_name(SOURCES).read_text(encoding="utf-8")
    return {name: BenchmarkSource.model_validate(source) for name, source in yaml.safe_load(text).items()}


def how_to_get(key: str) -> str:
    """How to get a benchmark's missing file, by its dotted config key; "" for other keys."""
    section, _, rest = key.partition(".")
    source = benchmark_sources().get(rest.partition(".")[0]) if section == "benchmarks" else None
    return f" ({source.get})" if source else ""


def _fetched(spec: Benchmark) -> str:
    """Which files of a benchmark `snakemake fetch` downloads, as a prefix to how to get the others."""
    if not getattr(spec, "fetch", []):
        return ""
    is_complete = all(path.startswith("{fetched}") for path in spec.given.values())
    return "`snakemake fetch`, from " if is_complete else "labels: `snakemake fetch`; images: "


def benchmark_table(benchmarks: dict[str, Any]) -> str:
    """A Markdown table of a recipe's benchmarks.

    Args:
        benchmarks: the recipe's section `benchmarks`.
    """
    rows = [HEADER, ("---",) * len(HEADER)]
    for name, settings in benchmarks.items():
        spec = BenchmarkSettings.model_validate(settings).spec
        published = getattr(spec, "published_text_type", None)
        text_type = getattr(spec, "text_type", "none") + (f" (published: {published})" if published else "")
        source = benchmark_sources()[name]
        rows.append(
            (name, spec.layout, text_type, spec.protocol, source.source, source.licence, _fetched(spec) + source.get)
        )
    return "\n".join(f"| {' | '.join(row)} |".replace("| --- ", "|---").replace("--- |", "---|") for row in rows) + "\n"
