"""Progress: a bar on a terminal, lines for jobs that share a terminal, sparse lines in log files."""

import logging
import os
import sys
import time
from types import TracebackType

from tqdm import tqdm

logger = logging.getLogger(__name__)

SECONDS_BETWEEN_LINES = 30.0
# For output that is not a terminal.
SECONDS_WITHOUT_TERMINAL = 300.0
PROGRESS = "TREEOFLIFE_PROGRESS"
"""Environment variable: `lines` in Snakemake's jobs, whose bars would overwrite each other."""


class Progress:
    """Counts items: writes log lines at intervals and, to the terminal, a bar or (in Snakemake's jobs) lines.

    Args:
        what: the work, in a word or two.
        total: number of items, or None if unknown.
        unit: what the items are, in the plural.
    """

    def __init__(self, what: str, total: int | None = None, unit: str = "items") -> None:
        self.what = what
        self.total = total
        self.unit = unit
        self.done = 0
        self.lost = 0
        self.started = self.logged = time.monotonic()
        self.shown = self.started
        on_terminal, self.in_lines = sys.stderr.isatty(), os.environ.get(PROGRESS) == "lines"
        self.between = SECONDS_BETWEEN_LINES if on_terminal else SECONDS_WITHOUT_TERMINAL
        has_bar = on_terminal and not self.in_lines
        self.bar = tqdm(total=total, desc=what, unit=f" {unit}", disable=not has_bar, dynamic_ncols=True)

    def update(self, count: int = 1, note: str = "", *, lost: int = 0) -> None:
        """Add `count` finished items and `lost` failed ones; `note` is shown after the counts."""
        self.done += count
        self.lost += lost
        self.bar.update(count)
        if shown := ", ".join(filter(None, [f"{self.lost:,} lost" if self.lost else "", note])):
            self.bar.set_postfix_str(shown, refresh=False)
        if time.monotonic() - self.logged >= SECONDS_BETWEEN_LINES:
            self._line(note)

    def _line(self, note: str) -> None:
        self.logged = time.monotonic()
        of = f" of {self.total:,}" if self.total is not None else ""
        share = f" ({100 * self.done // self.total} %)" if self.total else ""
        lost = f", {self.lost:,} lost" if self.lost else ""
        rate = (self.done + self.lost) / max(self.logged - self.started, 1e-9)
        line = f"{self.what}: {self.done:,}{of} {self.unit}{share}{lost}, {rate:,.1f}/s {note}".rstrip()
        logger.info("%s", line)
        if self.in_lines and self.logged - self.shown >= self.between:
            self.shown = self.logged
            # A single write, so that lines of parallel jobs do not mix.
            sys.stderr.write(f"{time.strftime('%H:%M:%S')}  {line}\n")
            sys.stderr.flush()

    def __enter__(self) -> "Progress":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._line("" if kind is None else "(interrupted)")
        self.bar.close()
