"""Bodies over HTTP: bounded in bytes and time, polite, and never from addresses that are not allowed."""

import math
import re
import socket
import threading
import time
from contextlib import nullcontext
from fnmatch import fnmatchcase
from functools import partial
from typing import Any
from urllib.parse import SplitResult, urljoin
from urllib.request import getproxies, proxy_bypass

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import (
    ConnectTimeoutError,
    DecodeError,
    HTTPError,
    LocationParseError,
    LocationValueError,
    ProtocolError,
    ReadTimeoutError,
)
from urllib3.util import connection as sockets
from urllib3.util import make_headers, parse_url

from workflow_scripts.common.config.download import DownloadLimits, DownloadSettings
from workflow_scripts.common.errors import InputError
from workflow_scripts.common.images import ACCEPT
from workflow_scripts.common.torchless import torch_hidden
from workflow_scripts.download.addresses import AddressPolicy
from workflow_scripts.download.attempts import Attempt, Fault, Row
from workflow_scripts.download.deadlines import Deadlines, Request, watched
from workflow_scripts.download.hosts import Hosts, retry_after
from workflow_scripts.download.memory import Room

AGENT = "treeoflife-workflow"
# X-Robots-Tag directives that img2dataset honours by default.
ROBOTS_DIRECTIVES = {"noai", "noimageai", "noindex", "noimageindex"}
MAX_REDIRECTS = 5
REDIRECTS = {301, 302, 303, 307, 308}
ASKS_FOR_TIME = {429, 503}
# Answers of a host that does not want to be asked, as far as one can tell; 5xx besides.
REFUSALS = {401, 403, 407, 429, 451}
NOT_FOUND = {403, 404, 410}
TRANSIENT_STATUS = {408, 425, 429}
# Reasons that mean that a host did not answer to the end.
NO_ANSWER = {"connection", "timeout"}
CHUNK_BYTES = 65_536
USUAL_PORT = re.compile(r":(80|443)$")


class Web:
    """Fetches bodies from many threads at once.

    Args:
        settings: what is taken from each host, and allowed addresses.
        limits: timeouts and limits of requests.
        hosts: the hosts' policies.
        contact: mail or web address for the user agent, where a host's policy has none.
        stopping: set when the job must end; requests then give up.

    Raises:
        InputError: a contact or a proxy from the environment cannot be used.
    """

    def __init__(
        self,
        *,
        settings: DownloadSettings,
        limits: DownloadLimits,
        hosts: Hosts,
        contact: str | None,
        stopping: threading.Event,
    ) -> None:
        self._settings = settings
        self._limits = limits
        self._stopping = stopping
        self._contact = contact
        for given in (contact, *(policy.contact for policy in limits.hosts.values())):
            _user_agent(given)
        self._policy = AddressPolicy(settings.allow_hosts)
        self._hosts = hosts
        self._deadlines = Deadlines(stopping)
        self._proxies = getproxies()
        self._direct = _CheckedPools(self._policy, self._deadlines, limits.threads)
        self._through = {
            url: _proxy_pools(url, self._deadlines, limits.threads)
            for scheme, url in self._proxies.items()
            if scheme in ("http", "https", "all")
        }

    def check(self, row: Row) -> None:
        """Refuse a row whose address alone says that its host is never asked.

        Raises:
            Fault: it does.
        """
        self._policy.split(row.url)

    def get(self, row: Row, attempt: Attempt, room: Room) -> bytes:
        """The body at the row's address, to whose host this thread has a connection by its policy.

        What was learned on the way is noted in `attempt`.

        Raises:
            Fault: there is none to be had.
        """
        attempt.begin()
        started = time.monotonic()
        with self._deadlines.within(self._limits.total_timeout) as request:
            asking = _Fetch(self, row, attempt, room, request)
            try:
                return asking.get()
            except Fault as error:
                fault = self._late(request) if request.cut else error
                if fault.reason == "disallowed_address" and attempt.http_status is None:
                    # Nothing was asked.
                    attempt.requests -= 1
            except (ConnectTimeoutError, ReadTimeoutError) as error:
                fault = Fault("timeout", _line(error), transient=True)
            except (LocationParseError, LocationValueError, UnicodeError) as error:
                fault = Fault("other", f"not a URL: {_line(error)}")
            except DecodeError as error:
                fault = Fault("truncated", f"content encoding: {_line(error)}")
            except (HTTPError, OSError) as error:
                fault = self._late(request) if request.cut else Fault("connection", _line(error), transient=True)
            finally:
                attempt.seconds = round(time.monotonic() - started, 3)
        if fault.reason in NO_ANSWER:
            self._hosts.unreachable(asking.host)
        raise fault

    def _late(self, request: Request) -> Fault:
        if self._stopping.is_set():
            return Fault("other", "stopped", status="deferred", transient=True)
        return Fault("timeout", f"no end after {self._limits.total_timeout:g} s", transient=True)

    def _pools(self, url: str) -> urllib3.PoolManager:
        parts = self._policy.split(url)
        assert parts.hostname is not None
        self._policy.check_name(parts.hostname)
        proxy = self._proxies.get(parts.scheme) or self._proxies.get("all")
        if proxy is None or proxy_bypass(parts.netloc.rpartition("@")[2]):
            return self._direct
        return self._through[proxy]


