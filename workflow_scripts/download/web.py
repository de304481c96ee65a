"""Fetch bodies over HTTP: bounded in bytes and time, within each host's limits, and only from allowed addresses."""

import io
import math
import re
import socket
import ssl
import threading
import time
from contextlib import nullcontext
from functools import partial
from http.cookiejar import CookieJar
from typing import Any
from urllib.parse import SplitResult, quote, urljoin
from urllib.request import Request as CookieRequest
from urllib.request import getproxies, proxy_bypass

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import (
    ConnectTimeoutError,
    DecodeError,
    HTTPError,
    InsecureRequestWarning,
    LocationParseError,
    LocationValueError,
    ProtocolError,
    ReadTimeoutError,
    SSLError,
)
from urllib3.util import connection as sockets
from urllib3.util import make_headers, parse_url
from urllib3.util.ssl_match_hostname import CertificateError

from workflow_scripts.common.config.download import DownloadLimits, DownloadSettings
from workflow_scripts.common.errors import InputError
from workflow_scripts.common.image_kinds import START_BYTES
from workflow_scripts.common.images import ACCEPT
from workflow_scripts.common.torchless import torch_hidden
from workflow_scripts.download.addresses import AddressPolicy
from workflow_scripts.download.attempts import Attempt, Fault, Row
from workflow_scripts.download.content_types import content_type, is_accepted
from workflow_scripts.download.deadlines import Deadlines, Request, watched
from workflow_scripts.download.hosts import Hosts, retry_after
from workflow_scripts.download.memory import Room
from workflow_scripts.download.user_agent import UserAgent

# X-Robots-Tag directives that img2dataset honours by default.
ROBOTS_DIRECTIVES = {"noai", "noimageai", "noindex", "noimageindex"}
MAX_REDIRECTS = 10
REDIRECTS = {301, 302, 303, 307, 308}
TOO_MANY_REQUESTS = {429, 503}
# Answers that may refuse the client rather than the image. 5xx also counts as a refusal.
REFUSALS = {401, 403, 407, 429, 451}
NOT_FOUND = {403, 404, 410}
TRANSIENT_STATUS = {408, 425, 429}
# Reasons that mean that a host gave no complete answer.
NO_ANSWER = {"connection", "unknown_host", "certificate", "timeout"}
# The resolver's errors for names that do not exist, in contrast to an unreachable network.
NO_SUCH_NAME = {socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)}
CHUNK_BYTES = 65_536
DEFAULT_PORT = re.compile(r":(80|443)$")


