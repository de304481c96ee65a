"""Bounds on the memory that all threads use together: for bodies, and for images while they are decoded."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count


class DecodingMemory:
    """Limits the memory of a job's images while they are decoded to `limit` bytes.

    An image's need is known from its header, so it is reserved in one step. Requests are served in order, so that small
    images cannot starve a large one.
    """

    def __init__(self, limit: int, stopping: threading.Event) -> None:
        self.limit = limit
        self.peak = 0
        self._stopping = stopping
        self._used = 0
        self._turn = threading.Lock()
        self._condition = threading.Condition()

    @contextmanager
    def hold(self, size: int) -> Iterator[None]:
        """Reserve `size` bytes, at most the limit; waits until they are free."""
        with self._turn, self._condition:
            while self._used + size > self.limit and not self._stopping.is_set():
                self._condition.wait(0.5)
            self._used += size
            self.peak = max(self.peak, self._used)
        try:
            yield
        finally:
            with self._condition:
                self._used -= size
                self._condition.notify()


class Memory:
    """Limits the memory of a job's bodies to `limit` bytes and one more body.

    If no complete body is about to be released, the oldest incomplete body may exceed the limit, so that it completes
    and frees its memory for the others. Bodies shared by several crops do not count as about to be released, since the
    threads that must process them may be waiting here.
    """

    def __init__(self, limit: int, stopping: threading.Event) -> None:
        self._limit = limit
        self._stopping = stopping
        self._used = 0
        self.peak = 0
        self._condition = threading.Condition()
        self._growing: dict[int, None] = {}
        self._releasing = 0
        self._numbers = count()

    def begin(self) -> "Room":
        """Create the `Room` of a body that is about to be read."""
        return Room(self, next(self._numbers))

    def _grow(self, number: int, size: int) -> float:
        started = time.monotonic()
        with self._condition:
            self._growing.setdefault(number)
            while self._used + size > self._limit and (self._releasing or next(iter(self._growing)) != number):
                self._condition.wait(0.5)
                if self._stopping.is_set():
                    break
            self._used += size
            self.peak = max(self.peak, self._used)
        return time.monotonic() - started

    def _complete(self, number: int, releasing: bool) -> None:
        with self._condition:
            self._growing.pop(number, None)
            self._releasing += releasing
            self._condition.notify_all()

    def _give_back(self, number: int, size: int, releasing: bool) -> None:
        with self._condition:
            self._growing.pop(number, None)
            self._releasing -= releasing
            self._used -= size
            self._condition.notify_all()


class Room:
    """The memory of one body, shared by the rows that use the body."""

    def __init__(self, memory: Memory, number: int) -> None:
        self._memory = memory
        self._number = number
        self._size = 0
        self._users = 1
        self._releasing = False
        self._lock = threading.Lock()

    def __enter__(self) -> "Room":
        return self

    def __exit__(self, *error: object) -> None:
        self.give_back()

    def grow(self, size: int) -> float:
        """Reserve `size` more bytes. Returns the seconds spent waiting for them."""
        waited = self._memory._grow(self._number, size)
        self._size += size
        return waited

    def share(self, users: int) -> None:
        """Mark the body as complete; each of `users` rows calls `give_back` when done."""
        self._users = users
        self._releasing = users == 1
        self._memory._complete(self._number, self._releasing)

    def give_back(self) -> None:
        """Release the memory, once all users of the body have called this."""
        with self._lock:
            self._users -= 1
            if self._users != 0:
                return
        self._memory._give_back(self._number, self._size, self._releasing)
