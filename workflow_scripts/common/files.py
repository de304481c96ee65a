"""Atomic writing of files, and digests of their contents."""

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
    """The files and folders that a glob finds, in no order; none where it is no glob."""
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
def whole(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`, renamed to it when the block ends well and removed when it does not.

    The data is on disk before the rename, so a reader sees the old file, the new file, or none.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # The suffix stays last: some writers choose their format, or add an ending, by it.
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
    """Check, before the work, that a file can be written.

    Raises:
        InputError: its folder cannot be made or written to, or it is a folder itself.
    """
    try:
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".can-write-"):
            pass
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror}") from None


def check_not_read(out: Path, *read: Path | None) -> None:
    """Check that what is written is none of the files that are read, by any of their paths.

    Raises:
        InputError: it is.
    """
    for path in read:
        if path is not None and path.exists() and out.exists() and out.samefile(path):
            raise InputError(f"{out}: is what is read; name another file with --out")


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 text file whole."""
    with whole(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file whole, with sorted keys, so that equal values give equal bytes."""
    write_text(path, json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n")


def link(source: Path, target: Path) -> None:
    """Make `target` the same file as `source`: a hard link, or a whole copy where the file system has none."""
    with whole(target) as temporary:
        try:
            os.link(source, temporary)
        except OSError:
            shutil.copyfile(source, temporary)
