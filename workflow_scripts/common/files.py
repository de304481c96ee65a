"""Write files atomically, and compute digests of their contents."""

import errno
import hashlib
import json
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from workflow_scripts.common.errors import InputError


def digest(value: Any) -> str:
    """SHA-256 (hex) of a JSON-serialisable value in canonical form: sorted keys, no white space."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def matching(pattern: str) -> list[Path]:
    """The files and folders that match a glob, unordered; empty if the pattern is invalid."""
    path = Path(pattern)
    try:
        return list(Path(path.anchor).glob(str(path.relative_to(path.anchor))))
    except ValueError:
        return []


def sha256_file(path: Path) -> str:
    """SHA-256 (hex) of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`, which is renamed to it at the end of the block, or removed on an error.

    Data is flushed to disk before the rename, so that readers see the old file, the complete new file, or none.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # Keep the suffix, by which some writers choose the format.
    temporary = path.with_name(f".{path.stem}.{uuid.uuid4().hex[:12]}.tmp{path.suffix}")
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        with suppress(FileNotFoundError):
            temporary.unlink()


def check_writable(path: Path) -> None:
    """Check before the work starts that a file can be written.

    Raises:
        InputError: the path is a folder, or its folder cannot be created or written to.
    """
    try:
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        folder = next(filter(os.path.exists, path.absolute().parents))
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".can-write-"):
            pass
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror}") from None


def check_not_read(out: Path, *read: Path | None) -> None:
    """Check that an output is not also an input, under any path.

    Raises:
        InputError: it is.
    """
    for path in read:
        if path is not None and path.exists() and out.exists() and out.samefile(path):
            raise InputError(f"{out}: is also an input; choose another file with --out")


def same_bytes(one: Path, other: Path) -> bool:
    """Whether both files exist and have the same content; links to one file are not read."""
    return one.exists() and other.exists() and (one.samefile(other) or sha256_file(one) == sha256_file(other))


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 text file atomically."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file atomically, with sorted keys, so that equal values give equal bytes."""
    write_text(path, json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n")


def link(source: Path, target: Path) -> None:
    """Hard-link `target` to `source`, or copy it if the file system has no hard links; atomic."""
    with atomic(target) as temporary:
        try:
            os.link(source, temporary)
        except OSError:
            shutil.copyfile(source, temporary)
