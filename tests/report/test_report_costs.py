"""What a run cost: of its own, of its corpus, of what all runs share."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from workflow_scripts.common.job_costs import Attempt
from workflow_scripts.report.costs import read_costs, totals

HEAD = "s\th:m:s\tmax_rss\tio_in\tio_out\tcpu_time\n"


def attempt(start: float, seconds: float, **changes: Any) -> Attempt:
    used: dict[str, Any] = {"finished": True, "work": "done", "cpu_seconds": seconds / 2, "memory_mb": 100.0}
    used |= {"gpus": 0, "gpu_memory_mb": 0.0, "host": "node1", "machine": "EPYC, 64 cores"}
    return Attempt(started=start, ended=start + seconds, **(used | changes))


def write(path: Path, attempts: list[Attempt], measured: str = "") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.with_name(f"{path.name}.costs.jsonl").write_text("".join(json.dumps(asdict(one)) + "\n" for one in attempts))
    if measured:
        path.with_name(f"{path.name}.tsv").write_text(HEAD + measured)


def test_a_rerun_that_adopts_work_keeps_the_first_measurement(tmp_path: Path) -> None:
    """Snakemake's file is of the rerun: 3 s and 50 MiB."""
    write(tmp_path / "train/run", [attempt(1000, 600), attempt(9000, 2, work="adopted")], "3\t0:00:03\t50\t1\t2\t1\n")
    [cost] = read_costs([("run", tmp_path)])
    assert (cost.seconds, cost.cpu_seconds, cost.memory_mb, cost.read_mb) == (600, 300, 100, None)
    assert (cost.started, cost.ended, cost.adopted) == (1000, 1600, 0)


def test_of_the_run_that_did_the_work_snakemakes_measurement_counts_too(tmp_path: Path) -> None:
    write(tmp_path / "embed", [attempt(1000, 600)], "601\t0:10:01\t900\t1\t2\t700\n")
    [cost] = read_costs([("run", tmp_path)])
    assert (cost.seconds, cost.memory_mb, cost.read_mb, cost.written_mb) == (600, 900, 1, 2)


def test_attempts_that_were_interrupted_are_paid_for(tmp_path: Path) -> None:
    write(tmp_path / "train/run", [attempt(0, 100, finished=False), attempt(500, 50)])
    [cost] = read_costs([("run", tmp_path)])
    assert (cost.seconds, cost.jobs) == (150, 1)


def test_gpu_time_is_that_of_every_process_at_the_time(tmp_path: Path) -> None:
    gpu = {"gpus": 1, "gpu_memory_mb": 7000.0, "machine": "EPYC, H200"}
    write(tmp_path / "train/run", [attempt(1000, 3600, **gpu), attempt(90000, 1, work="adopted")])
    others = [attempt(1001, 3600, **gpu | {"host": "node2"}), attempt(90000, 1)]
    write(tmp_path / "train/run.rank1", others)
    [cost] = read_costs([("run", tmp_path)])
    assert (cost.jobs, cost.gpu_seconds, cost.gpu_memory_mb) == (1, 7200, 7000)
    assert cost.machines == {"node1": "EPYC, H200", "node2": "EPYC, H200"}


def test_work_is_named_by_whose_it_is_and_by_who_did_it(tmp_path: Path) -> None:
    write(tmp_path / "run/evaluate/embed/demo/x", [attempt(0, 1, work="adopted")])
    write(tmp_path / "corpus/download/part-0000", [attempt(0, 10)])
    write(tmp_path / "corpus/download/part-0001", [attempt(5, 20)])
    write(tmp_path / "shared/benchmarks/rare-01234567", [attempt(0, 5)])
    write(tmp_path / "shared/benchmarks/other-01234567", [attempt(0, 99)])
    folders: Any = [("run", tmp_path / "run"), ("corpus", tmp_path / "corpus")]
    costs = read_costs(folders, tmp_path / "shared", ["rare-01234567"])
    found = {(cost.owner, cost.step): (cost.jobs, cost.seconds, cost.adopted) for cost in costs}
    assert found == {
        ("corpus", "download"): (2, 30, 0),
        ("shared", "benchmarks"): (1, 5, 0),
        ("run", "evaluate/embed"): (1, 1, 1),
    }
    assert {name: cost.seconds for name, cost in totals(costs).items()} == {
        "all": 36,
        "run": 1,
        "corpus": 30,
        "shared": 5,
    }
