"""The world's hosts: real HTTP servers on loopback addresses, in threads of this process."""

import errno
import hashlib
import http.client
import logging
import socket
import socketserver
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from workflow_scripts.common.errors import InputError
from workflow_scripts.common.files import sha256_file
from workflow_scripts.world.refusals import Refusals, open_refusals
from workflow_scripts.world.site import RETRY_AFTER_SECONDS, Host, Page, Site, read_site

logger = logging.getLogger(__name__)

WHO = "/.world"
"""Every host answers this path with the digest of its world."""
START_SECONDS = 10.0
# Enough connections to reach each of several servers that share an address, almost surely.
ASKED_AGAIN = 12


@dataclass(frozen=True)
class World:
    """What all hosts of one world share: its folder, the digest of its `world.json`, and its counts of refusals."""

    folder: Path
    identity: str
    refusals: Refusals


class HostServer(ThreadingHTTPServer):
    """One host. Servers of one world share its addresses, each in its own process: the kernel spreads connections."""

    allow_reuse_port = True
    # Closing waits for the answers under way: the process may end right after it.
    daemon_threads = False
    block_on_close = True
    request_queue_size = 256

    def __init__(self, address: tuple[str, int], host: Host, world: World) -> None:
        self.host = host
        self.world = world
        super().__init__(address, Handler)

    def server_bind(self) -> None:
        """Bind without looking up the host's name, which the standard server does and which may take seconds."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = self.server_address[:2]  # type: ignore[assignment]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is nothing to print."""
        logger.info("%s: a request ended early", self.server_name, exc_info=True)

    def leave(self) -> None:
        """Stop listening, after taking the connections that the kernel has queued already; closing would reset them."""
        self.socket.setblocking(False)
        with suppress(BlockingIOError):
            while True:
                request, client = self.socket.accept()
                request.setblocking(True)
                self.process_request(request, client)
        self.socket.close()


class Handler(BaseHTTPRequestHandler):
    """Answers by the host's pages."""

    server: HostServer
    server_version = "world"
    sys_version = ""
    timeout = 5

    def do_GET(self) -> None:
        """Answer with the page, after what comes before it."""
        if self.path == WHO:
            self._answer(200, "text/plain", self.server.world.identity.encode())
            return
        time.sleep(self.server.host.delay)
        page = self.server.host.pages.get(self.path)
        if page is None:
            self._answer(404, "text/html", b"<h1>Not found</h1>")
            return
        if page.before:
            earlier = self.server.world.refusals.count(f"{self.server.server_name}{self.path}", len(page.before))
            if earlier < len(page.before):
                self._refuse(page.before[earlier])
                return
        self._page(page)

    do_HEAD = do_GET

    def log_message(self, format: str, *args: Any) -> None:
        """Into the log, not onto the terminal."""
        logger.debug("%s %s", self.server.server_name, format % args)

    def _refuse(self, status: int) -> None:
        headers = {"Retry-After": str(RETRY_AFTER_SECONDS)} if status == 429 else {}
        self._answer(status, "text/html", b"<h1>Try again later</h1>", headers)

    def _page(self, page: Page) -> None:
        body = (self.server.world.folder / page.file).read_bytes() if page.file else b"<h1>Not here</h1>"
        self._answer(page.status, page.content_type, body, page.headers)

    def _answer(self, status: int, content_type: str, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


@contextmanager
def serving(world: Path) -> Iterator[Site]:
    """Serve a world's hosts while the block runs; they answer when it begins.

    Raises:
        InputError: there is no world, or its port belongs to another program or another world.
    """
    site = read_site(world / "world.json")
    identity = sha256_file(world / "world.json")
    with ExitStack() as stack:
        refusals = stack.enter_context(open_refusals(identity))
        _refuse_other_worlds(site, identity)
        servers = []
        for address, host in site.hosts.items():
            servers.append(_listen((address, site.port), host, World(world, identity, refusals)))
            stack.callback(servers[-1].server_close)
        for server in servers:
            thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
            thread.start()
            stack.callback(_stop, server, thread)
        _await_answers(site)
        _refuse_other_worlds(site, identity)
        yield site


def _listen(address: tuple[str, int], host: Host, world: World) -> HostServer:
    try:
        return HostServer(address, host, world)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise InputError(
                f"port {address[1]} of {address[0]} belongs to another program; end it, or set another world.port"
            ) from None
        raise InputError(f"cannot listen on {address[0]}:{address[1]}: {error}") from None


def _stop(server: HostServer, thread: threading.Thread) -> None:
    server.shutdown()
    thread.join()
    server.leave()


def _who(address: str, port: int) -> str | None:
    """The digest of the world that answers there; "" for something else, None for nobody."""
    connection = http.client.HTTPConnection(address, port, timeout=2.0)
    try:
        connection.request("GET", WHO)
        answer = connection.getresponse()
        body = answer.read(200).decode(errors="replace")
        return body if answer.status == 200 and len(body) == hashlib.sha256().digest_size * 2 else ""
    except (http.client.HTTPException, TimeoutError, ConnectionResetError, BrokenPipeError):
        return ""
    except OSError:
        return None
    finally:
        connection.close()


def _refuse_other_worlds(site: Site, identity: str) -> None:
    address = next(iter(site.hosts))
    for _ in range(ASKED_AGAIN):
        found = _who(address, site.port)
        if not found:
            return
        if found != identity:
            raise InputError(
                f"port {site.port} of {address} serves another world just now; wait until that job ends, "
                "or set another world.port"
            )


def _await_answers(site: Site) -> None:
    ends = time.monotonic() + START_SECONDS
    for address in site.hosts:
        while True:
            try:
                socket.create_connection((address, site.port), timeout=1.0).close()
                break
            except OSError as error:
                if time.monotonic() > ends:
                    raise InputError(f"{address}:{site.port} does not answer: {error}") from None
                time.sleep(0.05)
