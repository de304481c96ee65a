"""Retry-After: a host that asks for time is left alone for that time."""

import email.utils
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime

from workflow_scripts.download.attempts import Fault


@dataclass
class _Hold:
    until: float = 0.0
    # Seconds of waiting asked for since the host's last good answer.
    asked: float = 0.0


class Holds:
    """How long each host wants to be left alone.

    Args:
        max_wait: seconds that a host's images wait, in all, since its last good answer.
        stopping: set when the job must end.
    """

    def __init__(self, max_wait: float, stopping: threading.Event) -> None:
        self.max_wait = max_wait
        self._stopping = stopping
        self._holds: dict[str, _Hold] = {}
        self._lock = threading.Lock()

    def wait(self, host: str) -> None:
        """Wait until the host may be asked.

        Raises:
            Fault: it asked for more time than it is given.
        """
        while not self._stopping.is_set():
            with self._lock:
                hold = self._holds.get(host, _Hold())
                left, asked = hold.until - time.monotonic(), hold.asked
            if left <= 0:
                return
            if asked > self.max_wait:
                raise _too_long(host, left)
            self._stopping.wait(left)

    def ask(self, host: str, seconds: float) -> bool:
        """Note that the host wants `seconds` of rest; False when that is more than it is given."""
        with self._lock:
            hold = self._holds.setdefault(host, _Hold())
            now = time.monotonic()
            until = max(hold.until, now + seconds)
            hold.asked += until - max(hold.until, now)
            hold.until = until
            return hold.asked <= self.max_wait

    def good(self, host: str) -> None:
        """Note a good answer."""
        with self._lock:
            if host in self._holds:
                self._holds[host].asked = 0.0


def _too_long(host: str, left: float) -> Fault:
    return Fault("http_error", f"{host} wants to be left alone for {left:.0f} s", status="deferred", transient=True)


def retry_after(value: str | None) -> float | None:
    """Seconds that a Retry-After header asks for (a number or a date); None when there is none or it is neither."""
    if value is None:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        when = email.utils.parsedate_to_datetime(text)
    except ValueError:
        return None
    if when.tzinfo is None:
        when = when.replace(tzinfo=UTC)
    return max(0.0, (when - datetime.now(UTC)).total_seconds())
