"""Progress of a training, saved in every checkpoint."""

from dataclasses import dataclass, field


@dataclass
class TrainState:
    """Progress of a training.

    Attributes:
        steps: completed steps.
        seconds: time spent in steps, without validation and checkpoints.
        waited: seconds of `seconds` spent waiting for data.
        broken: unreadable samples that were replaced.
        skipped: steps without an update because the loss or gradient was not finite.
        skipped_in_a_row: length of the current run of skipped steps.
        resumed: how often the training was resumed.
        best_loss: lowest validation loss, summed over the held-out splits (without any, over all validation sets).
        best_step: step of `best_loss`; 0 before the first validation.
        text_types: number of steps by text type.
        at_once: maximum pairs per microbatch on one rank; None for all of them. A resumed training keeps it, because
            sums over other microbatches differ in their last bits.
    """

    steps: int = 0
    seconds: float = 0.0
    waited: float = 0.0
    broken: int = 0
    skipped: int = 0
    skipped_in_a_row: int = 0
    resumed: int = 0
    best_loss: float | None = None
    best_step: int = 0
    text_types: dict[str, int] = field(default_factory=dict)
    at_once: int | None = None

    def note_skip(self, skipped: bool) -> None:
        """Update the counts of skipped steps."""
        self.skipped += skipped
        self.skipped_in_a_row = self.skipped_in_a_row + 1 if skipped else 0

    def note_validation(self, loss: float) -> bool:
        """Record a validation loss; return whether it is the lowest so far."""
        if self.best_loss is not None and not loss < self.best_loss:
            return False
        self.best_loss, self.best_step = loss, self.steps
        return True
