"""Downloads of published files over HTTP: complete or absent, resumable, checked against their pin."""

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
# How often a request is made again, and how often a file that stopped coming is asked for from there on.
RETRIES = 5
BACKOFF_SECONDS = 1.0
PASSING_STATUSES = (429, 500, 502, 503, 504)
# Bytes as they lie there: a length, a range and a checksum mean nothing of a body compressed on its way.
AS_IT_LIES = {"Accept-Encoding": "identity"}


class _StoppedError(Exception):
    """Less came than was promised, or another file than the one begun."""


def fetch_file(url: str, target: Path, *, sha256: str | None = None) -> str:
    """Fetch a file over HTTP to `target`, and return its SHA-256 (hex).

    What came of an interrupted fetch lies beside the target, named by what the server says of the file's version, and
    the next one goes on from there. Proxies are those of the environment.

    Args:
        url: where it is, `http` or `https`.
        target: where it goes; readers see it whole or not at all.
        sha256: its SHA-256; without it whatever comes is taken.

    Raises:
        InputError: it could not be had, or is another file than the pinned one.
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
    """What an interface answers: one JSON object.

    Raises:
        InputError: it cannot be had, or is another thing.
    """
    try:
        with _session() as session, session.get(url, timeout=TIMEOUT_SECONDS) as response:
            response.raise_for_status()
            answer = response.json()
    except requests.RequestException as error:
        raise InputError(f"{url}: cannot be fetched: {error}") from None
    if not isinstance(answer, dict):
        raise InputError(f"{url}: answers no JSON object")
    return answer


def _session() -> requests.Session:
    session = requests.Session()
    session.headers.update(AS_IT_LIES)
    retries = Retry(RETRIES, backoff_factor=BACKOFF_SECONDS, status_forcelist=PASSING_STATUSES, raise_on_status=False)
    for scheme in ("http://", "https://"):
        session.mount(scheme, HTTPAdapter(max_retries=retries))
    return session


def _received(session: requests.Session, url: str, target: Path, sha256: str | None) -> Path:
    """The whole file under a temporary name."""
    for retry in range(RETRIES + 1):
        try:
            return _receive(session, url, target, sha256)
        except (requests.exceptions.InvalidSchema, requests.exceptions.MissingSchema, requests.HTTPError) as error:
            raise InputError(f"{url}: cannot be fetched: {error}") from None
        except (requests.RequestException, HTTPError, _StoppedError) as error:
            logger.warning("%s: %s", url, error)
            if retry == RETRIES:
                raise InputError(f"{url}: cannot be fetched: {error}; what came is kept, try again") from None
            time.sleep(BACKOFF_SECONDS * 2**retry)
    raise AssertionError


def _receive(session: requests.Session, url: str, target: Path, sha256: str | None) -> Path:
    with session.get(url, stream=True, timeout=TIMEOUT_SECONDS) as response:
        response.raise_for_status()
        version = _version(response)
        size = int(response.headers["Content-Length"]) if "Content-Length" in response.headers else None
        partial = target.with_name(f".{target.name}.{digest([url, version, size, sha256])[:12]}.part")
        had = partial.stat().st_size if partial.exists() else 0
        # Without a pin or a version nobody knows whether the rest is of the same file.
        if not had or size is None or had > size or (version is None and sha256 is None):
            _write(response, partial, 0, size)
            return partial
    if had < size:
        with session.get(url, stream=True, timeout=TIMEOUT_SECONDS, headers={"Range": f"bytes={had}-"}) as rest:
            rest.raise_for_status()
            if _version(rest) != version:
                raise _StoppedError("it was replaced while it was fetched")
            goes_on = rest.headers.get("Content-Range", "").startswith(f"bytes {had}-")
            _write(rest, partial, had if goes_on else 0, size)
    return partial


def _version(response: requests.Response) -> str | None:
    return response.headers.get("ETag") or response.headers.get("Last-Modified")


def _write(response: requests.Response, partial: Path, had: int, size: int | None) -> None:
    """Write a response's body into the file from `had` bytes on."""
    with partial.open("ab" if had else "wb") as file, Progress("fetching", size, "bytes") as bar:
        bar.update(had)
        for chunk in response.raw.stream(CHUNK_BYTES, decode_content=False):
            file.write(chunk)
            bar.update(len(chunk))
    if size is not None and partial.stat().st_size != size:
        raise _StoppedError(f"{partial.stat().st_size} of {size} bytes came")
