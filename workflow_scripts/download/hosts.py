"""Each host's policy in this job: connections, request rate, Retry-After, and stopping hosts that refuse nearly all.

A host that starts to refuse requests is stopped until the next pass, which begins with a few single requests. A host
that serves images again and then bans again is given up until its limits are lowered: the rate is too high for it.
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

# This many refusals in a row (or `stop_after`, if lower) are a ban of the client rather than of single images.
BAN_AFTER = 5
# After a stop, this many refusals stop a host again. Not the first one, since it may be about the image.
PROBES = 3
# A host is given up after this many bans.
MAX_BANS = 2
# A host is stopped if at most this share of its last `stop_after` answers was good.
GOOD_SHARE_OF_STOPPED = 0.05
# The lowest rate, as a share of the policy's rate.
SLOWEST = 1 / 64
# A good answer raises the rate by this share of the policy's rate.
RECOVERY = 0.02
NO_CONTACT = "no contact is set; set `contact` in config/site.yaml"


@dataclass
class Gate:
    """This job's access to one host. Guarded by the condition of its `Hosts`.

    Attributes:
        host: name and port.
        connections: maximum number of simultaneous connections.
        full_rate: this job's requests per second by the policy; `rate` is the current value.
        traffic: the bytes it has sent, if its policy limits them.
        policy: the host's policy, for all jobs together.
        contact: the contact in the user agent.
        requested_wait: seconds of waiting that it has asked for since its last good answer.
        outcomes: whether each of its last answers was good.
        cause: its last bad answer.
        streak: number of the current streak of refusals. A good answer to a request that began after the streak's first
            refusal, at `streak_began`, ends it.
        bans: number of times it was stopped because it started to refuse after good answers.
        given_up: whether it banned too often, so that only lower limits or `retry_failed` start it again.
        forbidden: why it is never requested, if so.
        on_probation: whether it was stopped before: a few more refusals stop it again, one good answer clears it.
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
    requested_wait: float = 0.0
    slowed_at: float = 0.0
    stopped: bool = False
    stopped_at: float = 0.0
    cause: Fault | None = None
    streak: int = 0
    streak_began: float | None = None
    bans: int = 0
    good_since_ban: bool = False
    given_up: bool = False
    forbidden: Fault | None = None
    on_probation: bool = False
    probes: int = 0
    answers: dict[str, int] = field(default_factory=lambda: {"good": 0, "refused": 0, "unreachable": 0})

    def __post_init__(self) -> None:
        self.rate = self.full_rate

    def objection(self, now: float, max_wait: float) -> Fault | None:
        """Why the host gets no requests in this pass, or None."""
        if self.forbidden is not None:
            # A copy, since a raised fault keeps the frames of its traceback alive.
            return self.forbidden.copy()
        if self.connections == 0:
            return Fault("other", f"{self.host} is left to other parts by its policy", status="deferred")
        if self.given_up:
            return Fault("http_error", f"{self.host} was stopped: {self.remedy}", status="deferred")
        if self.stopped:
            cause = self.cause or Fault("http_error", "it refused another job")
            return _deferred(f"{self.host} was stopped: {cause.detail}", cause.reason)
        if self.hold_until > now and self.requested_wait > max_wait:
            return _deferred(_waits_too_long(self.host, self.hold_until - now))
        return None

    @property
    def remedy(self) -> str:
        """What the user can do about a host that bans."""
        rate, connections = self.policy.rate, self.policy.connections
        contact = f"contact in the user agent: {self.contact}" if self.contact else NO_CONTACT
        return (
            f"it banned this corpus's downloads {MAX_BANS} times. Lower limits.download.hosts: {{{self.host}: {{rate: "
            f"{rate / 2:g}, connections: 1}}}} (now {rate:g} and {connections}), ask its operator ({contact}), "
            f"then run: {snakemake('retry_failed')}"
        )

    def ready_in(self, now: float) -> float:
        """Seconds until the next request may start; infinite while all connections are in use."""
        connections = min(self.connections, 1) if self.on_probation else self.connections
        return math.inf if self.in_flight >= connections else self.pause(now, self.in_flight)

    def pause(self, now: float, others: int) -> float:
        """Seconds until the next request may start on an open connection, with `others` requests in flight."""
        traffic = self.traffic.wait(others) if self.traffic is not None else 0.0
        return max(0.0, self.next_at - now, self.hold_until - now, traffic)

    def count_request(self, now: float) -> None:
        """Count a request that starts now."""
        self.next_at = max(self.next_at, now) + 1 / self.rate


