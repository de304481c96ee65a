"""A host's byte limits per hour and day hold over all jobs of a corpus, simultaneous and successive."""

import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from workflow_scripts.common import tables
from workflow_scripts.common.config.download import DownloadLimits, DownloadSettings
from workflow_scripts.contracts import DOWNLOADS
from workflow_scripts.download.traffic import READ_INTERVAL_SECONDS, HostTraffic

SECONDS = 2.0
BODY = 20_000
BODIES = 5
# The policy's hour, shortened to seconds.
JOB = f"""
from workflow_scripts.common.cli import run
from workflow_scripts.download import traffic
from workflow_scripts.download.fetch import fetch
traffic.WINDOWS["gb_per_hour"] = {SECONDS}
run(fetch)
"""


def test_no_job_starts_a_request_that_could_exceed_the_common_limit(
    tmp_path: Path, server: Any, make_part: Callable[..., Path], make_picture: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[float] = []
    body = make_picture(1) + bytes(BODY)

    def weighed(self: Any, to: Any, number: int, time_asked: int) -> None:
        with self.lock:
            sent.append(time.monotonic())
        # Between two reads of the other job's file, at most one body arrives per connection.
        time.sleep(2 * READ_INTERVAL_SECONDS)
        self.answer(to, 200, body)

    monkeypatch.setattr(type(server), "do_weighed", weighed, raising=False)
    policy = {"connections": 1, "rate": 100, "gb_per_hour": BODIES * len(body) / 1e9}
    limits = DownloadLimits(hosts={server.host: policy}, threads=4, wait=0)

    def start(number: int) -> subprocess.Popen[bytes]:
        urls = {f"u{number}-{image}": server.url(f"weighed/{10 * number + image}") for image in range(5)}
        words = ["--part", make_part(tmp_path, urls, name=f"part-{number:04d}"), "--out-dir", tmp_path / str(number)]
        words += ["--settings", DownloadSettings(allow_hosts=["127.0.0.1"]).to_json(), "--limits", limits.to_json()]
        words += ["--work", tmp_path / "work", "--log", tmp_path / f"{number}.log"]
        return subprocess.Popen([sys.executable, "-c", JOB, *map(str, words)], stderr=subprocess.DEVNULL)

    assert [job.wait(timeout=120) for job in [start(0), start(1)]] == [0, 0]
    rows = tables.read_rows(sorted(tmp_path.glob("[0-9]/manifest.parquet")), DOWNLOADS).to_pylist()
    assert [row["status"] for row in rows] == ["ok"] * 10
    # Bodies count when they arrive, which is after their request on any machine. Of the other job, a job misses the
    # body in flight and the one that arrived since the last read. Recorded times are rounded to a millisecond.
    busiest = max(sum(begin <= other < begin + 0.9 * SECONDS for other in sent) for begin in sent)
    assert busiest * len(body) <= (BODIES + 2) * len(body) < len(sent) * len(body)


def test_requests_wait_once_the_bytes_of_the_hour_or_day_are_used_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [1_000_000.0]
    monkeypatch.setattr("workflow_scripts.download.traffic.time.time", lambda: clock[0])
    limits = {3600.0: 100.0, 86_400.0: 250.0}
    traffic = HostTraffic(limits, tmp_path)
    assert traffic.wait(0) == 0
    assert 0 < traffic.wait(1) < 1, "the first body tells how large they are"
    for _ in range(2):
        traffic.add(50)
    assert traffic.wait(0) == 3600
    clock[0] += 3600
    assert (traffic.wait(0), traffic.wait(1)) == (0, 0)
    traffic.add(50)
    clock[0] += 10
    traffic.add(50)
    assert (traffic.wait(0), traffic.wait(1)) == (3590, 86_400 - 3610)
    clock[0] += 3590
    traffic.add(50)
    assert traffic.wait(0) == 86_400 - 7200
    # A later job, even after a kill, counts these bytes.
    assert HostTraffic(limits, tmp_path).wait(0) == 86_400 - 7200
    # A body larger than the limit is fetched alone.
    alone = HostTraffic({3600.0: 10.0}, None)
    alone.add(50)
    assert alone.wait(0) == 3600
    clock[0] += 3600
    assert alone.wait(0) == 0


def test_a_day_of_many_bodies_needs_little_memory_and_none_leaves_the_window_too_early(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    day, bodies, began = 86_400.0, 40_000, 1_000_000.0
    clock = [began]
    monkeypatch.setattr("workflow_scripts.download.traffic.time.time", lambda: clock[0])
    whens = [began + number * day / 2 / bodies for number in range(bodies)]
    # Bytes recorded by another job, and bytes of this one.
    (tmp_path / "other.txt").write_text("".join(f"{when:.3f} 2\n" for when in whens) + "9999")
    limits = {day: 2.0 * bodies}
    tracemalloc.start()
    other, own = HostTraffic(limits, tmp_path), HostTraffic(limits, None)
    other.wait(0)
    for now in whens:
        clock[0] = now
        own.add(2)
    memory = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert memory < 1_000_000, "184 bytes a body and window are 7 MB"
    # The other job's bytes are summed twice, the first time when read.
    for traffic, steps in ((other, 2), (own, 1)):
        for freed in (1, 100, bodies // 3):
            # The window is full, so this many bodies must leave it.
            exact = whens[freed - 1] + day - clock[0]
            assert exact - 0.001 <= traffic.wait(freed - 1) <= exact + steps * day / 1000
