"""Allowed addresses, and Retry-After."""

import ipaddress
import socket
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from urllib.parse import urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workflow_scripts.download.addresses import CACHE_SECONDS, AddressPolicy
from workflow_scripts.download.attempts import Fault
from workflow_scripts.download.hosts import retry_after
from workflow_scripts.download.web import host_of

INSIDE = (
    "127.0.0.0/8",
    "10.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "169.254.0.0/16",
    "100.64.0.0/10",
    "224.0.0.0/4",
)
inside = st.sampled_from(INSIDE).flatmap(lambda network: st.ip_addresses(v=4, network=network))


@settings(deadline=None)
@given(inside)
def test_private_addresses_are_refused_in_every_notation(address: ipaddress.IPv4Address) -> None:
    policy = AddressPolicy([])
    forms = (
        str(address),
        str(int(address)),
        f"::ffff:{address}",
        f"64:ff9b::{address}",
        f"2002:{int(address) >> 16:x}:{int(address) & 0xFFFF:x}::1",
    )
    for form in forms:
        with pytest.raises(Fault, match="disallowed_address"):
            policy.check_name(form)


@settings(deadline=None)
@given(inside)
def test_addresses_of_an_allowed_network_pass(address: ipaddress.IPv4Address) -> None:
    policy = AddressPolicy([f"{address}/32"])
    policy.check_name(str(address))
    assert policy.resolve(str(address), 80) == [str(address)]
    with pytest.raises(Fault):
        policy.resolve("127.1.2.3" if str(address) != "127.1.2.3" else "127.1.2.4", 80)


def test_resolved_names_are_cached(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def look_up(host: str, port: int, **_: object) -> list[tuple[object, ...]]:
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("93.184.216.34", port))]

    clock = [0.0]
    monkeypatch.setattr("socket.getaddrinfo", look_up)
    monkeypatch.setattr("time.monotonic", lambda: 1000.0 + clock[0])
    policy = AddressPolicy([])
    for seconds in (0.0, 1.0, CACHE_SECONDS - 1, CACHE_SECONDS + 1):
        clock[0] = seconds
        assert policy.resolve("museum.example", 443) == ["93.184.216.34"]
    assert asked == ["museum.example"] * 2


@pytest.mark.parametrize(
    "address",
    [
        *("::", "::1", "fe80::1", "fc00::1", "fec0::1", "ff02::1", "::127.0.0.1", "64:ff9b:1::a00:1", "100::1"),
        *("2001:db8::1", "2002:7f00:1::1", "0.0.0.0", "255.255.255.255", "192.0.2.1", "198.18.0.1", "240.0.0.1"),
    ],
)
def test_special_addresses_are_refused(address: str) -> None:
    with pytest.raises(Fault, match="disallowed_address"):
        AddressPolicy([]).resolve(address, 80)


@pytest.mark.parametrize("address", ["93.184.216.34", "2606:4700::1111"])
def test_public_addresses_pass(address: str) -> None:
    assert AddressPolicy([]).resolve(address, 443) == [address]


@pytest.mark.parametrize(
    "url",
    [
        "http://169.254.169.254\\@example.org/x.jpg",
        "http://127.0.0.1\\@example.org/x.jpg",
        "http://localhost\\@example.org/x.jpg",
        "http://127.0.0.%31/x.jpg",
        "http://\uff11\uff12\uff17.0.0.1/x.jpg",
    ],
)
def test_a_url_that_parsers_split_differently_is_refused(url: str) -> None:
    with pytest.raises(Fault, match=r"disallowed_address|not a URL"):
        AddressPolicy([]).split(url)


@pytest.mark.parametrize(
    "url",
    [
        "http://example.org/a b.jpg",
        "http://EXAMPLE.org/x",
        "http://m\u00fcnchen.example/x",
        "http://[2606:4700::1]:80/x",
    ],
)
def test_ordinary_urls_pass(url: str) -> None:
    assert AddressPolicy([]).split(url).hostname


def test_an_allowed_name_may_resolve_to_any_address() -> None:
    assert AddressPolicy(["localhost"]).resolve("localhost", 80)
    with pytest.raises(Fault, match="disallowed_address"):
        AddressPolicy(["elsewhere"]).resolve("localhost", 80)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        *(("7", 7.0), (" 0 ", 0.0), ("-3", None), ("soon", None), (None, None)),
        *(("Wed, 21 Oct 2015 07:28:00 GMT", 0.0), ("Wed, 21 Oct 2015 07:28:00 +99999999999999", None)),
    ],
)
def test_retry_after_is_a_number_or_a_date(value: str | None, seconds: float | None) -> None:
    assert retry_after(value) == seconds


def test_retry_after_may_be_a_future_date() -> None:
    seconds = retry_after(format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True))
    assert seconds is not None
    assert 85 < seconds <= 90


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://A.org:443/x", "a.org"),
        ("http://me:word@a.org:80/x", "a.org"),
        ("https://a.org:8443/x", "a.org:8443"),
        ("http://[2606:4700::80]/x", "[2606:4700::80]"),
    ],
)
def test_the_default_port_is_not_part_of_the_host(url: str, host: str) -> None:
    assert host_of(urlsplit(url)) == host


@settings(deadline=None)
@given(st.text())
def test_any_retry_after_is_parsed(value: str) -> None:
    seconds = retry_after(value)
    assert seconds is None or seconds >= 0
