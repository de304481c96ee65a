"""Images of a host that bans are retried later; a host that bans again is given up."""

import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.download.conftest import LIMITS, SETTINGS
from tests.messages import says
from workflow_scripts.common.accounts import read_account
from workflow_scripts.common.config.download import DownloadLimits, DownloadSettings, HostLimits
from workflow_scripts.download.hosts import PROBES
from workflow_scripts.download.retry import retry
from workflow_scripts.download.stopped_hosts import STOPPED_HOSTS, StoppedHosts


class Bouncer:
    """A server that bans a client after too many requests.

    Attributes:
        bans: after how many images each ban begins.
        seconds: how long a ban lasts; None: until `pardon`.
        refused: times of refused requests.
    """

    def __init__(self, server: Any, bans: list[int], seconds: float | None) -> None:
        self.server = server
        self.bans = bans
        self.seconds = seconds
        self.served = 0
        self.until = 0.0
        self.refused: list[float] = []

    def pardon(self) -> None:
        self.until = 0.0

    def answer(self, to: Any, number: int) -> None:
        with self.server.lock:
            now = time.monotonic()
            if now >= self.until and self.bans and self.served >= self.bans[0]:
                del self.bans[0]
                self.until = now + (1e9 if self.seconds is None else self.seconds)
            banned = now < self.until
            self.served += not banned
            if banned:
                self.refused.append(now)
        if banned:
            self.server.answer(to, 403, b"banned")
        elif number % 10 == 9:
            self.server.answer(to, 403, b"this one is private")
        else:
            self.server.do_ok(to, number, 1)


@pytest.fixture
def bouncer(server: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Bouncer]:
    def make(bans: list[int], seconds: float | None = None) -> Bouncer:
        made = Bouncer(server, bans, seconds)
        monkeypatch.setattr(
            type(server), "do_guarded", lambda self, to, number, asked: made.answer(to, number), raising=False
        )
        return made

    return make


def urls(server: Any, count: int = 60) -> dict[str, str]:
    return {f"u{number:03d}": server.url(f"guarded/{number}") for number in range(count)}


def by_status(rows: dict[str, dict[str, Any]]) -> dict[str, int]:
    found = [row["status"] for row in rows.values()]
    return {status: found.count(status) for status in set(found)}


def again(run: Any, settings: dict[str, Any]) -> None:
    """`retry_failed`."""
    retry(
        parts=(run.part,),
        manifests=(run.out / "manifest.parquet",),
        settings=DownloadSettings(**SETTINGS | settings),
        limits=DownloadLimits(**LIMITS | {"wait": 0, "stop_after": 10}),
        work=run.work,
    )


@pytest.mark.parametrize("threads", [1, 4])
def test_a_temporary_ban_loses_no_image_and_forbidden_images_stay_failed(
    threads: int, server: Any, run_of: Any, bouncer: Any
) -> None:
    host = bouncer([25], seconds=0.6)
    rows = run_of(urls(server))({"passes": 3, "images_per_tar": 100}, threads=threads, stop_after=10, wait=0.4)
    assert by_status(rows) == {"ok": 54, "failed": 6}
    forbidden = {uuid for uuid, row in rows.items() if row["status"] == "failed"}
    assert forbidden == {f"u{number:02d}9" for number in range(6)}
    # Stopped by ten refusals, then a few per pass. With more threads, good answers in flight restart the count.
    assert threads > 1 or len(host.refused) <= 10 + 2 * PROBES


def test_images_of_an_endless_ban_are_deferred_and_retried(server: Any, run_of: Any, bouncer: Any) -> None:
    host = bouncer([31])
    run = run_of(urls(server))
    settings = {"passes": 1, "images_per_tar": 100}
    started = time.monotonic()
    rows = run(settings, threads=1, stop_after=10, wait=0.2)
    assert time.monotonic() - started > 0.2 + 0.4, "the passes are waited for, though the last answer was no request"
    assert by_status(rows) == {"ok": 28, "failed": 3, "deferred": 29}
    assert {row["error"].partition(":")[0] for row in rows.values() if row["status"] == "deferred"} == {"http_error"}
    assert len(host.refused) == 10 + 2 * PROBES
    host.pardon()
    again(run, settings)
    assert by_status(run.rows()) == {"ok": 54, "failed": 6}


def test_a_ban_too_short_to_stop_the_host_loses_no_image(server: Any, run_of: Any, bouncer: Any) -> None:
    bouncer([20], seconds=0.3)
    slow = {"default_host": {"connections": 1, "rate": 30}}
    rows = run_of(urls(server, 40))({"passes": 3, "images_per_tar": 100}, stop_after=20, **slow)
    assert by_status(rows) == {"ok": 36, "failed": 4}


def test_images_of_a_host_stopped_by_another_job_are_downloaded_once_it_serves_again(
    server: Any, run_of: Any, bouncer: Any
) -> None:
    host = bouncer([0])
    # Fewer images than it takes to detect a ban.
    run = run_of(urls(server, 4))
    StoppedHosts(run.work / STOPPED_HOSTS).add(server.host)
    assert by_status(run({"passes": 2}, threads=1)) == {"deferred": 4}
    assert 1 <= len(host.refused) <= 2 * PROBES + 2
    host.pardon()
    again(run, {"passes": 2})
    assert by_status(run.rows()) == {"ok": 4}


def test_a_host_that_bans_twice_is_given_up(server: Any, run_of: Any, bouncer: Any) -> None:
    host = bouncer([20, 30], seconds=0.25)
    run = run_of(urls(server))
    rows = run({"passes": 3, "images_per_tar": 100}, threads=1, stop_after=5, wait=0.3)
    assert len(host.refused) <= 5 + 5 + 2 * PROBES
    left = [row["error"] for row in rows.values() if row["status"] == "deferred"]
    remedy = ("was stopped", "limits.download.hosts", server.host, "rate", "someone@example.org", "retry_failed")
    assert sum(says(error, *remedy) for error in left) > 20
    assert read_account(run.out / "account.json").notes["deferred"] == len(left)
    # Other jobs send it no requests either, until its limits are lowered.
    asked = sum(server.asked.values())
    other = {"passes": 3, "images_per_tar": 100, "jpeg_quality": 50}
    run(other, threads=1, stop_after=5, wait=0)
    assert sum(server.asked.values()) == asked
    policy = {server.host: HostLimits(connections=1, rate=500)}
    lower = run(other | {"jpeg_quality": 51}, threads=1, stop_after=5, wait=0, hosts=policy)
    assert by_status(lower)["ok"] == 54
