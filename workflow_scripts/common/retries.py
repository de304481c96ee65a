"""Do not retry jobs that failed with bad input, which more memory or time does not fix."""

import time
from pathlib import Path
from typing import Any

from workflow_scripts.common.cli import BAD_INPUT

STARTED = time.time()
"""Start of this process; older logs are from an earlier run."""
LAST_BYTES = 4096


def never_retry_bad_input() -> None:
    """Patch Snakemake to fail a job without retries if its log ends with bad input."""
    from snakemake.jobs import Job

    restarts = Job.restart_times.fget
    if restarts is not None and not hasattr(restarts, "for_good"):

        def restart_times(job: Any) -> int:
            return 0 if is_bad_input(map(Path, job.log)) else int(restarts(job))

        restart_times.for_good = True  # type: ignore[attr-defined]
        Job.restart_times = property(restart_times)  # type: ignore[assignment]


def is_bad_input(logs: Any) -> bool:
    """Whether a step exited with status 2, by the last line of one of its logs written since `STARTED`."""
    return any(_ends_with_bad_input(log) for log in logs)


def _ends_with_bad_input(log: Path) -> bool:
    try:
        if log.stat().st_mtime < STARTED:
            return False
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - LAST_BYTES))
            last = file.read().decode("utf-8", errors="replace").rstrip()
    except OSError:
        return False
    return last.endswith(BAD_INPUT)
