"""Jobs that are selected together are submitted together, without delay."""

import importlib
import logging
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from workflow_scripts.common.job_arrays import submit_like_jobs_together


@dataclass(frozen=True, eq=False)
class Job:
    """A job as the plugin sees it."""

    name: str
    resources: dict[str, Any] = field(default_factory=dict)

    @property
    def rule(self) -> SimpleNamespace:
        return SimpleNamespace(name=self.name)

    def is_group(self) -> bool:
        return False


@pytest.fixture
def plugin(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The Slurm plugin, restored after the test."""
    module = importlib.import_module("snakemake_executor_plugin_slurm")
    monkeypatch.setattr(module, "pending_jobs_for_rule", module.pending_jobs_for_rule)
    monkeypatch.setattr(module.Executor, "run_jobs", module.Executor.run_jobs)
    monkeypatch.setattr(module.Executor, "run_array_jobs", module.Executor.run_array_jobs)
    return module


def submitted(plugin: Any, jobs: list[Job], ready: list[Job]) -> list[list[Job]]:
    """The jobs that the plugin submits of a selection while others are ready."""
    found: list[list[Job]] = []
    executor = SimpleNamespace(
        _main_event_loop=None,
        array_jobs={"download"},
        max_array_size=1000,
        workflow=SimpleNamespace(dag=SimpleNamespace(ready_jobs=ready)),
        logger=logging.getLogger("plugin"),
        _submit_job=lambda job: found.append([job]),
        _submit_array_jobs=found.append,
    )
    plugin.Executor.run_jobs(executor, jobs)
    return found


def test_jobs_of_one_rule_and_request_are_one_array_while_others_wait(plugin: Any) -> None:
    first = [Job("download", {"mem_mb": 2000, "share": f"--share {number}"}) for number in range(3)]
    again = [Job("download", {"mem_mb": 4000}) for _ in range(2)]
    alone = Job("curate", {"mem_mb": 2000})
    waiting = [Job("download", {"mem_mb": 2000}) for _ in range(50)]
    # The unpatched plugin never submits these downloads.
    assert submitted(plugin, [*first, *again, alone], waiting) == [[alone]]
    for _ in range(2):
        submit_like_jobs_together()
        found = submitted(plugin, [first[0], again[0], alone, *first[1:], again[1]], waiting)
        assert sorted(found, key=len) == [[alone], again, first]
    assert submitted(plugin, first[:1], waiting) == [first[:1]]


def test_each_task_runs_its_own_job_and_is_followed_by_its_own_number(
    plugin: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    sbatch = tmp_path / "sbatch"
    sbatch.write_text(
        f'#!/bin/sh\nprintf "%s\\n" "$@" > {tmp_path}/words\ncat > {tmp_path}/script\necho "77;cluster"\n'
    )
    sbatch.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(
        plugin, "get_submit_command", lambda job, params, **_: f"sbatch --wckey 'a b' {params['account']}"
    )
    submit_like_jobs_together()
    followed: list[Any] = []
    failed: list[str] = []
    executor = SimpleNamespace(
        slurm_logdir=tmp_path / "logs",
        run_uuid="run",
        _failed_nodes=set(),
        workflow=SimpleNamespace(executor_settings=None, workdir_init=str(tmp_path)),
        logger=logging.getLogger("plugin"),
        get_account_arg=lambda job: iter(["-A lab"]),
        get_partition_arg=lambda job: "-p cpu",
        format_job_exec=lambda job: f'echo "it\'s" {job.resources["part"]} $HOME',
        _report_job_submission_threadsafe=followed.append,
        _report_job_error_threadsafe=lambda info, msg: failed.append(msg),
    )
    jobs = [Job("download", {"part": str(part)}) for part in (5, 7)]
    plugin.Executor.run_array_jobs(executor, jobs)
    assert [(info.job, info.external_jobid) for info in followed] == list(zip(jobs, ["77_1", "77_2"], strict=True))
    assert followed[1].aux["slurm_logfile"] == tmp_path / "logs/rule_download/77_2.log"
    assert (tmp_path / "words").read_text().split("\n")[:-1] == [
        "--wckey",
        "a b",
        "-A",
        "lab",
        "--array=1-2",
        "/dev/stdin",
    ]
    for task, part in (("1", "5"), ("2", "7")):
        done = subprocess.run(
            ["sh", tmp_path / "script"],
            env={"SLURM_ARRAY_TASK_ID": task, "HOME": "h"},
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout == f"it's {part} h\n"
    # A refused array is an error of each of its jobs.
    sbatch.write_text("#!/bin/sh\necho 'Invalid account' >&2\nexit 1\n")
    plugin.Executor.run_array_jobs(executor, jobs)
    assert len(failed) == 2 and "Invalid account" in failed[0]


def test_without_the_plugin_nothing_is_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "snakemake_executor_plugin_slurm", raising=False)
    submit_like_jobs_together()
