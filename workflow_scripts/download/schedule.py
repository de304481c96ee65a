"""Decide which image is requested next: of the hosts that are ready, the one that has waited longest.

img2dataset's threads take their work from here, so that a slow host never blocks more threads than it has connections.
Rows with the same URL are fetched once.
"""

import io
import math
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from workflow_scripts.download.attempts import Fault, Row
from workflow_scripts.download.hosts import Gate, Hosts

Refuse = Callable[[Row], None]
Answer = tuple[int, io.BytesIO | None, str | None]
POLL_SECONDS = 0.5


@dataclass(frozen=True)
class Task:
    """A thread's next task.

    Attributes:
        numbers: rows with the same URL, to be fetched; empty if `answer` is given.
        fault: why they are not requested, if so.
        answer: the answer for one row, whose body another thread has fetched.
    """

    numbers: tuple[int, ...] = ()
    fault: Fault | None = None
    answer: Answer | None = None


class Schedule:
    """The rows of one shard.

    Args:
        rows: the rows.
        hosts: the hosts' policies in this job.
        stopping: set when the job must end.
        closes: Unix time after which nothing is requested.
        refuse: raises `Fault` for rows that must not be requested; these do not wait for a turn.
        others_wait: returns whether any host not in the given set has images in later shards; None to wait for slow
            hosts.
    """

    def __init__(
        self,
        rows: Sequence[Row],
        *,
        hosts: Hosts,
        stopping: threading.Event,
        closes: float = math.inf,
        refuse: Refuse | None = None,
        others_wait: Callable[[set[str]], bool] | None = None,
    ) -> None:
        self._hosts = hosts
        self._stopping = stopping
        self._closes = closes
        self._others_wait = others_wait
        self._condition = hosts.condition
        self._answers: deque[Answer] = deque()
        self._refused: deque[Task] = deque()
        self._idle_since: float | None = None
        self._queues: OrderedDict[str, deque[tuple[int, ...]]] = OrderedDict()
        self._gates: dict[str, Gate] = {}
        sources: dict[tuple[str, str], list[int]] = {}
        for number, row in enumerate(rows):
            try:
                if refuse is not None:
                    refuse(row)
            except Fault as fault:
                self._refused.append(Task((number,), fault))
            else:
                sources.setdefault((row.host, row.url), []).append(number)
        with self._condition:
            for (host, _), numbers in sources.items():
                if host not in self._queues:
                    self._queues[host] = deque()
                    if host:
                        self._gates[host] = hosts.gate(host)
                self._queues[host].append(tuple(numbers))

    def take(self) -> Task:
        """The next task; waits until there is one."""
        with self._condition:
            while True:
                if self._answers:
                    return Task(answer=self._answers.popleft())
                if self._refused:
                    return self._refused.popleft()
                if self._queues:
                    task = self._next()
                    if task is not None:
                        return task
                else:
                    self._condition.wait(POLL_SECONDS)

    def give(self, answers: Sequence[Answer]) -> None:
        """Add answers for further rows of a URL; other threads return them."""
        if answers:
            with self._condition:
                self._answers.extend(answers)
                self._condition.notify_all()

    def done(self, host: str) -> None:
        """End a task of this host."""
        if host:
            with self._condition:
                self._gates[host].in_flight -= 1
                self._condition.notify_all()

    def _next(self) -> Task | None:
        now = time.monotonic()
        if self._stopping.is_set():
            return self._drop(Fault("other", "stopped", status="deferred", transient=True))
        if time.time() > self._closes:
            return self._drop(Fault("other", "closed before it was asked for", status="deferred"))
        soonest = math.inf
        for host in list(self._queues):
            gate = self._gates.get(host)
            fault = self._hosts.objection(gate, now) if gate is not None else None
            wait = gate.ready_in(now) if gate is not None and fault is None else 0.0
            if wait <= 0:
                numbers = self._pop(host)
                if fault is None and gate is not None:
                    gate.in_flight += 1
                    gate.count_request(now)
                return Task(numbers, fault)
            soonest = min(soonest, wait)
        if self._idle_since is None:
            self._idle_since = now
        if self._others_wait is not None and now - self._idle_since >= self._hosts.limits.patience:
            if self._others_wait(set(self._queues)):
                return self._drop(Fault("other", "left to a later pass", status="deferred", transient=True))
            self._idle_since = now
        self._condition.wait(min(soonest, POLL_SECONDS))
        return None

    def _pop(self, host: str) -> tuple[int, ...]:
        queue = self._queues[host]
        numbers = queue.popleft()
        if queue:
            self._queues.move_to_end(host)
        else:
            del self._queues[host]
            self._idle_since = None
        return numbers

    def _drop(self, fault: Fault) -> Task:
        return Task(self._pop(next(iter(self._queues))), fault)
