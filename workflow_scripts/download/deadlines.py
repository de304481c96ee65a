"""Deadlines for requests, including those whose headers arrive slowly."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from urllib3.connection import HTTPConnection

POLL_SECONDS = 0.2


@dataclass
class Request:
    """A request in progress.

    Attributes:
        ends: its deadline, in seconds of `time.monotonic`.
        connection: the connection that it uses.
        reused: whether an earlier request used the connection.
        cut: whether the connection was closed at the deadline.
    """

    ends: float
    connection: socket.socket | None = None
    reused: bool = False
    cut: bool = False


class Deadlines:
    """Closes the connections of requests that exceed their deadline. Each thread has at most one request."""

    def __init__(self, stopping: threading.Event) -> None:
        self._stopping = stopping
        self._open: dict[int, Request] = {}
        self._lock = threading.Lock()
        threading.Thread(target=self._watch, name="deadlines", daemon=True).start()

    @contextlib.contextmanager
    def within(self, seconds: float) -> Iterator[Request]:
        """A request of this thread that must end within `seconds`. Its `ends` may be changed later."""
        request = Request(time.monotonic() + seconds)
        with self._lock:
            self._open[threading.get_ident()] = request
        try:
            yield request
        finally:
            with self._lock:
                del self._open[threading.get_ident()]

    def uses(self, connection: socket.socket, reused: bool) -> None:
        """Record the connection that this thread's request uses."""
        with self._lock:
            request = self._open.get(threading.get_ident())
            if request is not None:
                request.connection, request.reused = connection, reused

    def _watch(self) -> None:
        while True:
            time.sleep(POLL_SECONDS)
            now = time.monotonic()
            with self._lock:
                for request in self._open.values():
                    late = now > request.ends or self._stopping.is_set()
                    if late and request.connection is not None and not request.cut:
                        request.cut = True
                        with contextlib.suppress(OSError):
                            request.connection.shutdown(socket.SHUT_RDWR)


def watched(base: type[HTTPConnection], deadlines: Deadlines) -> type[HTTPConnection]:
    """A subclass of `base` that reports the use of its connection to `deadlines`."""

    class Watched(base):  # type: ignore[misc, valid-type]
        """Keeps a duplicate of its socket, since TLS detaches the original before the handshake."""

        _handle: socket.socket | None = None
        _used = False

        def _new_conn(self) -> socket.socket:
            connection: socket.socket = super()._new_conn()
            self._drop()
            self._handle, self._used = connection.dup(), False
            deadlines.uses(self._handle, reused=False)
            return connection

        def request(self, *words: Any, **options: Any) -> None:
            if self._handle is not None:
                deadlines.uses(self._handle, reused=self._used)
            super().request(*words, **options)
            self._used = True

        def close(self) -> None:
            super().close()
            self._drop()

        def _drop(self) -> None:
            if self._handle is not None:
                self._handle.close()
                self._handle = None

    return Watched
