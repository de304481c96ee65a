"""Answers byte by byte, unreachable hosts, and redirects."""

import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from typing import Any

import pytest

from tests.download.bare import BareServer
from workflow_scripts.common.accounts import read_account
from workflow_scripts.common.config.download import DownloadLimits, DownloadSettings
from workflow_scripts.download.addresses import AddressPolicy
from workflow_scripts.download.attempts import Attempt, Row
from workflow_scripts.download.budget import Budget
from workflow_scripts.download.hosts import Hosts
from workflow_scripts.download.memory import Memory
from workflow_scripts.download.user_agent import UserAgent
from workflow_scripts.download.web import Web

AWAY = (socket.EAI_AGAIN, "Temporary failure in name resolution")


class Wire(BareServer):
    """Answers each path with given bytes, the next ones for each request, and closes the connection.

    Attributes:
        answers: the answers by path; the last one repeats.
        asked: number of requests by path.
        keeps: whether a connection stays open for further requests.
        hears: whether the connection is closed only when it is reused.
        delay: seconds before each answer.
    """

    def __init__(self) -> None:
        self.answers: dict[str, list[bytes]] = {}
        self.asked: Counter[str] = Counter()
        self.keeps = self.hears = False
        self.delay = 0.0
        super().__init__("0.0.0.0")

    def url(self, path: str) -> str:
        return f"http://{self.host}{path}"

    def answer(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as lines, suppress(OSError):
            while request := lines.readline():
                while lines.readline().strip():
                    """The headers."""
                path = request.split(b" ")[1].decode("ascii")
                self.asked[path] += 1
                told = self.answers[path]
                time.sleep(self.delay)
                connection.sendall(told[min(self.asked[path], len(told)) - 1])
                if not self.keeps:
                    if self.hears:
                        lines.readline()
                    return


def answer(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    """The bytes of an answer with only the given headers."""
    return "\r\n".join([f"HTTP/1.1 {status}", *headers, "", ""]).encode("utf-8") + body


def whole(body: bytes, *headers: str) -> bytes:
    """An answer with a Content-Length."""
    return answer(body, f"Content-Length: {len(body)}", *headers)


def moved(to: str) -> bytes:
    """A redirect without a body."""
    return answer(b"", f"Location: {to}", "Content-Length: 0", status="302 Found")


@pytest.fixture
def wire() -> Iterator[Wire]:
    made = Wire()
    yield made
    made.listener.close()


@pytest.fixture
def gone() -> str:
    """A host that refuses connections."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return f"127.0.0.1:{taken.getsockname()[1]}"


@pytest.fixture
def silent() -> Iterator[int]:
    """A port of all loopback addresses where connecting hangs, since its queue is full."""
    with socket.socket() as full, ExitStack() as waiting:
        full.bind(("0.0.0.0", 0))
        full.listen(0)
        port = full.getsockname()[1]
        for _ in range(4):
            one = waiting.enter_context(socket.socket())
            one.setblocking(False)
            one.connect_ex(("127.0.0.1", port))
        yield port


def errors_of(rows: dict[str, dict[str, Any]]) -> Counter[str]:
    """Counts of statuses; images of stopped hosts count as "stopped"."""
    return Counter("stopped" if "was stopped" in (row["error"] or "") else row["status"] for row in rows.values())


def test_an_unreachable_host_is_stopped(gone: str, run_of: Any) -> None:
    urls = {f"u{number:02d}": f"http://{gone}/{number}" for number in range(20)}
    rows = run_of(urls)({"passes": 1}, stop_after=4, threads=1, wait=0)
    # Four in the first pass, one in each of the next two.
    assert errors_of(rows) == {"failed": 6, "stopped": 14}
    assert {row["error"].partition(":")[0] for row in rows.values()} == {"connection"}
    assert all("refused" in row["error"] for row in rows.values())


def test_an_unknown_name_differs_from_an_unreachable_network(run_of: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def look_up(host: str, *more: Any, **how: Any) -> Any:
        raise socket.gaierror(*{"gone.example": (socket.EAI_NONAME, "Name or service not known")}.get(host, AWAY))

    monkeypatch.setattr("socket.getaddrinfo", look_up)
    hosts = ("gone.example", "away.example")
    rows = run_of({f"{host[0]}{n}": f"http://{host}/{n}" for host in hosts for n in range(6)})(
        {"passes": 1}, stop_after=3
    )
    reasons = {host: {row["error"].partition(":")[0] for row in rows.values() if row["host"] == host} for host in hosts}
    assert reasons == {"gone.example": {"unknown_host"}, "away.example": {"connection"}}
    account = read_account(run_of({}).out / "account.json")
    assert (account.dropped["unknown_host"], account.dropped["connection"]) == (6, 6)


def test_a_host_that_redirects_is_not_blamed_for_the_target(
    wire: Wire, run_of: Any, make_picture: Callable[..., bytes]
) -> None:
    broken = f"127.0.0.9:{wire.port}"
    wire.answers = {f"/{number}": [moved(f"http://{broken}/nothing")] for number in range(12)}
    wire.answers |= {f"/{number}": [whole(make_picture(number))] for number in range(12, 16)} | {"/nothing": [b""]}
    urls = {f"u{number}": wire.url(f"/{number - 10}") for number in range(10, 26)}
    rows = run_of(urls)({"passes": 1}, stop_after=4, threads=1, wait=0)
    assert [rows[f"u{number}"]["status"] for number in range(22, 26)] == ["ok"] * 4
    stopped = [row["error"] for row in rows.values() if "was stopped" in (row["error"] or "")]
    assert stopped
    assert all(broken in error for error in stopped)


def test_a_redirect_in_plain_utf8_is_followed(wire: Wire, run_of: Any, make_picture: Callable[..., bytes]) -> None:
    wire.answers = {"/old": [moved("/fl\u00fcgel 1.jpg")], "/fl%C3%BCgel%201.jpg": [whole(make_picture(1))]}
    wire.answers["/fl%C3%83%C2%BCgel%201.jpg"] = [answer(b"", "Content-Length: 0", status="404 Not Found")]
    rows = run_of({"a": wire.url("/old")})()
    assert (rows["a"]["status"], rows["a"]["final_url"]) == ("ok", wire.url("/fl\u00fcgel 1.jpg"))


@pytest.mark.parametrize(
    ("location", "asked"),
    [
        (b"/fl\xfcgel.jpg", "/fl%FCgel.jpg"),
        (b"\\b\\photo.jpg?a=\\", "/b/photo.jpg?a=%5C"),
        (b"http:\\\\127.0.0.1:PORT\\photo.jpg", "/photo.jpg"),
        (b"  /spaces.jpg ", "/spaces.jpg"),
    ],
    ids=["latin-1", "backslashes", "backslashes-before-the-host", "spaces"],
)
def test_redirects_are_followed_as_browsers_do(
    wire: Wire, run_of: Any, make_picture: Callable[..., bytes], location: bytes, asked: str
) -> None:
    location = location.replace(b"PORT", str(wire.port).encode())
    wire.answers = {"/old": [b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: " + location + b"\r\n\r\n"]}
    wire.answers[asked] = [whole(make_picture(1))]
    rows = run_of({"a": wire.url("/old"), "b": wire.url("/old").replace("/", "\\")})()
    assert [row["error"] for row in rows.values()] == [None, None]


def test_ten_redirects_with_cookies_are_followed_and_eleven_are_not(
    server: Any, run_of: Any, make_picture: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str | None] = []

    def counted(self: Any, to: Any, most: int, time_asked: int) -> None:
        seen.append(to.headers["Cookie"])
        count = int((to.headers["Cookie"] or "step=0").partition("step=")[2])
        if count == most:
            self.answer(to, 200, make_picture(1))
        else:
            self.answer(to, 302, Location=to.path, Set_Cookie=f"step={count + 1}; Path=/; HttpOnly")

    monkeypatch.setattr(type(server), "do_counted", counted, raising=False)
    rows = run_of({"a": server.url("counted/10"), "b": server.url("counted/11")})({"passes": 1}, threads=1)
    assert [rows[uuid]["status"] for uuid in "ab"] == ["ok", "failed"]
    assert seen.count(None) == 2, "an image begins without the cookies of another"


def test_a_photo_is_recognized_by_its_bytes_and_a_page_by_bytes_and_type(
    server: Any, run_of: Any, make_picture: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    labels = ["text/html; charset=utf-8", "application/force-download", "video/mp4", "nonsense", "image/jpeg"]
    page = b"<!DOCTYPE html><html>" + b" " * 100_000
    forms = {0: make_picture(1), 1: make_picture(1, form="PNG"), 2: make_picture(1, form="WEBP"), 3: page, 4: b""}

    def labelled(self: Any, to: Any, number: int, time_asked: int) -> None:
        self.answer(to, 200, forms[number % 5], Content_Type=labels[number // 5])

    monkeypatch.setattr(type(server), "do_labelled", labelled, raising=False)
    rows = run_of({f"u{number:02d}": server.url(f"labelled/{number}") for number in range(25)})()
    for uuid, row in rows.items():
        expected = "ok" if int(uuid[1:]) % 5 < 3 else "failed" if uuid > "u19" else "refused"
        assert row["status"] == expected, row
        assert expected == "ok" or row["error"].startswith("not_an_image"), row


def iso_media(brand: bytes) -> bytes:
    """The first bytes of an ISO base media file."""
    return b"\0\0\0\x18ftyp" + brand + b"\0\0\0\0mif1" + brand + bytes(200)


# Bodies served as pages, and the errors they get.
CALLED_PAGES = {
    "heim": (iso_media(b"heim"), "unsupported: HEIC"),
    "hevc": (iso_media(b"hevc"), "unsupported: HEIC"),
    "big": (b"II+\0" + bytes(200), "unsupported: BigTIFF"),
    "psd": (b"8BPS\0\1" + bytes(200), "unsupported: Photoshop document"),
    "cars": (b"BMW and Audi are makes of cars. " * 9, "not_an_image: content type text/html"),
    "webp": (b"What is WEBP? A format of photos. " * 9, "not_an_image: content type text/html"),
    "pdf": (b"%PDF-1.7" + bytes(200), "not_an_image: content type text/html"),
}


def test_the_content_type_counts_if_the_bytes_are_not_an_image(
    wire: Wire, run_of: Any, make_picture: Callable[..., bytes]
) -> None:
    # The major brand is the container; the compatible brands name the codec.
    avif = make_picture(1, form="AVIF")
    avif = avif[:8] + b"mif1" + avif[12:]
    bodies = {name: body for name, (body, _) in CALLED_PAGES.items()} | {"avif": avif}
    wire.answers = {f"/{name}": [whole(body, "Content-Type: text/html")] for name, body in bodies.items()}
    run = run_of({name: wire.url(f"/{name}") for name in bodies})
    rows = run({"content_types": ["image/jpeg", "image/avif"]})
    assert rows["avif"]["status"] == "ok", rows["avif"]
    assert rows["heim"]["error"] == "not_an_image: content type image/heic"
    rows = run({"content_types": ["image/*"]})
    for name, (_, error) in CALLED_PAGES.items():
        assert rows[name]["error"] == error, name


def test_a_truncated_body_without_a_length_is_requested_again(
    wire: Wire, run_of: Any, make_picture: Callable[..., bytes]
) -> None:
    body = make_picture(1)
    wire.answers = {"/a": [answer(body[: len(body) // 2]), answer(body)], "/b": [answer(body[: len(body) // 2])]}
    wire.answers["/c"] = [whole(body[: len(body) // 2])]
    rows = run_of({path[1:]: wire.url(path) for path in wire.answers})()
    assert {uuid: (row["status"], row["attempts"]) for uuid, row in rows.items()} == {
        "a": ("ok", 2),
        "b": ("failed", 2),
        "c": ("failed", 1),
    }
    assert {rows[uuid]["error"].partition(":")[0] for uuid in "bc"} == {"truncated"}


def test_a_chunked_body_counts_once_its_last_chunk_has_arrived(
    wire: Wire, run_of: Any, make_picture: Callable[..., bytes]
) -> None:
    body = make_picture(1)
    chunk = f"{len(body):x}\r\n".encode() + body + b"\r\n"
    wire.answers = {"/a": [answer(chunk, "Transfer-Encoding: chunked")] * 2}
    wire.answers["/b"] = [answer(chunk + b"0\r\n\r\n", "Transfer-Encoding: chunked")]
    wire.answers["/c"] = [answer(chunk[:1000], "Transfer-Encoding: chunked"), *wire.answers["/b"]]
    rows = run_of({path[1:]: wire.url(path) for path in wire.answers})()
    assert (rows["a"]["error"] or "").partition(":")[0] == "connection"
    assert [(rows[uuid]["status"], rows[uuid]["attempts"]) for uuid in "bc"] == [("ok", 1), ("ok", 2)]


def test_bytes_beyond_the_content_length_are_ignored(
    wire: Wire, run_of: Any, make_picture: Callable[..., bytes]
) -> None:
    wire.keeps = True
    body = make_picture(1, 2000, 2000, form="PNG")
    assert len(body) > 65_536
    wire.answers = {"/a": [whole(body) + b"\n" * 70_000], "/b": [whole(make_picture(2))]}
    rows = run_of({path[1:]: wire.url(path) for path in wire.answers})(threads=1)
    assert {(row["status"], row["attempts"]) for row in rows.values()} == {("ok", 1)}


def test_a_persistent_connection_closed_on_reuse_loses_no_image(
    wire: Wire, run_of: Any, make_picture: Callable[..., bytes]
) -> None:
    wire.hears = True
    wire.answers = {f"/{number}": [whole(make_picture(number))] for number in range(6)}
    wire.answers["/broken"] = [b"nonsense\r\n\r\n"]
    rows = run_of({f"u{path[1:]}": wire.url(path) for path in wire.answers})({"passes": 1}, threads=1)
    assert [rows[f"u{number}"]["error"] for number in range(6)] == [None] * 6
    assert (rows["ubroken"]["error"] or "").startswith("connection: ")
    assert set(wire.asked.values()) == {1}


@pytest.fixture
def halves(server: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The server; the second half of each body follows some tenths of a second after the first."""

    def in_halves(self: Any, to: Any, tenths: int, time_asked: int) -> None:
        half = bytes(600_000)
        self.answer(to, 200, half, length=2 * len(half))
        time.sleep(tenths / 10)
        to.wfile.write(half)

    monkeypatch.setattr(type(server), "do_halves", in_halves, raising=False)
    return server


# Requests start one after another and overlap.
ONE_BY_ONE = {"connections": 3, "rate": 20}


def test_waiting_for_memory_does_not_count_towards_the_deadline(wire: Wire, make_picture: Callable[..., bytes]) -> None:
    body = make_picture(1)
    wire.answers = {"/a": [whole(body)]}
    stopping = threading.Event()
    limits = DownloadLimits(total_timeout=0.5)
    hosts = Hosts(limits, stopping, Budget(limits))
    web = Web(
        settings=DownloadSettings(allow_hosts=["127.0.0.0/8"]),
        limits=limits,
        hosts=hosts,
        agent=UserAgent(),
        stopping=stopping,
    )
    memory = Memory(len(body), stopping)
    other = memory.begin()
    other.grow(len(body))
    threading.Timer(1.5, other.give_back).start()
    attempt = Attempt("a", 1)
    assert web.get(Row("a", wire.url("/a"), wire.host), attempt, memory.begin()) == body
    assert attempt.seconds is not None
    assert attempt.seconds > 1


def test_a_silent_host_does_not_block_the_memory_of_others(halves: Any, run_of: Any) -> None:
    run = run_of({"a": halves.url("hang/1"), "b": halves.url("halves/3"), "c": halves.url("halves/3")})
    rows = run({"passes": 1}, body_memory_mb=1, total_timeout=5, default_host=ONE_BY_ONE)
    assert rows["a"]["error"].startswith("timeout: ")
    assert max(rows[uuid]["seconds"] for uuid in "bc") < 1.5


def test_a_host_with_many_silent_addresses_fails_within_the_timeout(
    silent: int, run_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    addresses = [f"127.0.0.{number}" for number in range(1, 21)]
    monkeypatch.setattr(AddressPolicy, "resolve", lambda self, host, port: addresses)
    started = time.monotonic()
    rows = run_of({"a": f"http://many.example:{silent}/1"})({"passes": 1}, timeout=0.5, total_timeout=1.0)
    assert time.monotonic() - started < 4
    assert rows["a"]["error"].startswith("timeout: ")


@pytest.mark.slow
def test_connections_of_many_hosts_stay_within_the_open_file_limit(
    wire: Wire, run_of: Any, make_picture: Callable[..., bytes]
) -> None:
    wire.keeps, wire.delay = True, 0.05
    wire.answers = {"/1": [whole(make_picture(1))], "/2": [whole(make_picture(2))]}
    addresses = [f"http://127.0.3.{number}:{wire.port}{path}" for number in range(1, 97) for path in wire.answers]
    urls = {f"u{place:03d}": address for place, address in enumerate(addresses)}
    run = run_of(urls)
    process = run.start({"images_per_tar": 16, "passes": 1}, threads=16, files=200)
    assert process.wait(timeout=120) == 0, process.stderr.read().decode()
    assert Counter(row["error"] for row in run.rows().values()) == {None: len(urls)}
