"""Progress of a training; part of every checkpoint."""

from dataclasses import dataclass, field


@dataclass
class TrainState:
    """How far a training is.

    Attributes:
        steps: steps done.
        seconds: spent on them, without validation and saving.
        waited: seconds of these spent waiting for data.
        broken: samples that were replaced.
        skipped: steps whose loss or gradient was not finite, so that nothing was learned.
        skipped_in_a_row: those among the last steps.
        resumed: how often the training was taken up again.
        best_loss: the lowest validation loss, all parts summed.
        best_step: when that was; 0 before any validation.
        text_types: steps by text type.
        at_once: pairs that a process takes through the model at once, at most; None for its whole share. A training
            that is taken up again keeps to it, for sums over other microbatches would differ in their last bits.
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
        """Count a step that was skipped, or was not."""
        self.skipped += skipped
        self.skipped_in_a_row = self.skipped_in_a_row + 1 if skipped else 0

    def note_validation(self, loss: float) -> bool:
        """Note a validation loss, and say whether it is the best so far."""
        if self.best_loss is not None and not loss < self.best_loss:
            return False
        self.best_loss, self.best_step = loss, self.steps
        return True
