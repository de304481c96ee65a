"""Download published files over HTTP: atomic, resumable, and checked against a pinned SHA-256."""

import logging
import os
import time
from pathlib import Path
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import HTTPError
from urllib3.util import Retry

from workflow_scripts.common.errors import InputError
from workflow_scripts.common.files import digest, sha256_file
from workflow_scripts.common.progress import Progress
from workflow_scripts.common.work_folder import exclusive

logger = logging.getLogger(__name__)

CHUNK_BYTES = 2**20
TIMEOUT_SECONDS = 60
# Maximum number of retries of a request, and of resumptions of a download.
RETRIES = 5
BACKOFF_SECONDS = 1.0
TEMPORARY_STATUSES = (429, 500, 502, 503, 504)
# No compression in transit, which would invalidate lengths, ranges and checksums.
UNCOMPRESSED = {"Accept-Encoding": "identity"}


class _StoppedError(Exception):
    """The download was incomplete, or the file changed meanwhile."""


def fetch_file(url: str, target: Path, *, sha256: str | None = None) -> str:
    """Download a file to `target`, and return its SHA-256 (hex).

    An interrupted download is kept beside the target, under a name with the file's version according to the server, and
    resumed the next time. Proxies are taken from the environment.

    Args:
        url: URL of the file, `http` or `https`.
        target: path to write, atomically.
        sha256: expected SHA-256; None: not checked.

    Raises:
        InputError: the file could not be fetched, or differs from the pinned SHA-256.
    """
    with exclusive(target.with_name(f".{target.name}.lock")), _session() as session:
        partial = _received(session, url, target, sha256)
        found = sha256_file(partial)
        if sha256 is not None and found != sha256.lower():
            partial.unlink()
            raise InputError(
                f"{url}: SHA-256 mismatch: expected {sha256}, found {found}; the file was replaced, or the pin is wrong"
            )
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        partial.replace(target)
        for older in target.parent.glob(f".{target.name}.*.part"):
            older.unlink()
    logger.info("%s: %d bytes, SHA-256 %s", url, target.stat().st_size, found)
    return found


def fetch_json(url: str) -> dict[str, Any]:
    """Fetch a JSON object from a web API.

    Raises:
        InputError: it could not be fetched, or is not a JSON object.
    """
    try:
        with _session() as session, session.get(url, timeout=TIMEOUT_SECONDS) as response:
            response.raise_for_status()
            answer = response.json()
    except requests.RequestException as error:
        raise InputError(f"{url}: could not be fetched: {error}") from None
    if not isinstance(answer, dict):
        raise InputError(f"{url}: the answer is not a JSON object")
    return answer


def _session() -> requests.Session:
    session = requests.Session()
    session.headers.update(UNCOMPRESSED)
    retries = Retry(RETRIES, backoff_factor=BACKOFF_SECONDS, status_forcelist=TEMPORARY_STATUSES, raise_on_status=False)
    for scheme in ("http://", "https://"):
        session.mount(scheme, HTTPAdapter(max_retries=retries))
    return session


def _received(session: requests.Session, url: str, target: Path, sha256: str | None) -> Path:
    """Download the complete file under a temporary name; return its path."""
    for retry in range(RETRIES + 1):
        try:
            return _receive(session, url, target, sha256)
        except (requests.exceptions.InvalidSchema, requests.exceptions.MissingSchema, requests.HTTPError) as error:
            raise InputError(f"{url}: could not be fetched: {error}") from None
        except (requests.RequestException, HTTPError, _StoppedError) as error:
            logger.warning("%s: %s", url, error)
            if retry == RETRIES:
                raise InputError(f"{url}: could not be fetched: {error}; partial download kept, try again") from None
            time.sleep(BACKOFF_SECONDS * 2**retry)
    raise AssertionError


def _receive(session: requests.Session, url: str, target: Path, sha256: str | None) -> Path:
    with session.get(url, stream=True, timeout=TIMEOUT_SECONDS) as response:
        response.raise_for_status()
        version = _version(response)
        size = int(response.headers["Content-Length"]) if "Content-Length" in response.headers else None
        partial = target.with_name(f".{target.name}.{digest([url, version, size, sha256])[:12]}.part")
        received = partial.stat().st_size if partial.exists() else 0
        # Resume only if a pin or a version shows that the rest is of the same file.
        if not received or size is None or received > size or (version is None and sha256 is None):
            _write(response, partial, 0, size)
            return partial
    if received < size:
        with session.get(url, stream=True, timeout=TIMEOUT_SECONDS, headers={"Range": f"bytes={received}-"}) as rest:
            rest.raise_for_status()
            if _version(rest) != version:
                raise _StoppedError("the file changed during the download")
            is_rest = rest.headers.get("Content-Range", "").startswith(f"bytes {received}-")
            _write(rest, partial, received if is_rest else 0, size)
    return partial


def _version(response: requests.Response) -> str | None:
    return response.headers.get("ETag") or response.headers.get("Last-Modified")


def _write(response: requests.Response, partial: Path, start: int, size: int | None) -> None:
    """Write a response's body to the file from byte `start` on."""
    with partial.open("ab" if start else "wb") as file, Progress("downloading", size, "bytes") as bar:
        bar.update(start)
        for chunk in response.raw.stream(CHUNK_BYTES, decode_content=False):
            file.write(chunk)
            bar.update(len(chunk))
    if size is not None and partial.stat().st_size != size:
        raise _StoppedError(f"received {partial.stat().st_size} of {size} bytes")
