"""Downloads from a real server on loopback that disconnects, replaces its file and refuses."""

import hashlib
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from workflow_scripts.common import web_files
from workflow_scripts.common.errors import InputError
from workflow_scripts.common.web_files import fetch_file

CONTENT = bytes(range(251)) * 12_000
PIN = hashlib.sha256(CONTENT).hexdigest()


class Server:
    """A server of one file.

    Attributes:
        content: the file.
        etag: its version, or None to say none.
        statuses: what the first requests are answered with, in place of the file.
        stops_after: the first answers end after so many bytes each.
        with_ranges: whether it knows ranges.
        asked: the range that each request asked for.
    """

    def __init__(self) -> None:
        self.content = CONTENT
        self.etag: str | None = '"one"'
        self.statuses: list[int] = []
        self.stops_after: list[int] = []
        self.with_ranges = True
        self.asked: list[str | None] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *words: Any) -> None:
                pass

            def do_GET(self) -> None:
                server.answer(self)

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.http.serve_forever, args=(0.05,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self.http.server_port}/file.zip"

    def answer(self, to: BaseHTTPRequestHandler) -> None:
        self.asked.append(to.headers["Range"])
        if self.statuses:
            to.send_response(self.statuses.pop(0))
            to.send_header("Content-Length", "0")
            to.end_headers()
            return
        start = int(to.headers["Range"][6:-1]) if self.with_ranges and to.headers["Range"] else 0
        body = self.content[start:]
        to.send_response(206 if start else 200)
        to.send_header("Content-Length", str(len(body)))
        if start:
            to.send_header("Content-Range", f"bytes {start}-{len(self.content) - 1}/{len(self.content)}")
        if self.etag:
            to.send_header("ETag", self.etag)
        to.end_headers()
        try:
            to.wfile.write(body[: self.stops_after.pop(0) if self.stops_after else None])
        except OSError:
            """The client asks for the rest only."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(web_files, "BACKOFF_SECONDS", 0.01)
    made = Server()
    yield made
    made.http.shutdown()
    made.http.server_close()


def leftovers(folder: Path) -> list[str]:
    return [file.name for file in folder.iterdir() if file.suffix == ".part"]


def test_a_file_is_fetched_completely_and_its_digest_returned(server: Server, tmp_path: Path) -> None:
    target = tmp_path / "made" / "file.zip"
    assert fetch_file(server.url, target) == PIN
    assert target.read_bytes() == CONTENT
    assert server.asked == [None]


def test_another_file_than_the_pinned_one_is_refused(server: Server, tmp_path: Path) -> None:
    target = tmp_path / "file.zip"
    with pytest.raises(InputError, match="expected 0000"):
        fetch_file(server.url, target, sha256="0" * 64)
    assert not target.exists()
    assert leftovers(tmp_path) == []
    assert fetch_file(server.url, target, sha256=PIN.upper()) == PIN


def test_a_stalled_download_resumes(server: Server, tmp_path: Path) -> None:
    server.stops_after = [1_000_000]
    fetch_file(server.url, tmp_path / "file.zip", sha256=PIN)
    assert (tmp_path / "file.zip").read_bytes() == CONTENT
    assert server.asked == [None, None, "bytes=1000000-"]


def test_a_killed_fetch_is_resumed_by_the_next(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server.stops_after = [1_000_000]
    target = tmp_path / "file.zip"
    with monkeypatch.context() as patched, pytest.raises(InputError, match="try again"):
        patched.setattr(web_files, "RETRIES", 0)
        fetch_file(server.url, target)
    assert not target.exists()
    assert len(leftovers(tmp_path)) == 1
    fetch_file(server.url, target)
    assert target.read_bytes() == CONTENT
    assert server.asked[-1] == "bytes=1000000-"
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("version", ['"two"', None])
def test_the_rest_of_another_version_is_never_put_behind_it(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str | None
) -> None:
    server.etag = version and '"one"'
    server.stops_after = [1_000_000]
    target = tmp_path / "file.zip"
    with monkeypatch.context() as patched, pytest.raises(InputError):
        patched.setattr(web_files, "RETRIES", 0)
        fetch_file(server.url, target)
    server.content, server.etag = CONTENT[::-1], version
    fetch_file(server.url, target)
    assert target.read_bytes() == CONTENT[::-1]


def test_a_server_without_ranges_sends_it_anew(server: Server, tmp_path: Path) -> None:
    server.with_ranges = False
    server.stops_after = [1_000_000]
    assert fetch_file(server.url, tmp_path / "file.zip") == PIN


def test_transient_failures_are_retried_and_permanent_ones_are_not(server: Server, tmp_path: Path) -> None:
    server.statuses = [503, 429, 500]
    assert fetch_file(server.url, tmp_path / "file.zip") == PIN
    server.asked.clear()
    server.statuses = [404]
    with pytest.raises(InputError, match="404"):
        fetch_file(server.url, tmp_path / "other.zip")
    assert len(server.asked) == 1


@pytest.mark.parametrize("url", ["file:///etc/hostname", "no address", "http://127.0.0.1:1/x"])
def test_unavailable_files_are_named(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web_files, "RETRIES", 1)
    monkeypatch.setattr(web_files, "BACKOFF_SECONDS", 0.01)
    with pytest.raises(InputError, match=re.escape(f"{url}: could not be fetched")):
        fetch_file(url, tmp_path / "file")
