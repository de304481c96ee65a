"""Bodies over HTTP: bounded in bytes and time, polite, and never from addresses that are not allowed."""

import socket
import threading
import time
from typing import Any
from urllib.parse import urljoin
from urllib.request import getproxies, proxy_bypass

import urllib3
from img2dataset.downloader import is_disallowed
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import (
    ConnectTimeoutError,
    DecodeError,
    HTTPError,
    LocationParseError,
    LocationValueError,
    ReadTimeoutError,
)
from urllib3.util import connection as sockets
from urllib3.util import make_headers, parse_url

from workflow_scripts.common.config.download import DownloadLimits
from workflow_scripts.common.errors import InputError
from workflow_scripts.download.addresses import AddressPolicy
from workflow_scripts.download.attempts import Attempt, Fault
from workflow_scripts.download.holds import Holds, retry_after

AGENT = "treeoflife-workflow"
# X-Robots-Tag directives that img2dataset honours by default.
ROBOTS_DIRECTIVES = {"noai", "noimageai", "noindex", "noimageindex"}
MAX_REDIRECTS = 5
REDIRECTS = {301, 302, 303, 307, 308}
ASKS_FOR_TIME = {429, 503}
TRANSIENT_STATUS = {408, 425, 429}
CHUNK_BYTES = 65_536


class Web:
    """Fetches bodies from many threads at once.

    Args:
        limits: timeouts and allowed addresses.
        max_bytes: longest body.
        contact: mail or web address for the user agent.
        stopping: set when the job must end; requests then give up.

    Raises:
        InputError: the contact or a proxy from the environment cannot be used.
    """

    def __init__(
        self, *, limits: DownloadLimits, max_bytes: int, contact: str | None, stopping: threading.Event
    ) -> None:
        self._limits = limits
        self._max_bytes = max_bytes
        self._stopping = stopping
        self._policy = AddressPolicy(limits.allow_hosts)
        self._holds = Holds(limits.max_wait, stopping)
        self._headers = {"User-Agent": _user_agent(contact), "Accept": "image/*", "Accept-Encoding": "identity"}
        self._proxies = getproxies()
        self._direct = _CheckedPools(self._policy, limits.threads)
        self._through = {
            url: _proxy_pools(url, limits.threads)
            for scheme, url in self._proxies.items()
            if scheme in ("http", "https", "all")
        }

    def get(self, url: str, attempt: Attempt) -> bytes:
        """The body at `url`; what was learned on the way is noted in `attempt`.

        Raises:
            Fault: there is none to be had.
        """
        try:
            return self._follow(url, attempt)
        except (ConnectTimeoutError, ReadTimeoutError) as error:
            raise Fault("timeout", _line(error), transient=True) from None
        except (LocationParseError, LocationValueError, UnicodeError) as error:
            raise Fault("other", f"not a URL: {_line(error)}") from None
        except DecodeError as error:
            raise Fault("truncated", f"content encoding: {_line(error)}") from None
        except (HTTPError, OSError) as error:
            raise Fault("connection", _line(error), transient=True) from None

    def _follow(self, url: str, attempt: Attempt) -> bytes:
        ends = time.monotonic() + self._limits.total_timeout
        for hop in range(MAX_REDIRECTS + 1):
            host = self._policy.split(url).netloc.rpartition("@")[2].lower()
            pools = self._pools(url)
            if hop == 0:
                waited_from = time.monotonic()
                self._holds.wait(host)
                ends += time.monotonic() - waited_from
                attempt.begin()
            self._check_stopping()
            response = pools.request(
                "GET",
                url,
                headers=self._headers,
                redirect=False,
                retries=False,
                preload_content=False,
                timeout=urllib3.Timeout(connect=self._limits.timeout, read=self._limits.timeout),
            )
            try:
                attempt.http_status = response.status
                attempt.final_url = url
                attempt.content_type = response.headers.get("Content-Type")
                location = response.headers.get("Location")
                if response.status not in REDIRECTS or location is None:
                    self._check_answer(response, host)
                    body = self._read(response, ends)
                    self._holds.good(host)
                    return body
                url = urljoin(url, location)
            finally:
                # A body read to its end leaves a connection for the next request; another one is cut.
                if response.connection is not None:
                    response.close()
                response.release_conn()
        raise Fault("http_error", f"more than {MAX_REDIRECTS} redirects")

    def _pools(self, url: str) -> urllib3.PoolManager:
        parts = self._policy.split(url)
        assert parts.hostname is not None
        self._policy.check_name(parts.hostname)
        proxy = self._proxies.get(parts.scheme) or self._proxies.get("all")
        if proxy is None or proxy_bypass(parts.netloc.rpartition("@")[2]):
            return self._direct
        return self._through[proxy]

    def _check_answer(self, response: urllib3.BaseHTTPResponse, host: str) -> None:
        status = response.status
        if 200 <= status < 300:
            if is_disallowed(response.headers, AGENT, ROBOTS_DIRECTIVES):
                raise Fault("disallowed_by_robots", response.headers.get("X-Robots-Tag", ""), status="refused")
            length = response.headers.get("Content-Length", "")
            if length.isdigit() and int(length) > self._max_bytes:
                raise _too_many_bytes(self._max_bytes)
            return
        transient = status in TRANSIENT_STATUS or status >= 500
        seconds = retry_after(response.headers.get("Retry-After")) if status in ASKS_FOR_TIME else None
        if seconds is not None and not self._holds.ask(host, seconds):
            raise Fault(
                "http_error", f"{status}, wants to be left alone for {seconds:.0f} s", status="deferred", transient=True
            )
        raise Fault("http_error", str(status), transient=transient)

    def _read(self, response: urllib3.BaseHTTPResponse, ends: float) -> bytes:
        body = bytearray()
        # read1 returns what has come, so that a body that drips is seen to.
        while chunk := response.read1(CHUNK_BYTES, decode_content=True):
            body += chunk
            if len(body) > self._max_bytes:
                raise _too_many_bytes(self._max_bytes)
            if time.monotonic() > ends:
                raise Fault("timeout", f"no end after {self._limits.total_timeout:g} s", transient=True)
            self._check_stopping()
        return bytes(body)

    def _check_stopping(self) -> None:
        if self._stopping.is_set():
            raise Fault("other", "stopped", status="deferred", transient=True)


class _CheckedPools(urllib3.PoolManager):
    """Connections without a proxy, to checked addresses only."""

    def __init__(self, policy: AddressPolicy, threads: int) -> None:
        super().__init__(num_pools=4 * threads, maxsize=threads)
        self._classes = {
            "http": _checked(HTTPConnection, policy),
            "https": _checked(HTTPSConnection, policy),
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
                    return sockets.create_connection(
                        (address, self.port), self.timeout, socket_options=self.socket_options
                    )
                except OSError as error:
                    failure = error
            reason = "timeout" if isinstance(failure, TimeoutError) else "connection"
            raise Fault(reason, f"no connection to {self.host}: {failure}", transient=True)

    return Checked


def _proxy_pools(url: str, threads: int) -> urllib3.ProxyManager:
    parts = parse_url(url if "://" in url else f"http://{url}")
    if parts.scheme not in ("http", "https"):
        raise InputError(f"the proxy of the environment is {parts.scheme}://..., only http and https are supported")
    headers = make_headers(proxy_basic_auth=parts.auth) if parts.auth else None
    return urllib3.ProxyManager(parts.url, proxy_headers=headers, num_pools=4 * threads, maxsize=threads)


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
