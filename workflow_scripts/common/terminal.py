"""Shorten Snakemake's terminal output: one line when a job starts, and one line of progress when it ends.

Bad input is one line too. After Ctrl-C or SIGTERM, errors of the stopped jobs are hidden.

Its log file (`.snakemake/log`) has everything. `run -n` shows the plan on one screen (`common.short_plan`);
`run -n -p` and `snakemake -n` list every job with its files and reason.
"""

import logging
import os
import time
from pathlib import Path
from typing import Any

from snakemake.logging import ColorizingTextHandler
from snakemake_interface_logger_plugins.common import LogEvent

from workflow_scripts.common.interruptions import stopped_by
from workflow_scripts.common.remedies import TYPED
from workflow_scripts.common.retries import is_bad_input
from workflow_scripts.common.run_summary import error_of

# Events that progress lines cover, and the message about job selection.
CHATTER = (LogEvent.JOB_FINISHED, LogEvent.JOB_STARTED)
NOTHING_TO_DO = "Nothing to be done"
CHOOSING = "Select jobs to execute..."
# Repeats the command of a failed job, whose error follows.
COMMAND_FAILED = "RuleException:\nCalledProcessError"
NO_MESSAGE = "    message: None\n"
SIGNAL_SECONDS = 0.3


class ShortLines(logging.Formatter):
    """Formats starts of jobs and progress as one line each; everything else as Snakemake does."""

    def __init__(self, default: logging.Formatter) -> None:
        super().__init__()
        self.default = default

    def format(self, record: logging.LogRecord) -> str:
        """Format a record."""
        event, fields = getattr(record, "event", None), record.__dict__
        now = time.strftime("%H:%M:%S", time.localtime(record.created))
        if event == LogEvent.JOB_INFO and fields.get("rule_msg"):
            return f"{now}  {fields['rule_msg']}"
        if event == LogEvent.PROGRESS:
            return (
                f"{now}  {fields['done']} of {fields['total']} jobs done ({100 * fields['done'] // fields['total']} %)"
            )
        if event == LogEvent.JOB_ERROR:
            logs = [Path(path) for path in fields.get("log") or ()]
            if is_bad_input(logs):
                return f"{now}  rule {fields['rule_name']} failed: {error_of(logs[0])}"
            return self.default.format(record).replace(NO_MESSAGE, "")
        return self.default.format(record)


def shows(record: logging.LogRecord) -> bool:
    """Whether to show a record on the terminal."""
    event = getattr(record, "event", None)
    if record.levelno >= logging.ERROR:
        if stopped_by() or record.getMessage().startswith(COMMAND_FAILED):
            return False
        # A stop signal also ends the jobs, whose errors may arrive before the main thread has noted the signal.
        time.sleep(SIGNAL_SECONDS)
        if stopped_by():
            return False
    return event not in CHATTER and (event is not None or record.getMessage() != CHOOSING)


def shows_of_plan(record: logging.LogRecord) -> bool:
    """Whether to show a record of a dry run beside the short plan."""
    return record.levelno >= logging.WARNING or record.getMessage().startswith(NOTHING_TO_DO)


def plans_shortly(workflow: Any) -> bool:
    """Whether this is a dry run that shows its plan on one screen: `run -n` without `-p` and `--verbose`."""
    output = workflow.output_settings
    return (
        workflow.is_main_process
        and TYPED in os.environ
        and output.dryrun
        and not output.verbose
        and not output.printshellcmds
    )


def shorten_output(workflow: Any) -> None:
    """Shorten the terminal output of a run and of `run -n`; `--verbose` and the log file are unchanged.

    Args:
        workflow: Snakemake's workflow.
    """
    output = workflow.output_settings
    if plans_shortly(workflow):
        for handler in logging.getLogger("snakemake.logging").handlers:
            handler.addFilter(shows_of_plan)
        return
    if not workflow.is_main_process or output.dryrun or output.verbose:
        return
    for handler in logging.getLogger("snakemake.logging").handlers:
        if isinstance(handler, ColorizingTextHandler) and handler.formatter is not None:
            handler.addFilter(shows)
            handler.setFormatter(ShortLines(handler.formatter))
