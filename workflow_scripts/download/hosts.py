"""Each host's policy in this job: connections, rate, rest asked for, and the end of hosts that refuse nearly all.

A host that begins to refuse is stopped until the next pass, and then asked a few times, one by one. One that serves
again and bans again is left to the person: it does not stand this rate.
"""

import email.utils
import logging
import math
import threading
import time
import uuid
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from workflow_scripts.common.config.download import DownloadLimits, HostLimits
from workflow_scripts.common.remedies import snakemake
from workflow_scripts.download.attempts import Fault
from workflow_scripts.download.budget import Budget
from workflow_scripts.download.stopped_hosts import STOPPED_HOSTS, StoppedHosts
from workflow_scripts.download.traffic import TRAFFIC, HostTraffic, Traffic

logger = logging.getLogger(__name__)

# So many refusals in a row are a ban, or as few as stop a host: they are not about the images.
BAN_AFTER = 5
# A host that was stopped is asked so often for images that it may refuse by themselves, before it is stopped again.
PROBES = 3
# A host that bans so often is left to the person.
MOST_BANS = 2
# Of the last `stop_after` answers at most this share may be good in a host that is stopped.
GOOD_SHARE_OF_STOPPED = 0.05
SLOWEST = 1 / 64
RECOVERY = 0.02
NO_CONTACT = "no contact is set; set `contact` in config/site.yaml"


@dataclass
class Gate:
    """One host, as this job may ask it. Guarded by its `Hosts`' condition.

    Attributes:
        host: name and port.
        connections: at once.
        full_rate: requests a second by the policy; `rate` is what it is now.
        traffic: what it has sent, where its policy limits bytes.
        policy: over all jobs.
        contact: what its operator finds in the user agent.
        outcomes: whether each of its last answers was good.
        cause: its last answer that was not.
        row: counts its rows of refusals, between which there are good answers to requests that began later;
            `row_began` is when the first answer of the present one came.
        bans: how often it began to refuse after good answers, and was stopped.
    """

    host: str
    connections: int
    full_rate: float
    outcomes: deque[bool]
    contact: str | None = None
    traffic: HostTraffic | None = None
    policy: HostLimits = field(default_factory=HostLimits)
    rate: float = 0.0
    in_flight: int = 0
    next_at: float = 0.0
    hold_until: float = 0.0
    # Seconds of waiting asked for since the host's last good answer.
    asked: float = 0.0
    slowed_at: float = 0.0
    stopped: bool = False
    stopped_at: float = 0.0
    cause: Fault | None = None
    row: int = 0
    row_began: float | None = None
    bans: int = 0
    good_since_ban: bool = False
    left: bool = False
    # Why it is never asked.
    forbidden: Fault | None = None
    # It was stopped before: a few more refusals stop it, one good answer clears it.
    on_probation: bool = False
    probes: int = 0
    answers: dict[str, int] = field(default_factory=lambda: {"good": 0, "refused": 0, "unreachable": 0})

    def __post_init__(self) -> None:
        self.rate = self.full_rate

    def objection(self, now: float, max_wait: float) -> Fault | None:
        """Why it is not asked at all in this pass."""
        if self.forbidden is not None:
            # A fault that was raised keeps the frames of its traceback alive.
            return self.forbidden.copy()
        if self.connections == 0:
            return Fault("other", f"{self.host} is left to other parts by its policy", status="deferred")
        if self.left:
            return Fault("http_error", f"{self.host} was stopped: {self.remedy}", status="deferred")
        if self.stopped:
            cause = self.cause or Fault("http_error", "it refused another job")
            return _deferred(f"{self.host} was stopped: {cause.detail}", cause.reason)
        if self.hold_until > now and self.asked > max_wait:
            return _deferred(_waits_too_long(self.host, self.hold_until - now))
        return None

    @property
    def remedy(self) -> str:
        """What a person can do about a host that bans."""
        rate, connections = self.policy.rate, self.policy.connections
        contact = f"contact in the user agent: {self.contact}" if self.contact else NO_CONTACT
        return (
            f"it banned this corpus's downloads {MOST_BANS} times. Lower limits.download.hosts: {{{self.host}: {{rate: "
            f"{rate / 2:g}, connections: 1}}}} (now {rate:g} and {connections}), ask its operator ({contact}), "
            f"then run: {snakemake('retry_failed')}"
        )

    def ready_in(self, now: float) -> float:
        """Seconds until it may be asked; infinite while all its connections are in use."""
        most = min(self.connections, 1) if self.on_probation else self.connections
        return math.inf if self.in_flight >= most else self.pause(now, self.in_flight)

    def pause(self, now: float, beside: int) -> float:
        """Seconds until the next request on a connection that is already had, `beside` so many others under way."""
        sent = self.traffic.wait(beside) if self.traffic is not None else 0.0
        return max(0.0, self.next_at - now, self.hold_until - now, sent)

    def count_request(self, now: float) -> None:
        """A request begins."""
        self.next_at = max(self.next_at, now) + 1 / self.rate


