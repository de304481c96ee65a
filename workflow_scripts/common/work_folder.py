"""Costly work is done once: a folder named by a digest of everything that the work depends on.

A costly step opens its folder by key. If the key's work is finished, it verifies it and publishes it again in
seconds; if it was interrupted, it goes on where it stopped; another key never reads or destroys it. One writer at a
time: an exclusive lock that names host, process and job, and beats while its holder lives.
"""

import fcntl
import json
import logging
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from workflow_scripts.common.errors import BusyError, InputError
from workflow_scripts.common.files import digest, link, sha256_file, write_json

logger = logging.getLogger(__name__)

KEY_LENGTH = 16
BEAT_SECONDS = 10.0
# A lock on a file system without flock counts as left behind when it has not beaten for this long.
STALE_SECONDS = 120.0
POLL_SECONDS = 1.0


class WorkFolder:
    """One costly step's folder, held by this process.

    Attributes:
        path: the folder; write whatever lets the work resume.
        key: what the work depends on, by name.
    """

    def __init__(self, path: Path, key: Mapping[str, Any]) -> None:
        self.path = path
        self.key = dict(key)

    @property
    def finished(self) -> bool:
        """Whether the work of this key is whole: finished before, and every file as it was left."""
        try:
            record = json.loads((self.path / "done.json").read_text())
        except FileNotFoundError:
            return False
        except ValueError:
            logger.warning("%s: unreadable done.json; the work is taken as unfinished", self.path)
            return False
        for name, (size, checksum) in record["files"].items():
            file = self.path / name
            if not file.is_file() or file.stat().st_size != size:
                logger.warning("%s: missing or changed since it was finished; the work is done again", file)
                return False
            # Sizes are enough for the large files: their readers check them against their manifests.
            if checksum and sha256_file(file) != checksum:
                logger.warning("%s: other bytes than when it was finished; the work is done again", file)
                return False
        return True

    def finish(self, files: Iterable[str], checked_bytes: int = 64 * 2**20) -> None:
        """Record that the work is whole and consists of `files` (names within the folder).

        Files up to `checked_bytes` are recorded with their SHA-256, larger ones with their size alone.
        """
        record = {}
        for name in sorted(files):
            file = self.path / name
            size = file.stat().st_size
            record[name] = (size, sha256_file(file) if size <= checked_bytes else None)
        write_json(self.path / "done.json", {"key": self.key, "files": record})

    def publish(self, target: Path, last: str) -> None:
        """Link the finished files into `target`; the file named `last`, which readers wait for, comes last.

        Files in `target` that an earlier key published and this one does not have are removed from it (they stay in
        the earlier key's folder).
        """
        names = list(json.loads((self.path / "done.json").read_text())["files"])
        (target / last).unlink(missing_ok=True)
        record = target / f".published-{Path(last).stem}.json"
        earlier = json.loads(record.read_text()) if record.exists() else []
        for name in set(earlier) - set(names):
            (target / name).unlink(missing_ok=True)
        write_json(record, sorted({*names, *earlier}))
        for name in sorted(set(names) - {last}):
            if not _same_file(self.path / name, target / name):
                link(self.path / name, target / name)
        write_json(record, sorted(names))
        link(self.path / last, target / last)


def _same_file(one: Path, other: Path) -> bool:
    return other.exists() and one.samefile(other)


@contextmanager
def open_work_folder(root: Path, key: Mapping[str, Any], *, wait: bool = True) -> Iterator[WorkFolder]:
    """Hold the folder `root`/<digest of key>, made if need be.

    Args:
        root: where a stage keeps its work folders.
        key: what the work depends on: digests of inputs, settings, code. JSON-serialisable.
        wait: when another process holds the folder, wait until it is done (a job that outlived its Snakemake finishes
            and its work is adopted) instead of raising.

    Raises:
        BusyError: another process holds the folder and `wait` is false.
    """
    path = root / digest(key)[:KEY_LENGTH]
    path.mkdir(parents=True, exist_ok=True)
    with _lock(path / "lock", wait=wait):
        recorded = path / "key.json"
        if not recorded.exists():
            write_json(recorded, key)
        yield WorkFolder(path, key)


