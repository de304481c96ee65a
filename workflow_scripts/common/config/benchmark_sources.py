"""Sources of the papers' benchmarks, for messages about missing files and for the table in the docs."""

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
        source: who made it.
        licence: under which terms.
        get: where to go, and what to put in place.
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
    """What to do about a benchmark's missing file, by its dotted config key; "" for anything else."""
    section, _, rest = key.partition(".")
    source = benchmark_sources().get(rest.partition(".")[0]) if section == "benchmarks" else None
    return f" ({source.get})" if source else ""


def _fetched(spec: Benchmark) -> str:
    """What of a recipe's benchmark `snakemake fetch` brings, before the words for the rest."""
    if not getattr(spec, "fetch", []):
        return ""
    whole = all(path.startswith("{fetched}") for path in spec.given.values())
    return "`snakemake fetch`, from " if whole else "labels: `snakemake fetch`; images: "


def benchmark_table(benchmarks: dict[str, Any]) -> str:
    """The table of a recipe's benchmarks, in Markdown.

    Args:
        benchmarks: the recipe's section, by name.
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
