"""Digests of files, to compare folders."""

from pathlib import Path

from workflow_scripts.common.files import sha256_file


def digests(folder: Path, *patterns: str) -> dict[str, str]:
    """SHA-256 of the folder's files that match any of the patterns (default: of all its files), by relative path."""
    found = {path for pattern in patterns or ("**/*",) for path in folder.glob(pattern) if path.is_file()}
    return {str(path.relative_to(folder)): sha256_file(path) for path in sorted(found)}
