"""Exit statuses and outcomes of a training; `train.launch` explains each."""

from workflow_scripts.common.cli import EXIT_BAD_INPUT

EXIT_SIGNAL = 128
EXIT_PREEMPTED = EXIT_SIGNAL + 15

# JSON file in the parent of the work folders with the `outcome` of the last run, and the outcome of bad input.
OUTCOME = "outcome.json"
BAD_INPUT = "bad input"


def is_crash(status: int) -> bool:
    """Whether this status is a crash, after which a restart may succeed."""
    return status not in (0, EXIT_BAD_INPUT, EXIT_PREEMPTED)
