"""Download a published checklist. This step uses the internet."""

from pathlib import Path

from workflow_scripts.common.cli import run
from workflow_scripts.common.web_files import fetch_file


def fetch(*, url: str, out: Path, sha256: str | None = None) -> None:
    """Download a checklist's archive; an interrupted download resumes.

    Args:
        url: URL of the archive of one release.
        out: the file to write.
        sha256: expected SHA-256 digest. Default: accept any content and log its digest.

    Raises:
        InputError: the download failed, or the digest differs from `sha256`.
    """
    fetch_file(url, out, sha256=sha256)


if __name__ == "__main__":
    run(fetch)
