"""Allowed addresses: public ones, and those listed in `allow_hosts`."""

import ipaddress
import socket
import threading
import time
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address
from urllib.parse import SplitResult, urlsplit

from urllib3.exceptions import LocationParseError
from urllib3.util import parse_url

from workflow_scripts.common.errors import InputError
from workflow_scripts.download.attempts import Fault

CACHE_SECONDS = 300.0
SCHEMES = ("http", "https")
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
# Private networks that Python counts as public: IPv4-compatible, local NAT64, site-local (RFC 4291, 8215, 3879).
_INNER = tuple(ipaddress.ip_network(network) for network in ("::/96", "64:ff9b:1::/48", "fec0::/10"))


class AddressPolicy:
    """Refuses loopback, private, link-local and other special addresses unless they are allowed by name or network.

    Names are resolved here and cached, and connections use exactly the addresses that were checked.

    Args:
        allow_hosts: host names, addresses or networks (CIDR) that are allowed even if they are not public.

    Raises:
        InputError: an entry with a slash is not a network.
    """

    def __init__(self, allow_hosts: Iterable[str]) -> None:
        self._names: set[str] = set()
        self._networks: list[ipaddress.IPv4Network | ipaddress.IPv6Network] = []
        for entry in allow_hosts:
            try:
                self._networks.append(ipaddress.ip_network(entry, strict=False))
            except ValueError:
                if "/" in entry:
                    raise InputError(
                        f"allow_hosts: {entry} is neither a host nor a network such as 10.0.0.0/8"
                    ) from None
                self._names.add(entry.lower())
        self._cache: dict[tuple[str, int], tuple[float, list[str]]] = {}
        self._lock = threading.Lock()

    def split(self, url: str) -> SplitResult:
        """Split an http or https URL.

        Raises:
            Fault: the URL is invalid, or its host is not allowed.
        """
        try:
            parts = urlsplit(url)
            host, _ = parts.hostname, parts.port
            connected = parse_url(url).host
        except (ValueError, LocationParseError) as error:
            raise Fault("other", f"not a URL: {error}") from None
        if not parts.scheme:
            raise Fault("other", "not a URL")
        if parts.scheme not in SCHEMES:
            raise Fault("disallowed_address", f"scheme {parts.scheme}", status="refused")
        if not host:
            raise Fault("other", "URL without a host")
        # The host that is checked must be the one urllib3 connects to: parsers treat a backslash before the path
        # differently, and full-width digits are normalized.
        connected = (connected or "").strip("[]").lower()
        if connected != host and host.isascii():
            raise Fault("disallowed_address", f"{host} or {connected}, by how it is read", status="refused")
        self.check_name(connected)
        return parts

    def check_name(self, host: str) -> None:
        """Check a host by its name alone, since a proxy may resolve it.

        Raises:
            Fault: the name is localhost, or an address that is not allowed.
        """
        if host.lower() in self._names:
            return
        if host.lower().rstrip(".").rpartition(".")[2] == "localhost":
            raise Fault("disallowed_address", host, status="refused")
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            try:
                # Most resolvers accept numbers such as 2130706433 and 0x7f.1 as addresses.
                address = IPv4Address(socket.inet_aton(host))
            except (OSError, ValueError):
                return
        if not self._allowed(address):
            raise Fault("disallowed_address", host, status="refused")

    def resolve(self, host: str, port: int) -> list[str]:
        """The allowed addresses of a host.

        Raises:
            Fault: none of its addresses is allowed.
            OSError: the name cannot be resolved.
        """
        with self._lock:
            until, addresses = self._cache.get((host, port), (0.0, []))
        if time.monotonic() >= until:
            answers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            addresses = list(dict.fromkeys(str(answer[4][0]) for answer in answers))
            with self._lock:
                self._cache[(host, port)] = (time.monotonic() + CACHE_SECONDS, addresses)
        if host.lower() in self._names:
            return addresses
        allowed = [address for address in addresses if self._allowed(ipaddress.ip_address(address.partition("%")[0]))]
        if not allowed:
            raise Fault("disallowed_address", f"{host} is {', '.join(addresses)}", status="refused")
        return allowed

    def _allowed(self, address: IPv4Address | IPv6Address) -> bool:
        candidates = [address, *_embedded(address)]
        if any(candidate in network for candidate in candidates for network in self._networks):
            return True
        if any(address in network for network in _INNER):
            return False
        return all(candidate.is_global and not candidate.is_multicast for candidate in candidates)


def _embedded(address: IPv4Address | IPv6Address) -> list[IPv4Address]:
    """The IPv4 addresses embedded in an IPv6 address."""
    if isinstance(address, IPv4Address):
        return []
    found = [address.ipv4_mapped, address.sixtofour, address.teredo[1] if address.teredo else None]
    if address in _NAT64:
        found.append(IPv4Address(int(address) & 0xFFFFFFFF))
    return [inner for inner in found if inner is not None]
