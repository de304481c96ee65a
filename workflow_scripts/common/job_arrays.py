"""Submit jobs of one rule and request that the scheduler selects together as one Slurm job array.

The job arrays of snakemake-executor-plugin-slurm 2.8 are not usable: it delays the selected jobs of a rule until all
ready jobs of the rule are selected, and may never submit them (its issue 473); its tasks wait for the output of the
array's first job and fail without it; and it requests for all jobs what the first one needs, too little for retries.
"""

import shlex
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Any

PLUGIN = "snakemake_executor_plugin_slurm"
# Slurm accepts scripts up to 4 MB; the command of a job has a few kB.
MAX_TASKS = 500


def submit_like_jobs_together() -> None:
    """Patch the plugin, if loaded, to submit each selection at once, as one array per rule and request."""
    plugin = sys.modules.get(PLUGIN)
    if plugin is None:
        return
    plugin.pending_jobs_for_rule = _no_pending_jobs  # type: ignore[attr-defined]
    plugin.Executor.run_array_jobs = _run_array
    if not hasattr(plugin.Executor.run_jobs, "by_request"):
        plugin.Executor.run_jobs = _by_request(plugin.Executor.run_jobs)


def _no_pending_jobs(dag: Any, rule: str) -> int:
    return 0


def _by_request(run_jobs: Callable[[Any, Sequence[Any]], None]) -> Callable[[Any, Sequence[Any]], None]:
    def run_by_request(self: Any, jobs: Sequence[Any]) -> None:
        by_request: dict[tuple[str, ...], list[Any]] = {}
        for job in jobs:
            by_request.setdefault(request(job), []).append(job)
        for some in by_request.values():
            for start in range(0, len(some), MAX_TASKS):
                run_jobs(self, some[start : start + MAX_TASKS])

    run_by_request.by_request = True  # type: ignore[attr-defined]
    return run_by_request


def request(job: Any) -> tuple[str, ...]:
    """What jobs of one array share: the rule and all requested amounts."""
    amounts = (f"{name}={value}" for name, value in sorted(job.resources.items()) if isinstance(value, int))
    return (str(job.name), *amounts)


def _run_array(self: Any, jobs: Sequence[Any]) -> None:
    """Submit jobs as one array, in which each task runs the command of one job; an error fails all of them."""
    info = sys.modules[PLUGIN].SubmittedJobInfo  # type: ignore[attr-defined]
    try:
        number, logs = _submit(self, jobs)
    except Exception as error:
        for job in jobs:
            self._report_job_error_threadsafe(info(job), f"could not submit the job array: {error}")
        return
    self.logger.info(f"submitted {len(jobs)} jobs of {jobs[0].name} as Slurm job array {number} (logs: {logs})")
    for task, job in enumerate(jobs, start=1):
        log = {"slurm_logfile": logs / f"{number}_{task}.log"}
        self._report_job_submission_threadsafe(info(job, external_jobid=f"{number}_{task}", aux=log))


def _submit(executor: Any, jobs: Sequence[Any]) -> tuple[str, Any]:
    """Submit the array and return its job ID and the folder of its logs."""
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
