"""A missing file stops only a run whose jobs read it."""

from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import TypeAdapter

from workflow_scripts.common.config.catalog import Generation
from workflow_scripts.common.generations import Generations
from workflow_scripts.common.missing_files import needed

TABLES = [
    {"name": "field.1", "reader": "table", "table": "a.csv", "images": "photos"},
    {"name": "lab", "reader": "folders", "images": "lab"},
]
GENERATIONS = Generations.planned(
    TypeAdapter(list[Generation]).validate_python(
        [
            {"parts": 2, "sources": TABLES},
            {"parts": 1, "sources": [{"name": "new", "reader": "table", "table": "b.csv", "images": "new"}]},
        ]
    )
)
TABLE, PHOTOS, LAB, NEW = (
    "generations.0.sources.field.1.table",
    "generations.0.sources.field.1.images",
    "generations.0.sources.lab.images",
    "generations.1.sources.new.images",
)
LABELS, PICTURES, START = "benchmarks.mine.labels", "benchmarks.mine.images", "model.start"
MISSING = {
    **{TABLE: "./a.csv", PHOTOS: "photos", LAB: "lab", NEW: "new"},
    **{LABELS: "mine.csv", PICTURES: "mine", START: "weights"},
}


def job(rule: str, *inputs: str, **wildcards: str) -> Any:
    return SimpleNamespace(rule=SimpleNamespace(name=rule), input=inputs, wildcards_dict=wildcards, is_norun=False)


READ = job("catalog_source", "a.csv", generation="g000", source="field.1")
READ_LAB = job("catalog_source", "lab", generation="g000", source="lab")
INDEX = job("benchmark_index", "mine.csv", benchmark="mine", identity="0")
DONE = [READ, READ_LAB, job("catalog_source", "b.csv", generation="g001", source="new"), INDEX]


@pytest.mark.parametrize(
    ("planned", "expected"),
    [
        ([], []),
        ([job("report_build", "scores.json")], []),
        ([READ], [TABLE, PHOTOS]),
        ([READ_LAB], [LAB]),
        ([job("download", part="0001")], [PHOTOS, LAB]),
        ([job("download", part="0002")], [NEW]),
        ([job("retry_failed")], [PHOTOS, LAB, NEW]),
        ([INDEX], [LABELS, PICTURES]),
        ([job("embed", "images.parquet", benchmark="mine", model="own")], [PICTURES]),
        ([job("embed", "images.parquet", benchmark="other", model="own")], []),
    ],
)
def test_only_what_a_job_to_run_reads_is_needed(planned: list[Any], expected: list[str]) -> None:
    def of(*targets: str) -> list[str]:
        dag: Any = SimpleNamespace(jobs=[*DONE, *planned], needrun_jobs=lambda exclude_finished: planned)
        dag.workflow = SimpleNamespace(dag_settings=SimpleNamespace(targets=targets))
        return needed(MISSING, dag, GENERATIONS)

    # Steps may find other files by their settings, except before models are in place.
    assert of("all") == [*expected, START]
    assert of("fetch") == expected


def test_a_source_that_the_plan_lacks_is_not_needed() -> None:
    dag: Any = SimpleNamespace(jobs=[INDEX], needrun_jobs=lambda exclude_finished: [INDEX])
    dag.workflow = SimpleNamespace(dag_settings=SimpleNamespace(targets=("evaluate",)))
    assert needed({TABLE: "./a.csv", LABELS: "mine.csv"}, dag, GENERATIONS) == [LABELS]
