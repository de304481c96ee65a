"""Files that a person provides and that do not exist: which of them the jobs of a plan read."""

import os
from collections.abc import Iterable, Mapping
from typing import Any

from workflow_scripts.common.generations import Generations

# Rules that read a source's images, and those that read a benchmark's, whether they are among their inputs or not.
SOURCE_READERS = ("catalog_source", "download", "retry_failed")
BENCHMARK_READERS = ("benchmark_index", "embed", "ablation_embed")
# Targets that run before benchmarks and models are in place.
EARLY = ({"estimate"}, {"fetch"})


def needed(missing: Mapping[str, str], dag: Any, generations: Generations) -> list[str]:
    """The keys of the missing files that the jobs of a plan read. Finished work needs none of them.

    Other files that are not an input of any job of the plan count as needed, because a step may find them by its
    settings; but not for the targets in `EARLY`.

    Args:
        missing: paths by dotted config key.
        dag: Snakemake's plan.
        generations: the corpus's generations with their sources.
    """
    # At the end of a dry run Snakemake counts all jobs as finished.
    planned = [job for job in dag.needrun_jobs(exclude_finished=False) if not job.is_norun]
    read, known = _inputs(planned), _inputs(dag.jobs)
    readers = {
        f"generations.{number}.sources.{source}.{option}": {(name, source), (name, None), (None, None)}
        for number, name in enumerate(generations.names)
        for source, settings in generations.sources[name].items()
        for option in (settings.image_folders if settings else {})
    }
    # Only one job reads the other files of a source; the plan may lack it.
    for number, name in enumerate(generations.names):
        for source, settings in generations.sources[name].items():
            for option in settings.inputs if settings else ():
                readers.setdefault(f"generations.{number}.sources.{source}.{option}", {(name, source)})
    sources = {_source_of(job, generations) for job in planned if job.rule.name in SOURCE_READERS}
    benchmarks = {job.wildcards_dict["benchmark"] for job in planned if job.rule.name in BENCHMARK_READERS}
    is_early = {*dag.workflow.dag_settings.targets} in EARLY

    def is_needed(key: str, path: str) -> bool:
        file = os.path.normpath(path)
        if key in readers:
            return file in read or not sources.isdisjoint(readers[key])
        if file in known:
            return file in read
        section, name, *_ = key.split(".")
        return name in benchmarks if section == "benchmarks" else not is_early

    return [key for key, path in missing.items() if is_needed(key, path)]


def _inputs(jobs: Iterable[Any]) -> set[str]:
    return {os.path.normpath(str(file)) for job in jobs for file in job.input}


def _source_of(job: Any, generations: Generations) -> tuple[str | None, str | None]:
    """The generation and the source whose images a job reads; None for all of them."""
    given = job.wildcards_dict
    if "part" in given:
        return generations.of_part(given["part"]), None
    return given.get("generation"), given.get("source")
