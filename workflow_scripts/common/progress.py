"""Progress: a bar on a terminal, sparse lines in log files."""

import logging
import sys
import time
from types import TracebackType

from tqdm import tqdm

logger = logging.getLogger(__name__)

SECONDS_BETWEEN_LINES = 30.0


class Progress:
    """Counts items done: a bar when stderr is a terminal, otherwise a log line now and then.

    Args:
        what: what is being done, in a word or two.
        total: how many items there are, or None when nobody knows.
        unit: the plural name of an item.
    """

    def __init__(self, what: str, total: int | None = None, unit: str = "items") -> None:
        self.what = what
        self.total = total
        self.unit = unit
        self.done = 0
        self.lost = 0
        self.started = self.said = time.monotonic()
        on_terminal = sys.stderr.isatty()
        self.bar = tqdm(total=total, desc=what, unit=f" {unit}", disable=not on_terminal, dynamic_ncols=True)

    def update(self, count: int = 1, note: str = "", *, lost: int = 0) -> None:
        """Add `count` finished items, and `lost` ones that were tried in vain; `note` is shown behind the count."""
        self.done += count
        self.lost += lost
        self.bar.update(count)
        if shown := ", ".join(filter(None, [f"{self.lost:,} lost" if self.lost else "", note])):
            self.bar.set_postfix_str(shown, refresh=False)
        if time.monotonic() - self.said >= SECONDS_BETWEEN_LINES:
            self._line(note)

    def _line(self, note: str) -> None:
        self.said = time.monotonic()
        of = f" of {self.total}" if self.total is not None else ""
        lost = f", {self.lost} lost" if self.lost else ""
        rate = (self.done + self.lost) / max(self.said - self.started, 1e-9)
        logger.info("%s: %d%s %s%s, %.1f/s %s", self.what, self.done, of, self.unit, lost, rate, note)

    def __enter__(self) -> "Progress":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._line("" if kind is None else "(interrupted)")
        self.bar.close()
