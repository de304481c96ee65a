"""What the world's hosts answer: the model of `world.json`, which is written by `make` and read by `serve`."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from workflow_scripts.common.errors import InputError

FAST = "127.0.0.2"
SLOW = "127.0.0.3"
BUSY = "127.0.0.4"
LYING = "127.0.0.5"
GONE = "127.0.0.6"
"""Nobody listens there: connections are refused."""

RETRY_AFTER_SECONDS = 1


@dataclass(frozen=True)
class Page:
    """The answer to one path of one host.

    Attributes:
        file: the body's file, from the world's folder; None for an error page.
        status: HTTP status.
        content_type: what the body is said to be.
        headers: further headers.
        before: statuses of the first requests for it (429, 503); the page itself comes after them.
    """

    file: str | None
    status: int = 200
    content_type: str = "image/jpeg"
    headers: dict[str, str] = field(default_factory=dict)
    before: tuple[int, ...] = ()


@dataclass(frozen=True)
class Host:
    """A host.

    Attributes:
        name: what it is like, in a word.
        delay: seconds that it takes before it answers.
        pages: its answers, by path.
    """

    name: str
    delay: float = 0.0
    pages: dict[str, Page] = field(default_factory=dict)


@dataclass(frozen=True)
class Site:
    """All hosts, by address, and the port that they listen on."""

    port: int
    hosts: dict[str, Host]

    def url(self, address: str, path: str) -> str:
        """The address of a page."""
        return f"http://{address}:{self.port}{path}"

    def to_json(self) -> dict[str, Any]:
        """A JSON value; a page's fields that are as usual are left out."""
        usual = asdict(Page(file=None))
        hosts = {}
        for address, host in self.hosts.items():
            pages = {
                path: {name: value for name, value in asdict(page).items() if value != usual[name]}
                for path, page in host.pages.items()
            }
            hosts[address] = {"name": host.name, "delay": host.delay, "pages": pages}
        return {"port": self.port, "hosts": hosts}


def read_site(path: Path) -> Site:
    """Read `world.json`.

    Raises:
        InputError: it is missing or not a world.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
        hosts = {
            address: Host(
                host["name"],
                host["delay"],
                {
                    url: Page(**{"file": None, **page, "before": tuple(page.get("before", ()))})
                    for url, page in host["pages"].items()
                },
            )
            for address, host in value["hosts"].items()
        }
        return Site(value["port"], hosts)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path}: no world can be read there ({error}); make one with workflow_scripts.world.make"
        ) from None


def empty_site(port: int) -> Site:
    """The hosts before they have pages."""
    return Site(
        port,
        {
            FAST: Host("fast"),
            SLOW: Host("slow", delay=0.05),
            BUSY: Host("busy"),
            LYING: Host("lying"),
        },
    )
