"""Fetch a published checklist by its URL. This step needs the internet."""

import hashlib
import logging
from pathlib import Path

import requests

from workflow_scripts.common.cli import run
from workflow_scripts.common.errors import InputError
from workflow_scripts.common.files import whole
from workflow_scripts.common.progress import Progress

logger = logging.getLogger(__name__)

CHUNK_BYTES = 2**20
TIMEOUT_SECONDS = 60


def fetch(*, url: str, out: Path, sha256: str | None = None) -> None:
    """Fetch a checklist's archive, whole or not at all.

    Args:
        url: the archive of one release.
        out: where it goes.
        sha256: its SHA-256; without it whatever comes is taken, and its digest is logged.

    Raises:
        InputError: it could not be had, or is another file than the pinned one.
    """
    checksum = hashlib.sha256()
    try:
        with requests.get(url, stream=True, timeout=TIMEOUT_SECONDS) as response, whole(out) as temporary:
            response.raise_for_status()
            size = int(response.headers.get("Content-Length") or 0)
            progress = Progress(f"fetching {out.name}", size or None, "bytes")
            received = 0
            with temporary.open("wb") as file:
                for chunk in response.iter_content(CHUNK_BYTES):
                    file.write(chunk)
                    checksum.update(chunk)
                    received += len(chunk)
                    progress.update(len(chunk))
            if size and response.headers.get("Content-Encoding") is None and received != size:
                raise InputError(f"{url}: {received} of {size} bytes came; try again")
            if sha256 is not None and checksum.hexdigest() != sha256.lower():
                raise InputError(
                    f"{url}: SHA-256 {checksum.hexdigest()}, not the pinned {sha256}: the release was replaced, or the "
                    "pin is of another one"
                )
    except requests.RequestException as error:
        raise InputError(f"{url}: cannot be fetched: {error}") from None
    logger.info("%s: SHA-256 %s", url, checksum.hexdigest())


if __name__ == "__main__":
    run(fetch)