class Web:
    """Fetches bodies. Thread-safe.

    Args:
        settings: accepted content types and sizes by host, and allowed addresses.
        limits: timeouts and limits of requests.
        hosts: the hosts' policies in this job.
        agent: the user agent of requests.
        stopping: set when the job must end; requests then end early.

    Raises:
        InputError: a contact, or a proxy from the environment, is invalid.
    """

    def __init__(
        self,
        *,
        settings: DownloadSettings,
        limits: DownloadLimits,
        hosts: Hosts,
        agent: UserAgent,
        stopping: threading.Event,
    ) -> None:
        self._settings = settings
        self._limits = limits
        self._stopping = stopping
        self._agent = agent
        for policy in limits.hosts.values():
            agent.text(policy.contact)
        self._policy = AddressPolicy(settings.allow_hosts)
        self._hosts = hosts
        self._deadlines = Deadlines(stopping)
        self._proxies = getproxies()
        if not all(host.check_certificates for host in settings.hosts.values()):
            # The manifest marks these images as `unverified`.
            urllib3.disable_warnings(InsecureRequestWarning)
        proxies = [url for scheme, url in self._proxies.items() if scheme in ("http", "https", "all")]
        self._connections: dict[tuple[str | None, bool], urllib3.PoolManager] = {}
        for checks in (True, False):
            options = {} if checks else {"cert_reqs": ssl.CERT_NONE, "assert_hostname": False}
            self._connections[None, checks] = _CheckedPools(self._policy, self._deadlines, limits.threads, **options)
            for url in proxies:
                self._connections[url, checks] = _proxy_pools(url, self._deadlines, limits.threads, **options)

    def check(self, row: Row) -> None:
        """Check a row's URL, before its host gets a request.

        Raises:
            Fault: the URL is invalid, or its host is not allowed.
        """
        self._policy.split(normalized(row.url))

    def get(self, row: Row, attempt: Attempt, room: Room) -> bytes:
        """Fetch the body at the row's URL. This thread's turn at the URL's host has come.

        Details of the answer are recorded in `attempt`.

        Raises:
            Fault: the body could not be fetched, or was refused.
        """
        attempt.begin()
        started = time.monotonic()
        with self._deadlines.within(self._limits.total_timeout) as request:
            fetch = _Fetch(self, row, attempt, room, request)
            try:
                return fetch.get()
            except Fault as error:
                fault = self._late(request) if request.cut else error
                if fault.reason == "disallowed_address" and attempt.http_status is None:
                    # No request was sent.
                    attempt.requests -= 1
            except (ConnectTimeoutError, ReadTimeoutError) as error:
                fault = Fault("timeout", _line(error), transient=True)
            except SSLError as error:
                fault = _certificate_fault(fetch.host, error)
            except (LocationParseError, LocationValueError, UnicodeError) as error:
                fault = Fault("other", f"not a URL: {_line(error)}")
            except DecodeError as error:
                fault = Fault("truncated", f"content encoding: {_line(error)}")
            except (HTTPError, OSError) as error:
                fault = self._late(request) if request.cut else Fault("connection", _line(error), transient=True)
            finally:
                attempt.seconds = round(time.monotonic() - started, 3)
        if fault.reason in NO_ANSWER:
            self._hosts.unreachable(fetch.host, fault)
        raise fault

    def _late(self, request: Request) -> Fault:
        if self._stopping.is_set():
            return Fault("other", "stopped", status="deferred", transient=True)
        return Fault("timeout", f"no end after {self._limits.total_timeout:g} s", transient=True)

    def _checks(self, parts: SplitResult) -> bool:
        """Whether the TLS certificate of a URL's host is checked (true for plain HTTP)."""
        return parts.scheme != "https" or self._settings.of_host(host_of(parts)).check_certificates

    def _pools(self, parts: SplitResult) -> urllib3.PoolManager:
        proxy = self._proxies.get(parts.scheme) or self._proxies.get("all")
        if proxy is None or proxy_bypass(parts.netloc.rpartition("@")[2]):
            proxy = None
        return self._connections[proxy, self._checks(parts)]


