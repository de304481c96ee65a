"""A real HTTP server on loopback that misbehaves by path, and small tables of images to fetch from it."""

import gzip
import io
import subprocess
import sys
import threading
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image

from workflow_scripts.common import tables
from workflow_scripts.common.config.download import DownloadLimits, DownloadSettings
from workflow_scripts.common.config.site import PRODUCT
from workflow_scripts.contracts import DOWNLOADS, TO_FETCH
from workflow_scripts.download.fetch import fetch

GZIPPED = gzip.compress(bytes(30_000_000))
SETTINGS: dict[str, Any] = {
    "images_per_tar": 20,
    "max_bytes": 5_000_000,
    "passes": 2,
    "allow_hosts": ["127.0.0.0/8"],
}
# Long enough for a busy machine, short enough for answers that never end.
LIMITS: dict[str, Any] = {
    "timeout": 2.0,
    "total_timeout": 3.0,
    "wait": 0.05,
    "default_host": {"connections": 16, "rate": 1000},
}


def picture(seed: int, width: int = 320, height: int = 240, form: str = "JPEG") -> bytes:
    """A distinct image of soft blocks."""
    blocks = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), np.uint8)
    out = io.BytesIO()
    Image.fromarray(blocks).resize((width, height)).save(out, form)
    return out.getvalue()


def bomb() -> bytes:
    """A small PNG whose header claims 60,000 x 60,000 pixels."""
    data = bytearray(picture(0, form="PNG"))
    data[16:24] = (60_000).to_bytes(4, "big") * 2
    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")
    return bytes(data)


class Server:
    """The server, on all loopback addresses; `asked[path]` counts requests."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        self.agents: set[str | None] = set()
        self.lock = threading.Lock()
        self.delay = 0.0
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *words: Any) -> None:
                pass

            def do_GET(self) -> None:
                path = urlsplit(self.path).path
                with server.lock:
                    server.asked[path] += 1
                    time_asked = server.asked[path]
                    server.agents.add(self.headers["User-Agent"])
                time.sleep(server.delay)
                kind, _, number = path.strip("/").partition("/")
                getattr(server, f"do_{kind}")(self, int(number or 0), time_asked)

        class Listener(ThreadingHTTPServer):
            # With the default of 5, further connections wait a second before they try again.
            request_queue_size = 128
            daemon_threads = True

            def handle_error(self, request: Any, client_address: Any) -> None:
                """Clients that hang up early are part of the tests."""

        self.http = Listener(("0.0.0.0", 0), Handler)
        threading.Thread(target=self.http.serve_forever, args=(0.05,), daemon=True).start()
        self.host = f"127.0.0.1:{self.http.server_port}"

    def url(self, path: str) -> str:
        return f"http://{self.host}/{path}"

    @staticmethod
    def answer(
        to: BaseHTTPRequestHandler, status: int, body: bytes = b"", length: int | None = None, **headers: str
    ) -> None:
        to.send_response(status)
        given = {"Content-Type": "image/jpeg", "Content-Length": str(len(body) if length is None else length)}
        for name, value in (given | {name.replace("_", "-"): value for name, value in headers.items()}).items():
            to.send_header(name, value)
        to.end_headers()
        to.wfile.write(body)

    def do_ok(self, to: BaseHTTPRequestHandler, number: int, time_asked: int) -> None:
        self.answer(to, 200, picture(number))

    def do_large(self, to: BaseHTTPRequestHandler, number: int, time_asked: int) -> None:
        self.answer(to, 200, picture(number, 1600, 1200))

    def do_missing(self, to: BaseHTTPRequestHandler, number: int, time_asked: int) -> None:
        self.answer(to, 404, b"<html>gone</html>")

    def do_busy(self, to: BaseHTTPRequestHandler, number: int, time_asked: int) -> None:
        if time_asked == 1:
            self.answer(to, 429, Retry_After="1")
        else:
            self.do_ok(to, number, time_asked)

    def do_patience(self, to: BaseHTTPRequestHandler, number: int, time_asked: int) -> None:
        self.answer(to, 503, Retry_After="3600")

    def do_flaky(self, to: BaseHTTPRequestHandler, number: int, time_asked: int) -> None:
        if time_asked == 1:
            self.answer(to, 503)
        else:
            self.do_ok(to, number, time_asked)

    def do_broken(self, to: BaseHTTPRequestHandler, number: int, time_asked: int) -> None:
        self.answer(to, 500)

    def do_html(self, to: BaseHTTPRequestHandler, number: int, time_asked: int) -> None:
        self.answer(to, 200, b"<html>please log in</html>")

    def do_empty(self, to: BaseHTTPRequestHandler, number: int, time_asked: int) -> None:
        self.answer(to, 204)

    def do_cut(self, to: BaseHTTPRequestHandler, number: int, time_asked: int) -> None:
        data = picture(number)
        self.answer(to, 200, data[: len(data) // 2])

    def do_short(self, to: BaseHTTPRequestHandler, number: int, time_asked: int) -> None:
        data = picture(number)
        self.answer(to, 200, data[:1000], length=len(data))
        to.close_connection = True

    def do_bomb(self, to: BaseHTTPRequestHandler, number: int, time_asked: int) -> None:
        self.answer(to, 200, bomb())

    def do_endless(self, to: BaseHTTPRequestHandler, number: int, time_asked: int) -> None:
        to.send_response(200)
        to.send_header("Connection", "close")
        to.end_headers()
        to.close_connection = True
        try:
            while True:
                to.wfile.write(bytes(65_536))
        except OSError:
            pass

    def do_gzip(self, to: BaseHTTPRequestHandler, number: int, time_asked: int) -> None:
        self.answer(to, 200, GZIPPED, Content_Encoding="gzip")

    def do_hang(self, to: BaseHTTPRequestHandler, number: int, time_asked: int) -> None:
        time.sleep(6)
        to.close_connection = True

    def do_drip(self, to: BaseHTTPRequestHandler, number: int, time_asked: int) -> None:
        to.send_response(200)
        to.send_header("Content-Length", "1000000")
        to.end_headers()
        try:
            for _ in range(200):
                to.wfile.write(b"x")
                time.sleep(0.05)
        except OSError:
            pass
        to.close_connection = True

    def do_inside(self, to: BaseHTTPRequestHandler, number: int, time_asked: int) -> None:
        self.answer(to, 302, Location=f"http://[::1]:{self.http.server_port}/ok/1")

    def do_file(self, to: BaseHTTPRequestHandler, number: int, time_asked: int) -> None:
        self.answer(to, 302, Location="file:///etc/passwd")

    def do_loop(self, to: BaseHTTPRequestHandler, number: int, time_asked: int) -> None:
        self.answer(to, 302, Location=f"/loop/{number}")

    def do_moved(self, to: BaseHTTPRequestHandler, number: int, time_asked: int) -> None:
        self.answer(to, 301, Location=f"/ok/{number}")

    def do_small(self, to: BaseHTTPRequestHandler, number: int, time_asked: int) -> None:
        self.answer(to, 200, picture(number, 1, 1))

    def do_noai(self, to: BaseHTTPRequestHandler, number: int, time_asked: int) -> None:
        self.answer(to, 200, picture(number), X_Robots_Tag="noai")


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A server for the tests of a module."""
    server = Server()
    yield server
    server.http.shutdown()
    server.http.server_close()


