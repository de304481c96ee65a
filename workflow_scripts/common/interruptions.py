"""Handle Ctrl-C and SIGTERM between writes, so that a command keeps its finished work."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_received: list[int] = []


def note_stop_signals() -> None:
    """Note the stop signals that this process gets from now on; their handlers run as before."""

    def noting(before: Callable[[int, FrameType | None], object]) -> Callable[[int, FrameType | None], object]:
        def note(number: int, frame: FrameType | None) -> None:
            _received.append(number)
            before(number, frame)

        return note

    for number in STOP_SIGNALS:
        if callable(before := signal.getsignal(number)):
            signal.signal(number, noting(before))


def stopped_by() -> str:
    """What stopped this process, as people call it; "" if no stop signal has been noted."""
    if not _received:
        return ""
    return "Ctrl-C" if _received[0] == signal.SIGINT else signal.Signals(_received[0]).name


class Interrupted(KeyboardInterrupt):
    """Raised by a stop signal; not an `Exception`, so that no handler mistakes it for an image error.

    Attributes:
        status: exit status by shell convention: 130 for Ctrl-C, 143 for SIGTERM.
    """

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.status = 128 + number


class Interruptions:
    """Raise `Interrupted` on the first stop signal, but never during a write."""

    def __init__(self) -> None:
        self._before = {number: signal.getsignal(number) for number in STOP_SIGNALS}
        self._writing = False
        self._received: int | None = None

    @contextmanager
    def held_back(self) -> Iterator[None]:
        """Delay a signal that arrives within the block to its end."""
        self._writing = True
        try:
            yield
        finally:
            self._writing = False
        if self._received is not None:
            raise Interrupted(self._received)

    def _note(self, number: int, frame: FrameType | None) -> None:
        # A second signal terminates the process immediately.
        self.release()
        self._received = number
        if not self._writing:
            raise Interrupted(number)

    def install(self) -> None:
        """Install the signal handlers."""
        for number in STOP_SIGNALS:
            signal.signal(number, self._note)

    def release(self) -> None:
        """Restore the previous signal handlers."""
        for number, handler in self._before.items():
            signal.signal(number, handler)


@contextmanager
def interruptions() -> Iterator[Interruptions]:
    """Turn stop signals into `Interrupted` within the block. Has no effect outside the main thread."""
    found = Interruptions()
    is_main = threading.current_thread() is threading.main_thread()
    if is_main:
        found.install()
    try:
        yield found
    finally:
        if is_main:
            found.release()
