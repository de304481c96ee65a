"""Every bench runs at a tiny size; one that fails does not affect the rows of others."""

import ast
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
BENCHES = [
    name.id
    for node in ast.parse((HERE / "bench.py").read_text()).body
    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.target.id == "BENCHES"
    for name in ast.walk(node.value)  # type: ignore[arg-type]
    if isinstance(name, ast.Name)
]


def bench(folder: Path, *names: str) -> subprocess.CompletedProcess[str]:
    """Run benches at a tiny size in a folder that has the project's files."""
    for name in ("Snakefile", "rules", "workflow_scripts", "config", "envs", "profiles", "pyproject.toml"):
        if not (folder / name).exists():
            (folder / name).symlink_to(ROOT / name)
    return subprocess.run(
        [sys.executable, str(HERE / "bench.py"), *names],
        cwd=folder,
        env=os.environ | {"SMALL": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


def rows_of(folder: Path) -> list[dict[str, Any]]:
    return json.loads((folder / "results/bench-small.json").read_text())


def pretend_a_demo(folder: Path) -> None:
    """Write the files of a finished demo that two benches read."""
    log = folder / "logs/runs/demo/train/run.tsv"
    log.parent.mkdir(parents=True)
    log.write_text("s\th:m:s\n1.5\t0:00:01\n")
    summary = folder / "results/runs/demo/train/summary.json"
    summary.parent.mkdir(parents=True)
    digests = {"data": {"biology": [], "replay": None}, "start": []}
    summary.write_text(json.dumps({"data_wait": 0.25, "seconds": 8.0, "digests": digests}))


@pytest.mark.slow
@pytest.mark.parametrize("name", BENCHES)
def test_a_bench_yields_rows_beside_their_peers(name: str, tmp_path: Path) -> None:
    pretend_a_demo(tmp_path)
    done = bench(tmp_path, name)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = rows_of(tmp_path)
    assert len(rows) == len({row["name"] for row in rows}) == len(done.stdout.splitlines()) > 0
    for row in rows:
        assert row["bench"] == name
        assert row["ratio"] == pytest.approx(row["value"] / row["peer_value"])


def test_a_failed_bench_is_a_row_and_the_others_stay(tmp_path: Path) -> None:
    pretend_a_demo(tmp_path)
    (tmp_path / "results/runs/demo/train/summary.json").unlink()
    others: Sequence[dict[str, Any]] = [{"bench": "taxonomy", "name": "taxonomy_peak_mb", "value": 1.0}]
    old = [{"bench": "training", "name": "data_wait_share", "value": 1.0}]
    (tmp_path / "results/bench-small.json").write_text(json.dumps([*old, *others]))
    done = bench(tmp_path, "training", "demo_stages")
    assert done.returncode == 1
    rows = rows_of(tmp_path)
    assert [row["name"] for row in rows] == ["taxonomy_peak_mb", "step_overhead", "training", "demo_seconds_train"]
    assert "make demo" in rows[2]["error"]
    assert "make demo" in done.stdout


def test_a_bench_that_is_not_there_is_named(tmp_path: Path) -> None:
    done = bench(tmp_path, "spede")
    assert (done.returncode, done.stdout) == (2, "")
    assert "spede" in done.stderr and all(name in done.stderr for name in BENCHES)