class _Fetch:
    """One row's requests: for its smaller rendition, its URL, and their redirects. `host` is the current host."""

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
        """The body of the host's smaller rendition (`rewrite`) or, without one, at the row's URL."""
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
        self._attempt.refusals = None
        # Some hosts redirect until they receive their cookie. Each image starts without cookies.
        cookies = CookieJar()
        for _ in range(MAX_REDIRECTS + 1):
            url = normalized(url)
            parts = self._web._policy.split(url)
            host = host_of(parts)
            # The schedule waited for the first request's turn; every further request waits here.
            first = self._requests == 0 and host == self._row.host
            self._requests += 1
            with nullcontext() if first else self._web._hosts.visit(host, self._row.host, self._request.ends):
                self.host = host
                body, location = self._request_once(url, parts, cookies)
            if body is not None:
                return body
            try:
                url = urljoin(url, normalized(_location(location)))
            except ValueError as error:
                raise Fault("other", f"redirect to what is no URL: {error}") from None
        raise Fault("http_error", f"more than {MAX_REDIRECTS} redirects")

    def _request_once(self, url: str, parts: SplitResult, cookies: CookieJar) -> tuple[bytes | None, str]:
        """Send one request. Returns the body and "", or None and the redirect's location."""
        web, attempt, host = self._web, self._attempt, self.host
        self._check_stopping()
        begun = time.monotonic()
        attempt.unverified |= not web._checks(parts)
        agent = web._agent.text(web._limits.of_host(host).contact)
        headers = {"User-Agent": agent, "Accept": ACCEPT, "Accept-Encoding": "identity"}
        cookie_request = CookieRequest(url)
        cookies.add_cookie_header(cookie_request)
        send = partial(
            web._pools(parts).request,
            "GET",
            url,
            headers=headers | dict(cookie_request.header_items()),
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
                # The address is known only after resolving the name. No further request goes to this host.
                if fault.reason == "disallowed_address":
                    web._hosts.forbid(host, fault)
                raise
            except ProtocolError:
                # A host may close a persistent connection just as it is reused: send again (RFC 9110, 9.2.2).
                if self._request.cut or not self._request.reused:
                    raise
        try:
            attempt.http_status = response.status
            attempt.final_url = url
            attempt.content_type = response.headers.get("Content-Type")
            attempt.open_ended = response.length_remaining is None and not response.chunked
            cookies.extract_cookies(response, cookie_request)  # type: ignore[arg-type]
            location = response.headers.get("Location")
            if response.status in REDIRECTS and location is not None:
                web._hosts.good(host, begun)
                return None, location
            self._check_answer(response, host, begun)
            body = self._read(response)
            if self._request.cut:
                raise web._late(self._request)
            web._hosts.good(host, begun)
            if not self._is_accepted(body):
                kind = content_type(attempt.content_type, body)
                raise Fault("not_an_image", f"content type {kind}", status="refused")
            return body, ""
        finally:
            # Only a connection whose body was read completely can be reused; any other is closed.
            if response.connection is not None:
                response.close()
            response.release_conn()

    def _check_answer(self, response: urllib3.BaseHTTPResponse, host: str, begun: float) -> None:
        with torch_hidden():
            from img2dataset.downloader import is_disallowed
        status = response.status
        hosts = self._web._hosts
        if 200 <= status < 300:
            is_forbidden = any(
                is_disallowed(response.headers, name, ROBOTS_DIRECTIVES) for name in self._web._agent.names
            )
            if self._web._settings.respect_robots and is_forbidden:
                raise Fault("disallowed_by_robots", response.headers.get("X-Robots-Tag", ""), status="refused")
            length = response.headers.get("Content-Length", "")
            if length.isascii() and length.isdigit() and int(length[:19]) > self._settings.max_bytes:
                raise _too_many_bytes(self._settings.max_bytes)
            return
        transient = status in TRANSIENT_STATUS or status >= 500
        if status in REFUSALS or status >= 500:
            busy = status in TOO_MANY_REQUESTS
            if not transient:
                self._attempt.refusals = hosts.refusal_streak(host)
            raise hosts.refused(
                host,
                Fault("http_error", str(status), transient=transient),
                begun,
                slow_down=busy,
                bans=status in REFUSALS,
                rest=retry_after(response.headers.get("Retry-After")) if busy else None,
            )
        hosts.good(host, begun)
        raise Fault("http_error", str(status), transient=transient)

    def _read(self, response: urllib3.BaseHTTPResponse) -> bytes:
        # BytesIO returns its value without a copy.
        body = io.BytesIO()
        try:
            # read1 returns the available bytes, so that the deadline also holds for slow bodies.
            while chunk := response.read1(CHUNK_BYTES, decode_content=True):
                # Time spent waiting for memory does not count towards the deadline.
                ends, self._request.ends = self._request.ends, math.inf
                self._request.ends = ends + self._room.grow(len(chunk))
                body.write(chunk)
                if body.tell() - len(chunk) < START_BYTES <= body.tell() and not self._is_accepted(body.getvalue()):
                    break
                if body.tell() > self._settings.max_bytes:
                    raise _too_many_bytes(self._settings.max_bytes)
                if time.monotonic() > self._request.ends:
                    raise self._web._late(self._request)
                self._check_stopping()
        finally:
            self._web._hosts.received(self.host, body.tell())
        return body.getvalue()

    def _is_accepted(self, body: bytes) -> bool:
        return is_accepted(content_type(self._attempt.content_type, body), self._settings.content_types)

    def _check_stopping(self) -> None:
        if self._web._stopping.is_set():
            raise Fault("other", "stopped", status="deferred", transient=True)


def host_of(parts: SplitResult) -> str:
    """Host and port as in the catalog: lower case, without credentials and default ports."""
    return DEFAULT_PORT.sub("", parts.netloc.rpartition("@")[2].lower())


def normalized(url: str) -> str:
    """A URL as browsers read it: without surrounding white space, and with slashes for backslashes before the query.

    Source: WHATWG URL Standard.
    """
    url = url.strip(" \t\r\n")
    place = re.search(r"[?#]", url)
    end = place.start() if place else len(url)
    return url[:end].replace("\\", "/") + url[end:]


def _location(header: str) -> str:
    """The URL in a `Location` header, which urllib3 decodes as Latin-1: decode UTF-8, or quote other bytes."""
    data = header.encode("latin-1")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return quote(data, safe=bytes(range(128)))


def _certificate_fault(host: str, error: SSLError) -> Fault:
    """The fault of a failed TLS connection: `certificate` or, for any other cause, `connection`."""
    cause = error.args[0] if error.args else error
    if isinstance(cause, ssl.SSLCertVerificationError | CertificateError):
        message = cause.verify_message if isinstance(cause, ssl.SSLCertVerificationError) else str(cause)
        return Fault("certificate", f"{host}: {message}", transient=True)
    return Fault("connection", f"{host}: TLS: {_line(error)}", transient=True)


class _CheckedPools(urllib3.PoolManager):
    """Direct connections, to checked addresses only."""

    def __init__(self, policy: AddressPolicy, deadlines: Deadlines, threads: int, **options: Any) -> None:
        # A persistent connection takes two of the job's open files, which are often limited to 1,024.
        super().__init__(num_pools=threads, maxsize=threads, **options)
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
        """Connects to the addresses that the policy has checked, since a second lookup could differ."""

        def _new_conn(self) -> socket.socket:
            try:
                addresses = policy.resolve(self.host, self.port)
            except (socket.gaierror, UnicodeError) as error:
                may_exist = isinstance(error, socket.gaierror) and error.errno not in NO_SUCH_NAME
                reason, text = ("connection", "cannot be looked up") if may_exist else ("unknown_host", "is not known")
                raise Fault(reason, f"{self.host} {text}: {_line(error)}", transient=True) from None
            failure: OSError | None = None
            for address in addresses:
                try:
                    # All addresses share the timeout, so that many silent ones do not exceed it.
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


def _proxy_pools(url: str, deadlines: Deadlines, threads: int, **options: Any) -> urllib3.ProxyManager:
    parts = parse_url(url if "://" in url else f"http://{url}")
    if parts.scheme not in ("http", "https"):
        raise InputError(
            f"the proxy in the environment has the scheme {parts.scheme}://; set http_proxy and https_proxy to an http "
            "or https proxy"
        )
    headers = make_headers(proxy_basic_auth=parts.auth) if parts.auth else None
    pools = _ProxyPools(parts.url, proxy_headers=headers, num_pools=threads, maxsize=threads, **options)
    pools.deadlines = deadlines
    return pools


def _too_many_bytes(limit: int) -> Fault:
    return Fault("too_large", f"more than {limit} bytes", status="refused")


def _line(error: Exception) -> str:
    """An error's message in one line. Some urllib3 errors have their causes as further arguments."""
    text = error.args[0] if error.args and isinstance(error.args[0], str) else str(error)
    return " ".join(text.split()) or type(error).__name__