def write_part(folder: Path, urls: dict[str, str], name: str = "part-0000", **columns: Any) -> Path:
    """A table of images to fetch, uuid -> URL or absolute path."""
    path = folder / f"{name}.parquet"
    rows = [
        {"uuid": uuid, "source_url": url, "host": "" if url.startswith("/") else _host(url), **columns}
        for uuid, url in urls.items()
    ]
    tables.write_rows(rows, TO_FETCH, path)
    return path


def _host(url: str) -> str:
    try:
        return urlsplit(url).netloc or "images.example"
    except ValueError:
        return "images.example"


@pytest.fixture(scope="session")
def make_part() -> Callable[..., Path]:
    """`write_part`."""
    return write_part


@pytest.fixture(scope="session")
def make_picture() -> Callable[..., bytes]:
    """`picture`."""
    return picture


@pytest.fixture(scope="session")
def pixel_bomb() -> bytes:
    """`bomb`."""
    return bomb()


@pytest.fixture(scope="session")
def gzip_bomb() -> bytes:
    """A few kB that decompress to 30 MB."""
    return GZIPPED


class Run:
    """Runs the download step in its own folders.

    Attributes:
        work: the work folders.
        out: the output folder.
        product: name in the user agent.
    """

    product = PRODUCT

    def __init__(self, folder: Path, part: Path) -> None:
        self.part = part
        self.work = folder / "work"
        self.out = folder / "out"

    def __call__(self, settings: dict[str, Any] | None = None, **limits: Any) -> dict[str, dict[str, Any]]:
        """Run the step in this process; returns the manifest's rows by uuid."""
        fetch(
            part=self.part,
            settings=DownloadSettings(**(SETTINGS | (settings or {}))),
            limits=DownloadLimits(**(LIMITS | limits)),
            work=self.work,
            out_dir=self.out,
            contact="mailto:someone@example.org",
            product=self.product,
        )
        return self.rows()

    def start(
        self, settings: dict[str, Any] | None = None, files: int = 1024, **limits: Any
    ) -> subprocess.Popen[bytes]:
        """Start the step as a separate process with a limit of open files."""
        words = [sys.executable, "-m", "workflow_scripts.download.fetch", "--part", self.part]
        words += ["--settings", DownloadSettings(**(SETTINGS | (settings or {}))).to_json()]
        words += ["--limits", DownloadLimits(**(LIMITS | limits)).to_json(), "--work", self.work, "--out-dir", self.out]
        words += ["--log", self.out.with_name("log.txt")]
        command = ["sh", "-c", f'ulimit -n {files} && exec "$@"', "sh", *map(str, words)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def rows(self) -> dict[str, dict[str, Any]]:
        """The manifest's rows by uuid."""
        table = tables.read_rows(self.out / "manifest.parquet", DOWNLOADS)
        return {row["uuid"]: row for row in table.to_pylist()}

    def tars(self) -> dict[str, bytes]:
        """The published tars by name."""
        return {tar.name: tar.read_bytes() for tar in sorted(self.out.glob("*.tar"))}


@pytest.fixture(scope="session")
def make_run() -> Callable[[Path, Path], Run]:
    """A `Run` of a part in a folder."""
    return Run


@pytest.fixture
def run_of(tmp_path: Path) -> Callable[[dict[str, str]], Run]:
    """A `Run` of these images, uuid -> URL or absolute path."""

    def make(urls: dict[str, str]) -> Run:
        return Run(tmp_path, write_part(tmp_path, urls))

    return make