class _Fetch:
    """One row's requests: its rendition, its address, and where they lead. `host` is asked at present."""

    def __init__(self, web: Web, row: Row, attempt: Attempt, room: Room, request: Request) -> None:
        self._web = web
        self._row = row
        self._attempt = attempt
        self._room = room
        self._request = request
        self._settings = web._settings.of_host(row.host)
        self._requests = 0
        self.host = row.host

    def get(self) -> bytes:
        """The body at the host's smaller rendition, or where it has none, at the row's address."""
        rewrite = self._settings.rewrite
        if rewrite is not None:
            smaller = re.sub(rewrite.pattern, rewrite.replacement, self._row.url)
            if smaller != self._row.url:
                try:
                    return self._follow(smaller)
                except Fault:
                    if self._attempt.http_status not in NOT_FOUND:
                        raise
        return self._follow(self._row.url)

    def _follow(self, url: str) -> bytes:
        for _ in range(MAX_REDIRECTS + 1):
            pools = self._web._pools(url)
            host = host_of(self._web._policy.split(url))
            # The first request's turn came with the row; every other one waits for its own.
            first = self._requests == 0 and host == self._row.host
            self._requests += 1
            with nullcontext() if first else self._web._hosts.visit(host, self._row.host, self._request.ends):
                self.host = host
                body, location = self._ask(pools, url, host)
            if body is not None:
                return body
            try:
                # Headers are read as Latin-1; an address that is not written in ASCII is in UTF-8.
                url = urljoin(url, location.encode("latin-1").decode("utf-8", "replace"))
            except ValueError as error:
                raise Fault("other", f"redirect to what is no URL: {error}") from None
        raise Fault("http_error", f"more than {MAX_REDIRECTS} redirects")

    def _ask(self, pools: urllib3.PoolManager, url: str, host: str) -> tuple[bytes | None, str]:
        """The body, or None and where it is."""
        web, attempt = self._web, self._attempt
        self._check_stopping()
        begun = time.monotonic()
        contact = web._limits.of_host(host).contact or web._contact
        send = partial(
            pools.request,
            "GET",
            url,
            headers={"User-Agent": _user_agent(contact), "Accept": ACCEPT, "Accept-Encoding": "identity"},
            redirect=False,
            retries=False,
            preload_content=False,
            timeout=urllib3.Timeout(connect=web._limits.timeout, read=web._limits.timeout),
        )
        while True:
            try:
                response = send()
                break
            except Fault as fault:
                # Where its name leads shows only now; nothing more of that host is asked for.
                if fault.reason == "disallowed_address":
                    web._hosts.forbid(host, fault)
                raise
            except ProtocolError:
                # A host may hang up a kept connection just as it is used again (RFC 9110, 9.2.2).
                if self._request.cut or not self._request.kept:
                    raise
        try:
            attempt.http_status = response.status
            attempt.final_url = url
            attempt.content_type = response.headers.get("Content-Type")
            attempt.open_ended = response.length_remaining is None and not response.chunked
            location = response.headers.get("Location")
            if response.status in REDIRECTS and location is not None:
                web._hosts.good(host)
                return None, location
            self._check_answer(response, host, begun)
            body = self._read(response)
            if self._request.cut:
                raise web._late(self._request)
            web._hosts.good(host)
            return body, ""
        finally:
            # A body read to its end leaves a connection for the next request; another one is cut.
            if response.connection is not None:
                response.close()
            response.release_conn()

    def _check_answer(self, response: urllib3.BaseHTTPResponse, host: str, begun: float) -> None:
        with torch_hidden():
            from img2dataset.downloader import is_disallowed
        status = response.status
        hosts = self._web._hosts
        if 200 <= status < 300:
            if self._web._settings.respect_robots and is_disallowed(response.headers, AGENT, ROBOTS_DIRECTIVES):
                raise Fault("disallowed_by_robots", response.headers.get("X-Robots-Tag", ""), status="refused")
            kind = (response.headers.get("Content-Type") or "").partition(";")[0].strip().lower()
            taken = self._settings.content_types
            if kind and not any(fnmatchcase(kind, pattern.lower()) for pattern in taken):
                hosts.good(host)
                raise Fault("not_an_image", f"content type {kind}", status="refused")
            length = response.headers.get("Content-Length", "")
            if length.isascii() and length.isdigit() and int(length[:19]) > self._settings.max_bytes:
                raise _too_many_bytes(self._settings.max_bytes)
            return
        transient = status in TRANSIENT_STATUS or status >= 500
        if status in REFUSALS or status >= 500:
            busy = status in ASKS_FOR_TIME
            seconds = retry_after(response.headers.get("Retry-After")) if busy else None
            if not hosts.refused(host, begun, busy, seconds):
                raise Fault(
                    "http_error",
                    f"{status}, wants to be left alone for {seconds or 0:.0f} s",
                    status="deferred",
                    transient=True,
                )
        else:
            hosts.good(host)
        raise Fault("http_error", str(status), transient=transient)

    def _read(self, response: urllib3.BaseHTTPResponse) -> bytes:
        body = bytearray()
        # read1 returns what has come, so that a body that drips is seen to.
        while chunk := response.read1(CHUNK_BYTES, decode_content=True):
            # Waiting for room is not the host's time.
            ends, self._request.ends = self._request.ends, math.inf
            self._request.ends = ends + self._room.grow(len(chunk))
            body += chunk
            if len(body) > self._settings.max_bytes:
                raise _too_many_bytes(self._settings.max_bytes)
            if time.monotonic() > self._request.ends:
                raise self._web._late(self._request)
            self._check_stopping()
        return bytes(body)

    def _check_stopping(self) -> None:
        if self._web._stopping.is_set():
            raise Fault("other", "stopped", status="deferred", transient=True)


