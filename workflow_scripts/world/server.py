"""The world's hosts: HTTP servers on loopback addresses, in threads of this process."""

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

IDENTITY_PATH = "/.world"
"""Path at which every host serves the digest of its world."""
START_SECONDS = 10.0
# Enough connections to reach, almost surely, each of several servers that share an address.
IDENTITY_CHECKS = 12


@dataclass(frozen=True)
class World:
    """Shared by all hosts of a world: its folder, the digest of its `world.json`, and its counts of refusals."""

    folder: Path
    identity: str
    refusals: Refusals


class HostServer(ThreadingHTTPServer):
    """One host. Other processes may serve the same world at the same address; the kernel distributes connections."""

    allow_reuse_port = True
    # Closing waits for pending responses, because the process may exit right after it.
    daemon_threads = False
    block_on_close = True
    request_queue_size = 256

    def __init__(self, address: tuple[str, int], host: Host, world: World) -> None:
        self.host = host
        self.world = world
        super().__init__(address, Handler)

    def server_bind(self) -> None:
        """Bind without the standard server's lookup of the host name, which may take seconds."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = self.server_address[:2]  # type: ignore[assignment]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log a request that the client aborted, instead of printing a traceback."""
        logger.info("%s: a request ended early", self.server_name, exc_info=True)

    def drain(self) -> None:
        """Close the socket after accepting the connections that the kernel has queued; closing would reset them."""
        self.socket.setblocking(False)
        with suppress(BlockingIOError):
            while True:
                request, client = self.socket.accept()
                request.setblocking(True)
                self.process_request(request, client)
        self.socket.close()


class Handler(BaseHTTPRequestHandler):
    """Answers requests with the host's pages."""

    server: HostServer
    server_version = "world"
    sys_version = ""
    timeout = 5

    def do_GET(self) -> None:
        """Answer with the page, or first with its `before` statuses."""
        if self.path == IDENTITY_PATH:
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
        """Write requests to the log, not to the terminal."""
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
    """Serve a world's hosts during the block, which starts when all of them answer.

    Raises:
        InputError: the folder has no world, or its port is in use by another program or world.
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
                f"port {address[1]} of {address[0]} is in use by another program; stop it, or change world.port"
            ) from None
        raise InputError(f"cannot listen on {address[0]}:{address[1]}: {error}") from None


def _stop(server: HostServer, thread: threading.Thread) -> None:
    server.shutdown()
    thread.join()
    server.drain()


def _identity_at(address: str, port: int) -> str | None:
    """The digest of the world served at an address; "" if it is another program, None if nothing listens."""
    connection = http.client.HTTPConnection(address, port, timeout=2.0)
    try:
        connection.request("GET", IDENTITY_PATH)
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
    for _ in range(IDENTITY_CHECKS):
        found = _identity_at(address, site.port)
        if not found:
            return
        if found != identity:
            raise InputError(
                f"port {site.port} of {address} serves another world; wait until that job ends, or change world.port"
            )


def _await_answers(site: Site) -> None:
    deadline = time.monotonic() + START_SECONDS
    for address in site.hosts:
        while True:
            try:
                socket.create_connection((address, site.port), timeout=1.0).close()
                break
            except OSError as error:
                if time.monotonic() > deadline:
                    raise InputError(f"{address}:{site.port} does not answer: {error}") from None
                time.sleep(0.05)