class Hosts:
    """All hosts of a job.

    Args:
        limits: the hosts' policies and the limits common to all hosts.
        stopping: set when the job must end.
        budget: this job's share of each host's policy.
        shared: folder where the jobs of a corpus record stopped hosts and received bytes.
        contact: mail or web address in the user agent, unless a host's policy has its own.
        retry_given_up: whether to request hosts again that were given up.
    """

    def __init__(
        self,
        limits: DownloadLimits,
        stopping: threading.Event,
        budget: Budget,
        shared: Path | None = None,
        *,
        contact: str | None = None,
        retry_given_up: bool = False,
    ) -> None:
        self.limits = limits
        self.condition = threading.Condition()
        self._stopping = stopping
        self._budget = budget
        self._stopped_hosts = StoppedHosts(shared / STOPPED_HOSTS if shared else None)
        self._traffic = Traffic(shared / TRAFFIC if shared else None)
        self._contact = contact
        self._retry_given_up = retry_given_up
        self._process = uuid.uuid4().hex[:8]
        self._gates: dict[str, Gate] = {}

    def gate(self, host: str) -> Gate:
        """A host's gate. The caller holds the condition."""
        gate = self._gates.get(host)
        if gate is None:
            policy, stopped = self.limits.of_host(host), self._stopped_hosts.find(host)
            contact = policy.contact or self._contact
            gate = Gate(host, *self._budget.of(host), deque(maxlen=self.limits.stop_after), contact)
            gate.policy, gate.traffic = policy, self._traffic.of(host, policy)
            gate.on_probation = stopped is not None
            # Until its policy's rate is lowered, or the user retries.
            gate.given_up = bool(
                stopped and stopped.rate is not None and policy.rate >= stopped.rate and not self._retry_given_up
            )
            self._gates[host] = gate
        return gate

    def objection(self, gate: Gate, now: float) -> Fault | None:
        """Why a host gets no requests in this pass, or None."""
        return gate.objection(now, self.limits.max_wait)

    @contextmanager
    def visit(self, host: str, origin: str, until: float) -> Iterator[None]:
        """Wait for the turn of a further request (a redirect or another rendition) and reserve its connection.

        Args:
            host: the host to request.
            origin: the host that this thread already has a connection to.
            until: deadline for the turn, in seconds of `time.monotonic`.

        Raises:
            Fault: the host gets no requests, or its turn does not come before `until`.
        """
        with self.condition:
            gate = self.gate(host)
            while True:
                now = time.monotonic()
                if (fault := self.objection(gate, now)) is not None:
                    raise fault
                wait = gate.pause(now, gate.in_flight - 1) if host == origin else gate.ready_in(now)
                if wait <= 0:
                    break
                if now + (wait if math.isfinite(wait) else 0) > until or self._stopping.is_set():
                    raise _deferred(f"redirect to {host} not followed: its rate limit is used up")
                self.condition.wait(min(wait, 0.5))
            gate.count_request(now)
            gate.in_flight += host != origin
        try:
            yield
        finally:
            with self.condition:
                gate.in_flight -= host != origin
                self.condition.notify_all()

    def good(self, host: str, begun: float) -> None:
        """Record a good answer (an image, or that it does not exist) to a request that began at `begun`."""
        with self.condition:
            gate = self._record(host, "good", begun=begun)
            if gate.streak_began is not None and begun > gate.streak_began:
                gate.streak, gate.streak_began = gate.streak + 1, None
            gate.requested_wait = 0.0
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
        """Record that a host refused a request.

        Args:
            host: the host.
            fault: its answer.
            begun: when the request began. Requests already in flight when the rate was halved do not halve it again.
            slow_down: whether the answer means too many requests (429, 503).
            bans: whether the answer may be a ban of this client (403, 429, ...) rather than a server error.
            rest: seconds to wait, from Retry-After.

        Returns:
            The fault of the image: `fault`, that its host was stopped, or that its host asked to wait too long.
        """
        with self.condition:
            gate = self._record(host, "refused", fault, bans)
            now = time.monotonic()
            if slow_down and begun >= gate.slowed_at:
                gate.rate = max(gate.rate / 2, gate.full_rate * SLOWEST)
                gate.slowed_at = now
                gate.next_at = max(gate.next_at, now + 1 / gate.rate)
            if rest is not None:
                until = max(gate.hold_until, now + rest)
                gate.requested_wait += until - max(gate.hold_until, now)
                gate.hold_until = until
            if gate.requested_wait > self.limits.max_wait:
                return _deferred(f"{fault.detail}, {_waits_too_long(host, rest or 0)}")
            # The request that stopped the host, and those in flight, fail because of the host and not of the image.
            objection = gate.objection(now, self.limits.max_wait) if gate.stopped else None
            if objection is None and bans and gate.on_probation:
                # No good answer since the stop: the refusal is because of the host.
                objection = _deferred(f"{host} was stopped: {fault.detail}", fault.reason)
            return fault if fault.transient or objection is None else objection

    def refusal_streak(self, host: str) -> str:
        """The id, unique over all processes, of the streak that the latest refusal belongs to."""
        with self.condition:
            gate = self.gate(host)
            gate.streak_began = gate.streak_began or time.monotonic()
            return f"{host} {self._process} {gate.streak}"

    def received(self, host: str, size: int) -> None:
        """Count the bytes of a body."""
        with self.condition:
            traffic = self.gate(host).traffic
            if traffic is not None:
                traffic.add(size)

    def unreachable(self, host: str, fault: Fault) -> None:
        """Record that a host did not answer, because of `fault`."""
        with self.condition:
            self._record(host, "unreachable", fault)

    def forbid(self, host: str, fault: Fault) -> None:
        """Send no more requests to a host; its remaining images are refused without waiting for their turn."""
        with self.condition:
            self.gate(host).forbidden = fault.copy()
            self.condition.notify_all()

    def begin_pass(self) -> None:
        """Put stopped hosts on probation: one good answer clears a host, a few more refusals stop it again."""
        with self.condition:
            for gate in self._gates.values():
                gate.on_probation |= gate.stopped
                gate.stopped, gate.probes = False, 0

    def stopped(self) -> dict[str, dict[str, int]]:
        """The stopped hosts, each with its counts of answers."""
        with self.condition:
            gates = sorted(self._gates.items())
            return {host: dict(gate.answers) for host, gate in gates if gate.stopped or gate.given_up}

    def rates(self) -> dict[str, float]:
        """Each host's current requests per second."""
        with self.condition:
            return {host: 0.0 if gate.stopped else gate.rate for host, gate in sorted(self._gates.items())}

    def _record(
        self, host: str, answer: str, fault: Fault | None = None, bans: bool = False, begun: float = 0.0
    ) -> Gate:
        gate = self.gate(host)
        gate.answers[answer] += 1
        good = answer == "good"
        # Answers to requests that began before the stop do not count as recovery.
        serves = good and begun > gate.stopped_at
        gate.good_since_ban |= serves
        gate.cause = fault.copy() if fault else gate.cause
        if serves and (gate.stopped or gate.on_probation):
            gate.outcomes.clear()
            gate.stopped = gate.on_probation = False
            self._stopped_hosts.remove(host)
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
            gate.given_up = gate.bans >= MAX_BANS
            self._stopped_hosts.add(host, self.limits.of_host(host).rate if gate.given_up else None)
            reason = gate.remedy if gate.given_up else gate.cause
            logger.warning("%s: stopped, no further requests in this pass: %s", host, reason)
        return gate


def _waits_too_long(host: str, seconds: float) -> str:
    return f"{host} asked to wait {seconds:.0f} s (Retry-After), longer than limits.download.max_wait"


def _deferred(detail: str, reason: str = "http_error") -> Fault:
    return Fault(reason, detail, status="deferred", transient=True)


def retry_after(value: str | None) -> float | None:
    """Seconds from a Retry-After header (a number or a date); None if it is missing or invalid."""
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