def host_of(parts: SplitResult) -> str:
    """Host and port as the catalogue writes them: lower case, without user and password, and without the usual port."""
    return USUAL_PORT.sub("", parts.netloc.rpartition("@")[2].lower())


class _CheckedPools(urllib3.PoolManager):
    """Connections without a proxy, to checked addresses only."""

    def __init__(self, policy: AddressPolicy, deadlines: Deadlines, threads: int) -> None:
        # Each connection that is kept takes two of the job's open files, which often may be no more than 1,024.
        super().__init__(num_pools=threads, maxsize=threads)
        self._classes = {
            "http": watched(_checked(HTTPConnection, policy), deadlines),
            "https": watched(_checked(HTTPSConnection, policy), deadlines),
        }

    def _new_pool(
        self, scheme: str, host: str, port: int, request_context: dict[str, Any] | None = None
    ) -> urllib3.HTTPConnectionPool:
        pool = super()._new_pool(scheme, host, port, request_context)
        pool.ConnectionCls = self._classes[scheme]  # type: ignore[assignment]
        return pool


def _checked(base: type[HTTPConnection], policy: AddressPolicy) -> type[HTTPConnection]:
    class Checked(base):  # type: ignore[misc, valid-type]
        """Connects to the very addresses that the policy has checked, so that no second look-up can differ."""

        def _new_conn(self) -> socket.socket:
            try:
                addresses = policy.resolve(self.host, self.port)
            except (socket.gaierror, UnicodeError) as error:
                raise Fault("connection", f"{self.host} is not known: {error}", transient=True) from None
            failure: OSError | None = None
            for address in addresses:
                try:
                    # The time to connect is for all of them together, so that many that are silent end in time.
                    return sockets.create_connection(
                        (address, self.port), self.timeout / len(addresses), socket_options=self.socket_options
                    )
                except OSError as error:
                    failure = error
            reason = "timeout" if isinstance(failure, TimeoutError) else "connection"
            raise Fault(reason, f"no connection to {self.host}: {failure}", transient=True)

    return Checked


class _ProxyPools(urllib3.ProxyManager):
    """Connections through a proxy."""

    deadlines: Deadlines

    def _new_pool(
        self, scheme: str, host: str, port: int, request_context: dict[str, Any] | None = None
    ) -> urllib3.HTTPConnectionPool:
        pool = super()._new_pool(scheme, host, port, request_context)
        pool.ConnectionCls = watched(pool.ConnectionCls, self.deadlines)  # type: ignore[assignment, arg-type]
        return pool


def _proxy_pools(url: str, deadlines: Deadlines, threads: int) -> urllib3.ProxyManager:
    parts = parse_url(url if "://" in url else f"http://{url}")
    if parts.scheme not in ("http", "https"):
        raise InputError(f"the proxy of the environment is {parts.scheme}://..., only http and https are supported")
    headers = make_headers(proxy_basic_auth=parts.auth) if parts.auth else None
    pools = _ProxyPools(parts.url, proxy_headers=headers, num_pools=threads, maxsize=threads)
    pools.deadlines = deadlines
    return pools


def _user_agent(contact: str | None) -> str:
    if contact is None:
        return f"{AGENT} (img2dataset)"
    if not contact.isascii() or not contact.isprintable():
        raise InputError(f"contact: {contact!r} cannot stand in a user agent; give a mail or web address")
    return f"{AGENT} (img2dataset; +{contact})"


def _too_many_bytes(limit: int) -> Fault:
    return Fault("too_large", f"more than {limit} bytes", status="refused")


def _line(error: Exception) -> str:
    """What an error says; urllib3 hands on the causes of some as further arguments."""
    text = error.args[0] if error.args and isinstance(error.args[0], str) else str(error)
    return " ".join(text.split()) or type(error).__name__
