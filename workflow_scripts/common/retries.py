"""Bad input is not tried again: what a step refused once it refuses again, with more memory and time, too."""

import time
from pathlib import Path
from typing import Any

from workflow_scripts.common.cli import BAD_INPUT

STARTED = time.time()
"""When this process began; what older logs say is of an earlier run."""
LAST_BYTES = 4096


def never_retry_bad_input() -> None:
    """Have Snakemake fail a job for good when its log ends with bad input, whatever `retries` says."""
    from snakemake.jobs import Job

    restarts = Job.restart_times.fget
    if restarts is not None and not hasattr(restarts, "for_good"):

        def restart_times(job: Any) -> int:
            return 0 if is_bad_input(map(Path, job.log)) else int(restarts(job))

        restart_times.for_good = True  # type: ignore[attr-defined]
        Job.restart_times = property(restart_times)  # type: ignore[assignment]


def is_bad_input(logs: Any) -> bool:
    """Whether a step ended with exit status 2, by the last line of one of its log files, written since STARTED."""
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