class Hosts:
    """All hosts of a job.

    Args:
        limits: what all hosts have in common.
        stopping: set when the job must end.
        budget: how much of each host's policy is this job's.
        shared: the folder where the jobs of a corpus tell each other of hosts that are stopped, and of what was sent.
        contact: mail or web address in the user agent, where a host's policy has none.
        again: whether a person asks to try again hosts that were left to them.
    """

    def __init__(
        self,
        limits: DownloadLimits,
        stopping: threading.Event,
        budget: Budget,
        shared: Path | None = None,
        *,
        contact: str | None = None,
        again: bool = False,
    ) -> None:
        self.limits = limits
        self.condition = threading.Condition()
        self._stopping = stopping
        self._budget = budget
        self._noted = StoppedHosts(shared / STOPPED_HOSTS if shared else None)
        self._traffic = Traffic(shared / TRAFFIC if shared else None)
        self._contact = contact
        self._again = again
        self._process = uuid.uuid4().hex[:8]
        self._gates: dict[str, Gate] = {}

    def gate(self, host: str) -> Gate:
        """A host's gate. The condition is held."""
        found = self._gates.get(host)
        if found is None:
            policy, noted = self.limits.of_host(host), self._noted.find(host)
            contact = policy.contact or self._contact
            found = Gate(host, *self._budget.of(host), deque(maxlen=self.limits.stop_after), contact)
            found.policy, found.traffic = policy, self._traffic.of(host, policy)
            found.on_probation = noted is not None
            # Until its policy is lowered, or a person asks.
            found.left = bool(noted and noted.rate is not None and policy.rate >= noted.rate and not self._again)
            self._gates[host] = found
        return found

    def objection(self, gate: Gate, now: float) -> Fault | None:
        """Why a host is not asked at all in this pass."""
        return gate.objection(now, self.limits.max_wait)

    @contextmanager
    def visit(self, host: str, had: str, until: float) -> Iterator[None]:
        """A further request while a connection to `had` is in use: its turn in the host's rate, and its connection.

        Raises:
            Fault: the host is not asked, or its turn does not come before `until`.
        """
        with self.condition:
            gate = self.gate(host)
            while True:
                now = time.monotonic()
                if (fault := self.objection(gate, now)) is not None:
                    raise fault
                wait = gate.pause(now, gate.in_flight - 1) if host == had else gate.ready_in(now)
                if wait <= 0:
                    break
                if now + (wait if math.isfinite(wait) else 0) > until or self._stopping.is_set():
                    raise _deferred(f"redirect to {host} not followed: its rate limit is used up")
                self.condition.wait(min(wait, 0.5))
            gate.count_request(now)
            gate.in_flight += host != had
        try:
            yield
        finally:
            with self.condition:
                gate.in_flight -= host != had
                self.condition.notify_all()

    def good(self, host: str, begun: float) -> None:
        """A host answered as it should, be it that there is no such image, to a request that began at `begun`."""
        with self.condition:
            gate = self._note(host, "good", begun=begun)
            if gate.row_began is not None and begun > gate.row_began:
                gate.row, gate.row_began = gate.row + 1, None
            gate.asked = 0.0
            gate.rate = min(gate.full_rate, gate.rate + RECOVERY * gate.full_rate)

    def refused(
        self,
        host: str,
        fault: Fault,
        begun: float,
        *,
        slow_down: bool = False,
        bans: bool = False,
        rest: float | None = None,
    ) -> Fault:
        """A host refused a request.

        Args:
            host: which.
            fault: what it answered.
            begun: when the request began; what was on its way when the rate was halved does not halve it again.
            slow_down: whether it means too much at once (429, 503).
            bans: whether it means whoever asks (403, 429, ...), and not that it is broken.
            rest: seconds of rest that it asks for.

        Returns:
            Why there is no image: `fault`, or that the host was stopped, or wants more rest than it is given.
        """
        with self.condition:
            gate = self._note(host, "refused", fault, bans)
            now = time.monotonic()
            if slow_down and begun >= gate.slowed_at:
                gate.rate = max(gate.rate / 2, gate.full_rate * SLOWEST)
                gate.slowed_at = now
                gate.next_at = max(gate.next_at, now + 1 / gate.rate)
            if rest is not None:
                until = max(gate.hold_until, now + rest)
                gate.asked += until - max(gate.hold_until, now)
                gate.hold_until = until
            if gate.asked > self.limits.max_wait:
                return _deferred(f"{fault.detail}, {_waits_too_long(host, rest or 0)}")
            # The request that stopped it, and those on their way, are refused with the host and not for the image.
            objection = gate.objection(now, self.limits.max_wait) if gate.stopped else None
            if objection is None and bans and gate.on_probation:
                # Not one good answer since it was stopped: the refusal is the host's.
                objection = _deferred(f"{host} was stopped: {fault.detail}", fault.reason)
            return fault if fault.transient or objection is None else objection

    def row_of_refusals(self, host: str) -> str:
        """The row of refusals to which the one belongs that came just now; no other process has one of this name."""
        with self.condition:
            gate = self.gate(host)
            gate.row_began = gate.row_began or time.monotonic()
            return f"{host} {self._process} {gate.row}"

    def received(self, host: str, size: int) -> None:
        """A host has sent so many bytes of a body."""
        with self.condition:
            traffic = self.gate(host).traffic
            if traffic is not None:
                traffic.add(size)

    def unreachable(self, host: str, fault: Fault) -> None:
        """A host did not answer, because of `fault`."""
        with self.condition:
            self._note(host, "unreachable", fault)

    def forbid(self, host: str, fault: Fault) -> None:
        """A host is never asked: what is left of its images is refused without waiting for turns."""
        with self.condition:
            self.gate(host).forbidden = fault.copy()
            self.condition.notify_all()

    def begin_pass(self) -> None:
        """Stopped hosts get another chance: one good answer is enough, a few more refusals end it."""
        with self.condition:
            for gate in self._gates.values():
                gate.on_probation |= gate.stopped
                gate.stopped, gate.probes = False, 0

    def stopped(self) -> dict[str, dict[str, int]]:
        """The hosts that are stopped, with their answers."""
        with self.condition:
            return {host: dict(gate.answers) for host, gate in sorted(self._gates.items()) if gate.stopped or gate.left}

    def rates(self) -> dict[str, float]:
        """Requests a second that each host gets at present."""
        with self.condition:
            return {host: 0.0 if gate.stopped else gate.rate for host, gate in sorted(self._gates.items())}

    def _note(self, host: str, answer: str, fault: Fault | None = None, bans: bool = False, begun: float = 0.0) -> Gate:
        gate = self.gate(host)
        gate.answers[answer] += 1
        good = answer == "good"
        # What was on its way when the host was stopped says nothing of what it does since.
        serves = good and begun > gate.stopped_at
        gate.good_since_ban |= serves
        gate.cause = fault.copy() if fault else gate.cause
        if serves and (gate.stopped or gate.on_probation):
            gate.outcomes.clear()
            gate.stopped = gate.on_probation = False
            self._noted.remove(host)
        gate.outcomes.append(good)
        full = len(gate.outcomes) == gate.outcomes.maxlen
        nearly_all = full and sum(gate.outcomes) <= GOOD_SHARE_OF_STOPPED * len(gate.outcomes)
        gate.probes += gate.on_probation and not good
        fails = gate.on_probation and gate.probes >= (PROBES if bans else 1)
        if not good and not gate.stopped and (fails or (nearly_all and not gate.on_probation)):
            gate.stopped, gate.stopped_at = True, time.monotonic()
            if bans and gate.good_since_ban:
                gate.bans, gate.good_since_ban = gate.bans + 1, False
                gate.rate = max(gate.rate / 2, gate.full_rate * SLOWEST)
            gate.left = gate.bans >= MOST_BANS
            self._noted.add(host, self.limits.of_host(host).rate if gate.left else None)
            logger.warning("%s is not asked further in this pass: %s", host, gate.remedy if gate.left else gate.cause)
        return gate


def _waits_too_long(host: str, seconds: float) -> str:
    return f"{host} asked to wait {seconds:.0f} s (Retry-After), longer than limits.download.max_wait"


def _deferred(detail: str, reason: str = "http_error") -> Fault:
    return Fault(reason, detail, status="deferred", transient=True)


def retry_after(value: str | None) -> float | None:
    """Seconds that a Retry-After header asks for (a number or a date); None when there is none or it is neither."""
    if value is None:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        when = email.utils.parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    if when.tzinfo is None:
        when = when.replace(tzinfo=UTC)
    return max(0.0, (when - datetime.now(UTC)).total_seconds())
