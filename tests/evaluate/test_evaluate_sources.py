"""Every benchmark of the recipes has a source, which the error names when the benchmark is missing."""

from pathlib import Path

import pytest

from workflow_scripts.common.config.benchmark_sources import benchmark_sources, benchmark_table, how_to_get
from workflow_scripts.common.config.root import read_yaml

ROOT = Path(__file__).resolve().parents[2]


def test_bioclip_2_5_is_scored_as_bioclip_2_is() -> None:
    ours, theirs = (read_yaml(ROOT / f"config/{recipe}.yaml") for recipe in ("bioclip25", "bioclip2"))
    assert ours["benchmarks"] == theirs["benchmarks"]
    assert ours["curate"] == theirs["curate"]


@pytest.mark.parametrize("recipe", ["bioclip2", "bioclip", "bioclip25"])
def test_the_recipes_name_known_benchmarks_and_the_docs_show_them(recipe: str) -> None:
    benchmarks = read_yaml(ROOT / f"config/{recipe}.yaml")["benchmarks"]
    assert set(benchmark_sources()) - {"replay"} <= set(benchmarks) <= set(benchmark_sources())
    assert len(benchmark_table(benchmarks).splitlines()) == 2 + len(benchmarks)


def test_who_lacks_a_benchmark_is_told_where_to_go() -> None:
    assert "https://dl.allaboutbirds.org/nabirds" in how_to_get("benchmarks.nabirds.images")
    assert how_to_get("benchmarks.mine.images") == how_to_get("curate.verdicts.0") == ""
