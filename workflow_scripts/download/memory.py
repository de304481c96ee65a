"""What many threads hold in memory together is bounded: bodies, and images while they are decoded."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count


class DecodingMemory:
    """Bytes that the images of a job may take together while they are decoded: `limit`, and never more.

    What an image takes is known from its header, so it is asked for at once. It waits its turn: small images do not
    keep a large one waiting for ever.
    """

    def __init__(self, limit: int, stopping: threading.Event) -> None:
        self.limit = limit
        self.most_held = 0
        self._stopping = stopping
        self._held = 0
        self._turn = threading.Lock()
        self._condition = threading.Condition()

    @contextmanager
    def hold(self, size: int) -> Iterator[None]:
        """Hold `size` bytes, at most the limit, once they are free."""
        with self._turn, self._condition:
            while self._held + size > self.limit and not self._stopping.is_set():
                self._condition.wait(0.5)
            self._held += size
            self.most_held = max(self.most_held, self._held)
        try:
            yield
        finally:
            with self._condition:
                self._held -= size
                self._condition.notify()


class Memory:
    """Bytes that all bodies of a job may hold together.

    When nothing that is held will be given back by itself, the body that began to come first may grow all the same, so
    that it is finished and the others get its room: at most `limit` bytes and one more body are ever held. Sources of
    several crops do not count as given back by themselves, since threads that wait here may have to take them.
    """

    def __init__(self, limit: int, stopping: threading.Event) -> None:
        self._limit = limit
        self._stopping = stopping
        self._held = 0
        self.most_held = 0
        self._condition = threading.Condition()
        self._growing: dict[int, None] = {}
        self._on_their_way = 0
        self._numbers = count()

    def begin(self) -> "Room":
        """Room for a body that is about to be read."""
        return Room(self, next(self._numbers))

    def _grow(self, number: int, size: int) -> float:
        started = time.monotonic()
        with self._condition:
            self._growing.setdefault(number)
            while self._held + size > self._limit and (self._on_their_way or next(iter(self._growing)) != number):
                self._condition.wait(0.5)
                if self._stopping.is_set():
                    break
            self._held += size
            self.most_held = max(self.most_held, self._held)
        return time.monotonic() - started

    def _whole(self, number: int, counts: bool) -> None:
        with self._condition:
            self._growing.pop(number, None)
            self._on_their_way += counts
            self._condition.notify_all()

    def _give_back(self, number: int, size: int, counted: bool) -> None:
        with self._condition:
            self._growing.pop(number, None)
            self._on_their_way -= counted
            self._held -= size
            self._condition.notify_all()


class Room:
    """What one body holds; shared by the rows that it serves."""

    def __init__(self, memory: Memory, number: int) -> None:
        self._memory = memory
        self._number = number
        self._size = 0
        self._users = 1
        self._counted = False
        self._lock = threading.Lock()

    def __enter__(self) -> "Room":
        return self

    def __exit__(self, *error: object) -> None:
        self.give_back()

    def grow(self, size: int) -> float:
        """Hold `size` bytes more; returns the seconds that it took to get them."""
        waited = self._memory._grow(self._number, size)
        self._size += size
        return waited

    def share(self, users: int) -> None:
        """The body is whole, and `users` will each give it back."""
        self._users = users
        self._counted = users == 1
        self._memory._whole(self._number, self._counted)

    def give_back(self) -> None:
        """One user has done with the body."""
        with self._lock:
            self._users -= 1
            if self._users != 0:
                return
        self._memory._give_back(self._number, self._size, self._counted)
