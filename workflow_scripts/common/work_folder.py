"""Costly work is done once: a folder named by a digest of everything that the work depends on.

A costly step opens its folder by key. If the key's work is finished, it verifies it and publishes it again in
seconds; if it was interrupted, it goes on where it stopped; another key never reads or destroys it. One writer at a
time, to a work folder and to the folder where readers look: an exclusive lock that names host, process and job, and
beats while its holder lives. It is flock where every node honours it; the beat guards where each node keeps its own.
"""

import fcntl
import json
import logging
import os
import signal
import socket
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from workflow_scripts.common import job_costs
from workflow_scripts.common.code_digest import PACKAGE, code_digest
from workflow_scripts.common.errors import BusyError, InputError
from workflow_scripts.common.files import digest, link, sha256_file, write_json, write_text

logger = logging.getLogger(__name__)

KEY_LENGTH = 16
BEAT_SECONDS = 10.0
# Another host's lock counts as left behind when it has not beaten for this long.
STALE_SECONDS = 120.0
POLL_SECONDS = 1.0
DONE = "done.json"
CODE = "code.txt"


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
        finished = self._is_whole()
        job_costs.note("adopted" if finished else "done")
        return finished

    def _is_whole(self) -> bool:
        try:
            files = dict(json.loads((self.path / DONE).read_text())["files"])
        except FileNotFoundError:
            return False
        except (ValueError, TypeError, KeyError):
            logger.warning("%s: unreadable done.json; the work counts as unfinished", self.path)
            return False
        for name, checksum in files.items():
            file = self.path / name
            if not file.is_file() or sha256_file(file) != checksum:
                logger.warning("%s: missing or changed after it was finished; the work is redone", file)
                return False
        return True

    def sums(self) -> dict[str, str]:
        """The SHA-256 of each file as it was when the work was finished; nothing when it is not."""
        try:
            return dict(json.loads((self.path / DONE).read_text())["files"])
        except FileNotFoundError:
            return {}

    def finish(self, files: Iterable[str], known: Mapping[str, str] = {}) -> None:
        """Record that the work is whole and consists of `files` (names within the folder), with their SHA-256.

        Args:
            files: the names.
            known: the sums of files that have not changed, which are not read again.
        """
        record = {name: known.get(name) or sha256_file(self.path / name) for name in sorted(files)}
        write_json(self.path / DONE, {"key": self.key, "files": record})

    def publish(self, target: Path, last: str) -> None:
        """Link the finished files into `target`; the file named `last`, which readers wait for, comes last.

        Files in `target` that an earlier key published and this one does not have are removed from it (they stay in
        the earlier key's folder).
        """
        names = list(json.loads((self.path / DONE).read_text())["files"])
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
def open_work_folder(
    root: Path, key: Mapping[str, Any], *, target: Path | None = None, wait: bool = True
) -> Iterator[WorkFolder]:
    """Hold the folder `root`/<digest of key>, made if need be.

    Args:
        root: where a stage keeps its work folders.
        key: what the work depends on: digests of inputs, settings, version. JSON-serialisable. Where it names a `step`,
            the digests of the code that worked here stand in `code.txt`: a version covers more than one.
        target: the file that readers wait for, when this work is published under one name by one job at a time: a job
            of an older key that outlived its Snakemake is waited for, so that it never publishes over a newer one.
        wait: when another process holds the folder, wait until it is done, and adopt its work, instead of raising.

    Raises:
        BusyError: another process holds the folder and `wait` is false.
        InputError: the file system knows no locks.
    """
    path = root / digest(key)[:KEY_LENGTH]
    publishing = exclusive(_lock_of(target), wait=wait) if target else nullcontext()
    with publishing, exclusive(path / "lock", wait=wait):
        recorded = path / "key.json"
        if not recorded.exists():
            write_json(recorded, key)
        if "step" in key and not (path / DONE).exists():
            _note_code(path / CODE, code_digest(f"{PACKAGE}.{key['step']}"))
        yield WorkFolder(path, key)


