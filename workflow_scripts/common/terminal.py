"""What Snakemake shows while it runs: a line when a job starts, and a line of where the run stands when one ends.

Its log file (`.snakemake/log`) keeps everything, and so does a dry run, which is there to show rules and reasons.
"""

import logging
import time
from typing import Any

from snakemake.logging import ColorizingTextHandler
from snakemake_interface_logger_plugins.common import LogEvent

# That one job ended, which progress says, and how jobs are chosen.
CHATTER = (LogEvent.JOB_FINISHED, LogEvent.JOB_STARTED)
CHOOSING = "Select jobs to execute..."


class ShortLines(logging.Formatter):
    """Starts of jobs and progress in a line each; all else as Snakemake formats it."""

    def __init__(self, otherwise: logging.Formatter) -> None:
        super().__init__()
        self.otherwise = otherwise

    def format(self, record: logging.LogRecord) -> str:
        """A record as text."""
        event, said = getattr(record, "event", None), record.__dict__
        now = time.strftime("%H:%M:%S", time.localtime(record.created))
        if event == LogEvent.JOB_INFO and said.get("rule_msg"):
            return f"{now}  {said['rule_msg']}"
        if event == LogEvent.PROGRESS:
            return f"{now}  {said['done']} of {said['total']} jobs done ({100 * said['done'] // said['total']} %)"
        return self.otherwise.format(record)


def shows(record: logging.LogRecord) -> bool:
    """Whether a person wants to see a record."""
    event = getattr(record, "event", None)
    return event not in CHATTER and (event is not None or record.getMessage() != CHOOSING)


def be_brief(workflow: Any) -> None:
    """Shorten what a run shows on the terminal; dry runs, `--verbose` and the log file keep everything.

    Args:
        workflow: Snakemake's workflow.
    """
    output = workflow.output_settings
    if not workflow.is_main_process or output.dryrun or output.verbose:
        return
    for handler in logging.getLogger("snakemake.logging").handlers:
        if isinstance(handler, ColorizingTextHandler) and handler.formatter is not None:
            handler.addFilter(shows)
            handler.setFormatter(ShortLines(handler.formatter))
