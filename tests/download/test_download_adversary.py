"""Against one server with every kind of fault, the job ends in bounded time with all good images."""

import socket
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.download.bare import BareServer

GOOD = 12
TOTAL_SECONDS = 2.0


class Adversary(BareServer):
    """Sends an answer by path, on a plain socket, as no HTTP library would."""

    def __init__(self, body: bytes, pixel_bomb: bytes, gzip_bomb: bytes) -> None:
        self.body, self.pixel_bomb, self.gzip_bomb = body, pixel_bomb, gzip_bomb
        super().__init__()

    def answer(self, connection: socket.socket) -> None:
        with connection:
            try:
                asked = b""
                while b"\r\n\r\n" not in asked:
                    asked += connection.recv(65_536) or b"\r\n\r\n"
                kind = asked.split(b" ")[1].decode("latin-1").strip("/").split("/")[0]
                getattr(self, f"do_{kind}", self.do_good)(connection)
            except OSError:
                pass

    def send(self, connection: socket.socket, body: bytes, *headers: str, status: str = "200 OK") -> None:
        head = [f"HTTP/1.1 {status}", "Connection: close", *headers]
        connection.sendall("\r\n".join([*head, "", ""]).encode("latin-1") + body)

    def do_good(self, connection: socket.socket) -> None:
        self.send(connection, self.body, f"Content-Length: {len(self.body)}", "Content-Type: image/jpeg")

    def do_headerdrip(self, connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n")
        for number in range(200):
            connection.sendall(f"X-{number}: y\r\n".encode())
            time.sleep(0.1)

    def do_linedrip(self, connection: socket.socket) -> None:
        for _ in range(200):
            connection.sendall(b"H")
            time.sleep(0.1)

    def do_bodydrip(self, connection: socket.socket) -> None:
        self.send(connection, b"", "Content-Length: 100000")
        for _ in range(200):
            connection.sendall(b"x")
            time.sleep(0.1)

    def do_hang(self, connection: socket.socket) -> None:
        time.sleep(15)

    def do_reset(self, connection: socket.socket) -> None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def do_silence(self, connection: socket.socket) -> None:
        connection.shutdown(socket.SHUT_RDWR)

    def do_short(self, connection: socket.socket) -> None:
        self.send(connection, self.body[:500], f"Content-Length: {len(self.body)}")

    def do_huge(self, connection: socket.socket) -> None:
        self.send(connection, b"x", "Content-Length: 99999999999999999999999999")

    def do_negative(self, connection: socket.socket) -> None:
        self.send(connection, self.body, "Content-Length: -5")

    def do_chunks(self, connection: socket.socket) -> None:
        self.send(connection, b"zz\r\nnot a size\r\n", "Transfer-Encoding: chunked")

    def do_garbage(self, connection: socket.socket) -> None:
        connection.sendall(b"\x00\xff\xfe" * 1000 + b"\r\n\r\n")

    def do_headers(self, connection: socket.socket) -> None:
        self.send(connection, self.body, *(f"X-{number}: {'y' * 1000}" for number in range(300)))

    def do_line(self, connection: socket.socket) -> None:
        self.send(connection, self.body, "X-Long: " + "y" * 200_000)

    def do_loop(self, connection: socket.socket) -> None:
        self.send(connection, b"", "Location: /loop", "Content-Length: 0", status="302 Found")

    def do_inside(self, connection: socket.socket) -> None:
        self.send(connection, b"", "Location: http://[::1]/x", "Content-Length: 0", status="302 Found")

    def do_file(self, connection: socket.socket) -> None:
        self.send(connection, b"", "Location: file:///etc/passwd", "Content-Length: 0", status="302 Found")

    def do_nowhere(self, connection: socket.socket) -> None:
        self.send(connection, b"", "Location: http://[", "Content-Length: 0", status="302 Found")

    def do_nothing(self, connection: socket.socket) -> None:
        self.send(connection, b"", status="204 No Content")

    def do_html(self, connection: socket.socket) -> None:
        self.send(connection, b"<html>log in</html>", "Content-Type: text/html; charset=utf-8")

    def do_gzip(self, connection: socket.socket) -> None:
        self.send(connection, b"\x1f\x8b\x08broken", "Content-Encoding: gzip", "Content-Length: 9")

    def do_gzipbomb(self, connection: socket.socket) -> None:
        length = f"Content-Length: {len(self.gzip_bomb)}"
        self.send(connection, self.gzip_bomb, "Content-Encoding: gzip", length)

    def do_pixelbomb(self, connection: socket.socket) -> None:
        self.send(connection, self.pixel_bomb, f"Content-Length: {len(self.pixel_bomb)}", "Content-Type: image/png")

    def do_endless(self, connection: socket.socket) -> None:
        self.send(connection, b"", "Content-Type: image/jpeg")
        while True:
            connection.sendall(bytes(65_536))

    def do_cutoff(self, connection: socket.socket) -> None:
        self.send(connection, self.body, f"Content-Length: {len(self.body) // 2}")

    def do_status(self, connection: socket.socket) -> None:
        self.send(connection, b"", status="999 What")


EXPECTED = {
    "headerdrip": "timeout",
    "linedrip": "timeout",
    "bodydrip": "timeout",
    "hang": "timeout",
    "reset": "connection",
    "silence": "connection",
    "short": "connection",
    "huge": "too_large",
    "garbage": "connection",
    "headers": "connection",
    "line": "connection",
    "chunks": "connection",
    "loop": "http_error",
    "inside": "disallowed_address",
    "file": "disallowed_address",
    "nowhere": "other",
    "nothing": "not_an_image",
    "html": "not_an_image",
    "gzip": "truncated",
    "gzipbomb": "too_large",
    "pixelbomb": "too_large",
    "endless": "too_large",
    "cutoff": "truncated",
    "status": "http_error",
}


@pytest.fixture
def adversary(make_picture: Callable[..., bytes], pixel_bomb: bytes, gzip_bomb: bytes) -> Iterator[Adversary]:
    made = Adversary(make_picture(1), pixel_bomb, gzip_bomb)
    yield made
    made.listener.close()


def test_all_faults_at_once_end_in_bounded_time_with_a_reason_for_every_row(
    tmp_path: Path, adversary: Adversary, make_part: Any, make_run: Any
) -> None:
    base = f"http://127.0.0.1:{adversary.port}"
    urls = {kind: f"{base}/{kind}" for kind in EXPECTED}
    urls |= {f"good-{number:02d}": f"{base}/good/{number}" for number in range(GOOD)}
    urls |= {
        "good-unicode": f"{base}/good/é 木?x=ü&y=%zz",
        "good-long": f"{base}/good/{'a' * 4096}",
        "good-fragment": f"{base}/good/1#part",
        "negative": f"{base}/negative",
    }
    started = time.monotonic()
    rows = make_run(tmp_path, make_part(tmp_path, urls))(
        threads=8, timeout=1.0, total_timeout=TOTAL_SECONDS, wait=0, stop_after=1000
    )
    # Two passes over four kinds that use up their timeout, plus some time for a busy machine.
    assert time.monotonic() - started < 2 * TOTAL_SECONDS * 4
    assert {uuid for uuid in urls if uuid.startswith("good")} <= {
        uuid for uuid, row in rows.items() if row["status"] == "ok"
    }
    found = {kind: (rows[kind]["error"] or "").partition(":")[0] for kind in EXPECTED}
    assert found == EXPECTED
    assert set(rows) == set(urls)