@contextmanager
def _lock(path: Path, *, wait: bool) -> Iterator[None]:
    said = False
    while True:
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        holder = _try_lock(file, path)
        if holder is None:
            break
        os.close(file)
        message = f"{path.parent}: in use by {holder}"
        if not wait:
            raise BusyError(f"{message}; wait until it ends, or end it")
        if not said:
            logger.warning("%s; waiting for it", message)
            sys.stderr.write(f"{message}; waiting for it\n")
            said = True
        time.sleep(POLL_SECONDS)
    stop = threading.Event()
    beat = threading.Thread(target=_beat, args=(path, stop), daemon=True)
    beat.start()
    try:
        yield
    finally:
        stop.set()
        beat.join()
        os.ftruncate(file, 0)
        os.close(file)


def _try_lock(file: int, path: Path) -> str | None:
    """Take the lock and return None, or return who holds it."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return _describe(_holder(path))
    except OSError as error:
        logger.warning("%s: no flock here (%s); relying on the heartbeat alone", path, error)
    holder = _holder(path)
    # With flock held, a record from this host is a dead process's. Another host may not see our flock: trust its beat.
    if holder.get("host", socket.gethostname()) != socket.gethostname():
        silent = time.time() - path.stat().st_mtime
        if silent < STALE_SECONDS:
            return f"{_describe(holder)}, last heard {silent:.0f} s ago"
        logger.warning("%s: taken over from %s, silent for %.0f s", path, _describe(holder), silent)
    record = {"host": socket.gethostname(), "pid": os.getpid(), "job": os.environ.get("SLURM_JOB_ID")}
    os.ftruncate(file, 0)
    os.pwrite(file, json.dumps(record | {"since": time.strftime("%Y-%m-%dT%H:%M:%S%z")}).encode(), 0)
    os.fsync(file)
    return None


def _holder(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text() or "{}"))
    except (ValueError, FileNotFoundError):
        return {}


def _describe(holder: Mapping[str, Any]) -> str:
    job = f", job {holder['job']}" if holder.get("job") else ""
    return f"process {holder.get('pid', '?')} on {holder.get('host', '?')}{job}, since {holder.get('since', '?')}"


def _beat(path: Path, stop: threading.Event) -> None:
    while not stop.wait(BEAT_SECONDS):
        os.utime(path)


def file_digests(paths: Mapping[str, Path | Iterable[Path]]) -> dict[str, Any]:
    """SHA-256 of each named input file (or list of files), for a work folder's key.

    Raises:
        InputError: a file is missing.
    """
    sums: dict[str, Any] = {}
    for name, value in paths.items():
        files = [value] if isinstance(value, Path) else list(value)
        for file in files:
            if not file.is_file():
                raise InputError(f"{file}: missing (needed as {name})")
        checksums = [sha256_file(file) for file in files]
        sums[name] = checksums[0] if isinstance(value, Path) else checksums
    return sums


def do_once(
    root: Path,
    key: Mapping[str, Any],
    work: Callable[[WorkFolder], Iterable[str]],
    target: Path,
    last: str,
    *,
    wait: bool = True,
) -> bool:
    """Do `work` in the folder of `key` unless it is done, and publish its files into `target`.

    Args:
        root: where the stage keeps its work folders.
        key: what the work depends on.
        work: does or resumes the work in the folder and returns the names of its files.
        target: the folder where readers look.
        last: the file that readers wait for (a manifest), among the names.
        wait: wait for another process that holds the folder, as in `open_work_folder`.

    Returns:
        True when finished work was adopted and nothing was done again.
    """
    with open_work_folder(root, key, wait=wait) as folder:
        adopted = folder.finished
        if adopted:
            logger.info("%s: finished before; adopted", folder.path)
        else:
            folder.finish(work(folder))
        folder.publish(target, last)
    return adopted
