"""The pages of the world's hosts: the model of `world.json`, written by `make` and read by `serve`."""

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
"""No server listens here: connections are refused."""

RETRY_AFTER_SECONDS = 1


@dataclass(frozen=True)
class Page:
    """The response to one path of one host.

    Attributes:
        file: file of the body, relative to the world's folder; None for an error page.
        status: HTTP status.
        content_type: Content-Type header, true or not.
        headers: additional headers.
        before: statuses that answer the first requests (429, 503) before the page is served.
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
        name: one word for its behaviour.
        delay: seconds before each response.
        pages: its pages, by path.
    """

    name: str
    delay: float = 0.0
    pages: dict[str, Page] = field(default_factory=dict)


@dataclass(frozen=True)
class Site:
    """All hosts by address, and their common port."""

    port: int
    hosts: dict[str, Host]

    def url(self, address: str, path: str) -> str:
        """The URL of a page."""
        return f"http://{address}:{self.port}{path}"

    def to_json(self) -> dict[str, Any]:
        """The content of `world.json`; fields of pages with default values are omitted."""
        defaults = asdict(Page(file=None))
        hosts = {}
        for address, host in self.hosts.items():
            pages = {
                path: {name: value for name, value in asdict(page).items() if value != defaults[name]}
                for path, page in host.pages.items()
            }
            hosts[address] = {"name": host.name, "delay": host.delay, "pages": pages}
        return {"port": self.port, "hosts": hosts}


def read_site(path: Path) -> Site:
    """Read `world.json`.

    Raises:
        InputError: the file is missing or invalid.
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
            f"{path}: cannot be read as a world ({error}); generate one with workflow_scripts.world.make"
        ) from None


def empty_site(port: int) -> Site:
    """The hosts, without pages."""
    return Site(
        port,
        {
            FAST: Host("fast"),
            SLOW: Host("slow", delay=0.05),
            BUSY: Host("busy"),
            LYING: Host("lying"),
        },
    )
