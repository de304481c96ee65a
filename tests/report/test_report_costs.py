"""Costs of a run: its own, its corpus's, and those of shared inputs."""

import json
import platform
import re
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tests.report import small_corpus
from workflow_scripts.common.job_costs import Attempt, read_attempts, written_down
from workflow_scripts.report.build import build
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
    """Snakemake's file measures the rerun: 3 s and 50 MiB."""
    write(tmp_path / "train/run", [attempt(1000, 600), attempt(9000, 2, work="adopted")], "3\t0:00:03\t50\t1\t2\t1\n")
    [cost] = read_costs([("run", tmp_path)])
    assert (cost.seconds, cost.cpu_seconds, cost.memory_mb, cost.read_mb) == (600, 300, 100, None)
    assert (cost.started, cost.ended, cost.adopted) == (1000, 1600, 0)


def test_snakemakes_measurement_counts_for_the_attempt_that_did_the_work(tmp_path: Path) -> None:
    write(tmp_path / "embed", [attempt(1000, 600)], "601\t0:10:01\t900\t1\t2\t700\n")
    [cost] = read_costs([("run", tmp_path)])
    assert (cost.seconds, cost.memory_mb, cost.read_mb, cost.written_mb) == (600, 900, 1, 2)


def test_interrupted_attempts_count(tmp_path: Path) -> None:
    write(tmp_path / "train/run", [attempt(0, 100, finished=False), attempt(500, 50)])
    [cost] = read_costs([("run", tmp_path)])
    assert (cost.seconds, cost.jobs) == (150, 1)


def test_gpu_time_sums_the_processes_of_the_same_attempt(tmp_path: Path) -> None:
    gpu = {"gpus": 1, "gpu_memory_mb": 7000.0, "machine": "EPYC, H200"}
    write(tmp_path / "train/run", [attempt(1000, 3600, **gpu), attempt(90000, 1, work="adopted")])
    others = [attempt(1001, 3600, **gpu | {"host": "node2"}), attempt(90000, 1)]
    write(tmp_path / "train/run.rank1", others)
    [cost] = read_costs([("run", tmp_path)])
    assert (cost.jobs, cost.gpu_seconds, cost.gpu_memory_mb) == (1, 7200, 7000)
    assert cost.machines == {"node1": "EPYC, H200", "node2": "EPYC, H200"}


def test_costs_are_split_by_owner_and_adopted_work_is_counted(tmp_path: Path) -> None:
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


def cost_rows(page: Path) -> list[list[str]]:
    """Step, owner, jobs and adopted jobs of each row of the page's cost table."""
    table = page.read_text().partition('id="cost-table"')[2].partition("</table>")[0]
    rows = [re.findall(r"<td[^>]*>(.*?)</td>", row) for row in re.findall(r"<tr.*?</tr>", table, re.DOTALL)]
    return [[re.sub("<.*?>", "", cell) for cell in cells[:4]] for cells in rows if cells]


def test_a_real_rerun_keeps_its_first_cost_and_shared_work_is_named(
    everything: Callable[[], dict[str, Any]], tmp_path: Path
) -> None:
    """One job publishes and is rerun; a job of another owner adopts its work."""
    (tmp_path / "small").mkdir()
    made = small_corpus.make(tmp_path / "small")
    logs = {owner: tmp_path / "real" / owner for owner in ("run", "corpus", "shared")}
    jobs = [logs["corpus"] / "publish/dataset.log"] * 2 + [logs["run"] / "publish/dataset.log"]
    for log in jobs:
        log.parent.mkdir(parents=True, exist_ok=True)
        with written_down(log):
            small_corpus.publish(made)
    for name in ("rare-01234567", "other-01234567"):
        (logs["shared"] / "benchmarks").mkdir(parents=True, exist_ok=True)
        with written_down(logs["shared"] / f"benchmarks/{name}.log"):
            pass
    first, again = read_attempts(logs["corpus"] / "publish/dataset.costs.jsonl")
    assert (first.work, again.work) == ("done", "adopted")
    arguments = everything() | {f"{owner}_logs": folder for owner, folder in logs.items()}
    build(**arguments | {"shared": ("rare-01234567",)})
    assert sorted(cost_rows(arguments["out"])) == [
        ["benchmarks", "shared", "1", ""],
        ["publish/dataset", "corpus", "1", ""],
        ["publish/dataset", "run", "1", "1"],
        ["total", "", "3", "1"],
    ]
    costs = {cost["owner"]: cost for cost in json.loads(arguments["out"].with_name("run.json").read_text())["costs"]}
    of_corpus = costs["corpus"]
    assert (of_corpus["started"], of_corpus["ended"]) == (first.started, first.ended)
    assert of_corpus["cpu_seconds"] == first.cpu_seconds > 0
    assert of_corpus["memory_mb"] == first.memory_mb > 0
    assert (of_corpus["gpu_seconds"], of_corpus["machines"]) == (0, [first.machine])
    page = arguments["out"].read_text()
    assert first.machine in page and platform.node() in page
    assert "shared with its other runs" in page and "shared by all runs" in page
