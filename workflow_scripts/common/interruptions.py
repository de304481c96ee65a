"""Ctrl-C and SIGTERM end a command between two writes, so that it keeps what is done."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(KeyboardInterrupt):
    """A stop signal came; no `Exception`, so that nothing on the way takes it for a fault of an image.

    Attributes:
        status: the exit status that a shell expects of it: 130 for Ctrl-C, 143 for SIGTERM.
    """

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.status = 128 + number


class Interruptions:
    """The first stop signal raises `Interrupted`, but only where no write is under way."""

    def __init__(self) -> None:
        self._before = {number: signal.getsignal(number) for number in STOP_SIGNALS}
        self._writing = False
        self._came: int | None = None

    @contextmanager
    def held_back(self) -> Iterator[None]:
        """A signal that comes within the block takes effect at its end."""
        self._writing = True
        try:
            yield
        finally:
            self._writing = False
        if self._came is not None:
            raise Interrupted(self._came)

    def _note(self, number: int, frame: FrameType | None) -> None:
        # A second signal ends the process at once.
        self.release()
        self._came = number
        if not self._writing:
            raise Interrupted(number)

    def install(self) -> None:
        """Take over the signals."""
        for number in STOP_SIGNALS:
            signal.signal(number, self._note)

    def release(self) -> None:
        """Give the signals back."""
        for number, handler in self._before.items():
            signal.signal(number, handler)


@contextmanager
def interruptions() -> Iterator[Interruptions]:
    """Turn stop signals into `Interrupted` for the block. In a thread other than the main one it changes nothing."""
    found = Interruptions()
    is_main = threading.current_thread() is threading.main_thread()
    if is_main:
        found.install()
    try:
        yield found
    finally:
        if is_main:
            found.release()