def _note_code(path: Path, code: str) -> None:
    known = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    if code not in known:
        write_text(path, "".join(f"{line}\n" for line in [*known, code]))


def holding_job(target: Path) -> str | None:
    """The cluster's job that is (or was, when it died) at the work published as `target`."""
    return _holder(_lock_of(target)).get("job")


def _lock_of(target: Path) -> Path:
    return target.with_name(f".{target.name}.lock")


@contextmanager
def exclusive(path: Path, *, wait: bool = True) -> Iterator[None]:
    """Hold a lock file, alone among all processes of all nodes; see `open_work_folder`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    token = uuid.uuid4().hex
    said = False
    while True:
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        holder = _try_lock(file, path, token)
        if holder is None:
            break
        os.close(file)
        message = f"{path}: in use by {holder}"
        if not wait:
            raise BusyError(f"{message}; wait until it ends, or end it")
        if not said:
            logger.warning("%s; waiting for it", message)
            sys.stderr.write(f"{message}; waiting for it\n")
            said = True
        time.sleep(POLL_SECONDS)
    stop = threading.Event()
    beat = threading.Thread(target=_beat, args=(path, token, stop), daemon=True)
    beat.start()
    try:
        yield
    finally:
        stop.set()
        beat.join()
        if _holder(path).get("token") == token:
            os.ftruncate(file, 0)
        os.close(file)


def _try_lock(file: int, path: Path, token: str) -> str | None:
    """Take the lock and return None, or return who holds it."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return _describe(_holder(path))
    except OSError as error:
        raise InputError(
            f"{path}: this file system has no file locks ({error}); keep results on one that has"
        ) from None
    holder = _holder(path)
    # With flock held, a record from this host is a dead process's. Another host may not see our flock: trust its beat.
    if holder.get("host", socket.gethostname()) != socket.gethostname():
        silent = _seconds_since_change(path)
        if silent < STALE_SECONDS:
            return f"{_describe(holder)}, last heard {silent:.0f} s ago"
        logger.warning("%s: taken over from %s, silent for %.0f s", path, _describe(holder), silent)
    record = {"host": socket.gethostname(), "pid": os.getpid(), "job": os.environ.get("SLURM_JOB_ID"), "token": token}
    os.ftruncate(file, 0)
    os.pwrite(file, json.dumps(record | {"since": time.strftime("%Y-%m-%dT%H:%M:%S%z")}).encode(), 0)
    os.fsync(file)
    return None


def _seconds_since_change(path: Path) -> float:
    """By the file system's own clock, which may differ from this machine's."""
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".now-") as now:
        return os.fstat(now.fileno()).st_mtime - path.stat().st_mtime


def _holder(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text() or "{}"))
    except (ValueError, TypeError, FileNotFoundError):
        return {}


def _describe(holder: Mapping[str, Any]) -> str:
    job = f", job {holder['job']}" if holder.get("job") else ""
    return f"process {holder.get('pid', '?')} on {holder.get('host', '?')}{job}, since {holder.get('since', '?')}"


def _beat(path: Path, token: str, stop: threading.Event) -> None:
    while not stop.wait(BEAT_SECONDS):
        try:
            if _holder(path).get("token") != token:
                # Somebody held us for dead and writes there now: two writers would be worse than none.
                logger.critical("%s: taken over by %s; ending", path, _describe(_holder(path)))
                os.kill(os.getpid(), signal.SIGTERM)
                return
            os.utime(path)
        except OSError as error:
            logger.warning("%s: heartbeat failed: %s", path, error)


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
    with open_work_folder(root, key, target=target / last, wait=wait) as folder:
        adopted = folder.finished
        if adopted:
            logger.info("%s: finished before; adopted", folder.path)
        else:
            folder.finish(work(folder))
        folder.publish(target, last)
    return adopted
