"""Exit statuses and outcomes of a training; `train.launch` says what follows from each."""

from workflow_scripts.common.cli import EXIT_BAD_INPUT

EXIT_SIGNAL = 128
EXIT_PREEMPTED = EXIT_SIGNAL + 15

# In the work folder: how the last run stands or ended, as JSON with `outcome`; and that of one that a person must mend.
OUTCOME = "outcome.json"
BAD_INPUT = "bad input"


def is_crash(status: int) -> bool:
    """Whether a training that ended so is worth another try at once."""
    return status not in (0, EXIT_BAD_INPUT, EXIT_PREEMPTED)
