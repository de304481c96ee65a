"""Corpus and replay jobs run together; no host, giant or small, gets more requests than its policy allows."""

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
from workflow_scripts.common.host_parts import deal_hosts, write_hosts
from workflow_scripts.contracts import DOWNLOADS, TO_FETCH

PARTS = 3
REPLAY_PARTS = 2
SMALL_HOSTS = 200
REPLAY_HOSTS = 30
SMALL_IMAGES = 2
GIANT_IMAGES = 240
GIANT = HostLimits(connections=6, rate=60)
SMALL = HostLimits(connections=1, rate=5)
# On loopback, requests may arrive slightly closer together than they were sent.
JITTER_SECONDS = 0.15


class Recorder:
    """A server on all loopback addresses that records each host's request times and simultaneous requests."""

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
                _, _, moved_to = self.path.partition("/to/")
                self.send_response(302 if moved_to else 200)
                if moved_to:
                    self.send_header("Location", f"http://{moved_to}/moved-{host}")
                self.send_header("Content-Length", str(0 if moved_to else len(body)))
                self.end_headers()
                self.wfile.write(b"" if moved_to else body)

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


@pytest.mark.slow
def test_all_jobs_together_keep_each_hosts_policy(recorder: Recorder, tmp_path: Path) -> None:
    giant = f"127.0.0.7:{recorder.port}"
    small = [f"127.0.1.{number + 1}:{recorder.port}" for number in range(SMALL_HOSTS)]
    other = [f"127.0.2.{number + 1}:{recorder.port}" for number in range(REPLAY_HOSTS)]
    wanted = [f"http://{giant}/{number}" for number in range(GIANT_IMAGES)]
    wanted += [f"http://{host}/{number}" for host in small for number in range(SMALL_IMAGES)]
    # Redirects to another part's host, and replay images at hosts of the corpus.
    wanted += [f"http://{host}/to/{giant}" for host in small[:20]]
    replay = [f"http://{host}/r{number}" for host in [giant, *small[:10], *other] for number in range(SMALL_IMAGES)]
    limits = DownloadLimits(default_host=SMALL, hosts={giant: GIANT}, threads=12, wait=0)
    corpus_hosts = deal(tmp_path / "corpus", wanted, limits, PARTS)
    replay_hosts = deal(tmp_path / "replay", replay, limits, REPLAY_PARTS)
    assert all(len(parts_of) == 1 for host, parts_of in corpus_hosts.items() if host != giant)
    assert len(corpus_hosts[giant]) > 1, "the giant host was not spread over several jobs"

    def start(kind: str, part: int, parts: int) -> subprocess.Popen[bytes]:
        words = ["--part", tmp_path / kind / f"part-{part:04d}.parquet", "--out-dir", tmp_path / kind / f"out-{part}"]
        words += ["--work", tmp_path / "work", "--log", tmp_path / f"{kind}-{part}.log", "--limits", limits.to_json()]
        words += ["--others", tmp_path / kind / "hosts.parquet", "--parts", parts, "--turn", part]
        words += ["--settings", DownloadSettings(images_per_tar=50, allow_hosts=["127.0.0.0/8"]).to_json()]
        command = [sys.executable, "-m", "workflow_scripts.download.fetch", *map(str, words)]
        return subprocess.Popen(command, stderr=subprocess.DEVNULL)

    # The corpus is downloaded after replay.
    for kind, parts in (("replay", REPLAY_PARTS), ("corpus", PARTS)):
        jobs = [start(kind, part, parts) for part in range(parts)]
        assert [job.wait(timeout=600) for job in jobs] == [0] * parts

    manifests = [*tmp_path.glob("*/out-*/manifest.parquet")]
    rows = tables.read_rows(manifests, DOWNLOADS).to_pylist()
    assert len(rows) == len(wanted) + len(replay)
    not_ok = {row["error"] for row in rows if row["status"] != "ok"}
    assert not_ok <= {f"other: {giant} is left to other parts by its policy"}, "a page that moved, and nothing else"
    for host, times in recorder.asked.items():
        policy = limits.of_host(host)
        assert recorder.most[host] <= policy.connections, host
        # Each job that shares a host may send one request at the start of any interval.
        jobs_of_host = max(len(hosts.get(host, set())) for hosts in (corpus_hosts, replay_hosts))
        assert busiest_second(times) <= policy.rate * (1 + JITTER_SECONDS) + jobs_of_host, host
    assert recorder.most[giant] > 1


def deal(folder: Path, wanted: list[str], limits: DownloadLimits, parts: int) -> dict[str, set[int]]:
    """Write the parts and their hosts; returns the parts of each host."""
    rows = [
        {"uuid": f"{folder.name}-{number:04d}", "source_url": url, "host": url.split("/")[2]}
        for number, url in enumerate(wanted)
    ]
    tables.write_rows(rows, TO_FETCH, folder / "all.parquet")
    with tables.connect() as connection:
        deal_hosts(connection, tables.scan(folder / "all.parquet"), parts, limits)
        for part in range(parts):
            query = f"SELECT * EXCLUDE (part) FROM dealt WHERE part = {part}"
            assert tables.write(connection, query, TO_FETCH, folder / f"part-{part:04d}.parquet") > len(wanted) / 8
        write_hosts(connection, "dealt", folder / "hosts.parquet")
        found = connection.execute("SELECT host, list(DISTINCT part) FROM dealt GROUP BY host").fetchall()
        assert connection.execute("SELECT count(*) FROM dealt").fetchone() == (len(wanted),)
    return {host: set(parts) for host, parts in found}


def busiest_second(times: list[float]) -> int:
    times = sorted(times)
    return max(sum(begin <= other < begin + 1 for other in times) for begin in times)
