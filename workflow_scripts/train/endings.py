"""How a training ends, as its exit status says it; `train.launch` says what follows from each."""

from workflow_scripts.common.cli import EXIT_BAD_INPUT

EXIT_SIGNAL = 128
EXIT_PREEMPTED = EXIT_SIGNAL + 15


def is_crash(status: int) -> bool:
    """Whether a training that ended so is worth another try at once."""
    return status not in (0, EXIT_BAD_INPUT, EXIT_PREEMPTED)
