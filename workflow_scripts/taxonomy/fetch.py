"""Fetch a published checklist by its URL. This step needs the internet."""

from pathlib import Path

from workflow_scripts.common.cli import run
from workflow_scripts.common.web_files import fetch_file


def fetch(*, url: str, out: Path, sha256: str | None = None) -> None:
    """Fetch a checklist's archive, completely or not at all; an interrupted fetch resumes.

    Args:
        url: the archive of one release.
        out: output file.
        sha256: expected SHA-256. Default: any content is accepted, and its digest is logged.

    Raises:
        InputError: it could not be had, or is another file than the pinned one.
    """
    fetch_file(url, out, sha256=sha256)


if __name__ == "__main__":
    run(fetch)
