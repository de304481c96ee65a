"""Several jobs at once, one giant host and many small ones: none sees more than its policy, over all jobs together."""

import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from workflow_scripts.common import tables
from workflow_scripts.common.config.download import DownloadLimits, DownloadSettings, HostLimits
from workflow_scripts.common.host_parts import deal_hosts
from workflow_scripts.contracts import DOWNLOADS, TO_FETCH

PARTS = 4
SMALL_HOSTS = 40
SMALL_IMAGES = 4
GIANT_IMAGES = 240
GIANT = HostLimits(connections=6, rate=60)
SMALL = HostLimits(connections=1, rate=5)
# Over loopback requests may come a little closer together than they were sent.
JITTER_SECONDS = 0.15


class Recorder:
    """A server on all loopback addresses that notes when each host was asked, and how often at once."""

    def __init__(self, body: bytes) -> None:
        self.asked: dict[str, list[float]] = defaultdict(list)
        self.at_once: dict[str, int] = defaultdict(int)
        self.most: dict[str, int] = defaultdict(int)
        self.lock = threading.Lock()
        recorder = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *words: Any) -> None:
                pass

            def do_GET(self) -> None:
                host = self.headers["Host"]
                with recorder.lock:
                    recorder.asked[host].append(time.monotonic())
                    recorder.at_once[host] += 1
                    recorder.most[host] = max(recorder.most[host], recorder.at_once[host])
                time.sleep(0.05)
                with recorder.lock:
                    recorder.at_once[host] -= 1
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        class Listener(ThreadingHTTPServer):
            request_queue_size = 256
            daemon_threads = True

        self.http = Listener(("0.0.0.0", 0), Handler)
        self.port = self.http.server_port
        threading.Thread(target=self.http.serve_forever, args=(0.05,), daemon=True).start()


@pytest.fixture
def recorder(make_picture: Callable[..., bytes]) -> Any:
    made = Recorder(make_picture(1))
    yield made
    made.http.shutdown()
    made.http.server_close()


def test_no_host_sees_more_than_its_policy_over_all_jobs(recorder: Recorder, tmp_path: Path) -> None:
    giant = f"127.0.0.7:{recorder.port}"
    small = [f"127.0.1.{number + 1}:{recorder.port}" for number in range(SMALL_HOSTS)]
    wanted = [(giant, number) for number in range(GIANT_IMAGES)]
    wanted += [(host, number) for host in small for number in range(SMALL_IMAGES)]
    limits = DownloadLimits(default_host=SMALL, hosts={giant: GIANT}, allow_hosts=["127.0.0.0/8"], threads=12)
    parts = deal(tmp_path, wanted, limits)
    assert all(len(parts_of) == 1 for host, parts_of in parts.items() if host != giant)
    assert len(parts[giant]) > 1, "the giant host was not spread over several jobs"
    words = [
        sys.executable,
        "-m",
        "workflow_scripts.download.fetch",
        "--limits",
        limits.to_json(),
        "--parts",
        str(PARTS),
    ]
    words += ["--settings", DownloadSettings(images_per_tar=50).to_json(), "--work", str(tmp_path / "work")]
    jobs = []
    for part in range(PARTS):
        own = ["--turn", part, "--part", tmp_path / f"part-{part:04d}.parquet", "--out-dir", tmp_path / f"out-{part}"]
        jobs.append(subprocess.Popen([*words, *map(str, own), "--log", str(tmp_path / f"{part}.log")]))
    assert [job.wait(timeout=120) for job in jobs] == [0] * PARTS
    manifests = [tmp_path / f"out-{part}" / "manifest.parquet" for part in range(PARTS)]
    assert {row["status"] for row in tables.read_rows(manifests, DOWNLOADS).to_pylist()} == {"ok"}
    assert sum(len(times) for times in recorder.asked.values()) == len(wanted)
    for host, times in recorder.asked.items():
        policy = limits.of_host(host)
        assert recorder.most[host] <= policy.connections, host
        # Each of the jobs that share a host may send one request at the very beginning of any stretch of time.
        assert busiest_second(times) <= policy.rate * (1 + JITTER_SECONDS) + len(parts[host]), host
    assert recorder.most[giant] > 1


def deal(folder: Path, wanted: list[tuple[str, int]], limits: DownloadLimits) -> dict[str, set[int]]:
    """Write the parts; says in which of them each host is."""
    rows = [
        {"uuid": f"u{number:04d}", "source_url": f"http://{host}/{image}", "host": host}
        for number, (host, image) in enumerate(wanted)
    ]
    tables.write_rows(rows, TO_FETCH, folder / "all.parquet")
    with tables.connect() as connection:
        deal_hosts(connection, tables.scan(folder / "all.parquet"), PARTS, limits)
        for part in range(PARTS):
            query = f"SELECT * EXCLUDE (part) FROM dealt WHERE part = {part}"
            assert tables.write(connection, query, TO_FETCH, folder / f"part-{part:04d}.parquet") > len(wanted) / 8
        found = connection.execute("SELECT host, list(DISTINCT part) FROM dealt GROUP BY host").fetchall()
        assert connection.execute("SELECT count(*) FROM dealt").fetchone() == (len(wanted),)
    return {host: set(parts) for host, parts in found}


def busiest_second(times: list[float]) -> int:
    times = sorted(times)
    return max(sum(begin <= other < begin + 1 for other in times) for begin in times)
