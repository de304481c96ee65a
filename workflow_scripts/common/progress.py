"""Progress: a bar on a terminal, lines for jobs that share one, sparse lines in log files."""

import logging
import os
import sys
import time
from types import TracebackType

from tqdm import tqdm

logger = logging.getLogger(__name__)

SECONDS_BETWEEN_LINES = 30.0
# Where nobody may be looking.
SECONDS_WITHOUT_TERMINAL = 300.0
PROGRESS = "TREEOFLIFE_PROGRESS"
"""Environment variable: `lines` in a job of Snakemake, whose bar would overwrite that of the job beside it."""


class Progress:
    """Counts items done: a log line now and then, and for people a bar, or in a job of Snakemake a line as well.

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
        self.shown = self.started
        on_terminal, self.in_lines = sys.stderr.isatty(), os.environ.get(PROGRESS) == "lines"
        self.between = SECONDS_BETWEEN_LINES if on_terminal else SECONDS_WITHOUT_TERMINAL
        has_bar = on_terminal and not self.in_lines
        self.bar = tqdm(total=total, desc=what, unit=f" {unit}", disable=not has_bar, dynamic_ncols=True)

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
        of = f" of {self.total:,}" if self.total is not None else ""
        share = f" ({100 * self.done // self.total} %)" if self.total else ""
        lost = f", {self.lost:,} lost" if self.lost else ""
        rate = (self.done + self.lost) / max(self.said - self.started, 1e-9)
        line = f"{self.what}: {self.done:,}{of} {self.unit}{share}{lost}, {rate:,.1f}/s {note}".rstrip()
        logger.info("%s", line)
        if self.in_lines and self.said - self.shown >= self.between:
            self.shown = self.said
            # One write, whole: lines of jobs that run side by side do not mix.
            sys.stderr.write(f"{time.strftime('%H:%M:%S')}  {line}\n")
            sys.stderr.flush()

    def __enter__(self) -> "Progress":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._line("" if kind is None else "(interrupted)")
        self.bar.close()
