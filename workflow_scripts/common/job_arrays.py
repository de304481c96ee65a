"""Like jobs go to Slurm together: what the scheduler selects at once, of one rule and one request, is one job array.

snakemake-executor-plugin-slurm 2.8 cannot be left to it: it holds the selected jobs of a rule back until all of its
ready jobs are selected, and never submits what it held back (its issue 473); its tasks wait for the output of the
array's first job, and fail without it; and it asks for all jobs what the first asks for, too little for one that is
tried again.
"""

import shlex
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Any

PLUGIN = "snakemake_executor_plugin_slurm"
# Slurm takes scripts of 4 MB; a job's command has a few kB.
MOST_TASKS = 500


def submit_like_jobs_together() -> None:
    """Have the plugin, where Snakemake has loaded it, submit each selection at once, an array a rule and request."""
    plugin = sys.modules.get(PLUGIN)
    if plugin is None:
        return
    plugin.pending_jobs_for_rule = _none_is_waited_for  # type: ignore[attr-defined]
    plugin.Executor.run_array_jobs = _run_array
    if not hasattr(plugin.Executor.run_jobs, "by_request"):
        plugin.Executor.run_jobs = _by_request(plugin.Executor.run_jobs)


def _none_is_waited_for(dag: Any, rule: str) -> int:
    return 0


def _by_request(run_jobs: Callable[[Any, Sequence[Any]], None]) -> Callable[[Any, Sequence[Any]], None]:
    def apart(self: Any, jobs: Sequence[Any]) -> None:
        like: dict[tuple[str, ...], list[Any]] = {}
        for job in jobs:
            like.setdefault(request(job), []).append(job)
        for some in like.values():
            for start in range(0, len(some), MOST_TASKS):
                run_jobs(self, some[start : start + MOST_TASKS])

    apart.by_request = True  # type: ignore[attr-defined]
    return apart


def request(job: Any) -> tuple[str, ...]:
    """What jobs of one array have in common: the rule, and every amount that they ask for."""
    amounts = (f"{name}={value}" for name, value in sorted(job.resources.items()) if isinstance(value, int))
    return (str(job.name), *amounts)


def _run_array(self: Any, jobs: Sequence[Any]) -> None:
    """Submit jobs as one array, each task of which is told its own command; what goes wrong fails them all."""
    info = sys.modules[PLUGIN].SubmittedJobInfo  # type: ignore[attr-defined]
    try:
        number, logs = _submit(self, jobs)
    except Exception as error:
        for job in jobs:
            self._report_job_error_threadsafe(info(job), f"the job array was not submitted: {error}")
        return
    self.logger.info(
        f"{len(jobs)} jobs of {jobs[0].name} have been submitted as SLURM job array {number} (logs: {logs})"
    )
    for task, job in enumerate(jobs, start=1):
        log = {"slurm_logfile": logs / f"{number}_{task}.log"}
        self._report_job_submission_threadsafe(info(job, external_jobid=f"{number}_{task}", aux=log))


def _submit(executor: Any, jobs: Sequence[Any]) -> tuple[str, Any]:
    """The number of the array, and the folder of its tasks' logs."""
    plugin: Any = sys.modules[PLUGIN]
    first, settings = jobs[0], executor.workflow.executor_settings
    logs = executor.slurm_logdir / f"rule_{first.name}"
    logs.mkdir(parents=True, exist_ok=True)
    plugin.validate_slurm_extra(first)
    params = {
        "run_uuid": executor.run_uuid,
        "slurm_logfile": logs / "%A_%a.log",
        "comment_str": f"rule_{first.name}",
        "account": next(executor.get_account_arg(first)),
        "partition": executor.get_partition_arg(first),
        "workdir": executor.workflow.workdir_init,
    }
    call = plugin.get_submit_command(first, params, settings=settings, failed_nodes=executor._failed_nodes)
    tasks = "".join(f"{task}) {executor.format_job_exec(job)} ;;\n" for task, job in enumerate(jobs, start=1))
    script = f"#!/bin/sh\ncase $SLURM_ARRAY_TASK_ID in\n{tasks}esac\n"
    call += f"{plugin.set_gres_string(first)} --array=1-{len(jobs)} /dev/stdin"
    done = subprocess.run(shlex.split(call), input=script, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(done.stderr.strip())
    return plugin.validate_or_get_slurm_job_id(done.stdout.strip().split(";")[0], done.stdout), logs
