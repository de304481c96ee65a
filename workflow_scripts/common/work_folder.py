"""Work folders: costly work is done once, in a folder named by a digest of everything that it depends on.

A step opens its folder by key. Finished work is verified and published again in seconds; interrupted work is resumed;
another key never reads or destroys it. Work folders and published folders have one writer at a time, by an exclusive
lock file with host, process, job and heartbeat. The lock is flock; the heartbeat covers file systems on which flock
does not reach other nodes.
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
HEARTBEAT_SECONDS = 10.0
# A lock of another host is stale without a heartbeat for this long.
STALE_SECONDS = 120.0
POLL_SECONDS = 1.0
DONE = "done.json"
CODE = "code.txt"


class WorkFolder:
    """A costly step's folder, locked by this process.

    Attributes:
        path: the folder, for results and anything needed to resume.
        key: what the work depends on, by name.
    """

    def __init__(self, path: Path, key: Mapping[str, Any]) -> None:
        self.path = path
        self.key = dict(key)

    @property
    def finished(self) -> bool:
        """Whether this key's work is finished and every file is unchanged since."""
        finished = self._is_complete()
        job_costs.note("adopted" if finished else "done")
        return finished

    def _is_complete(self) -> bool:
        try:
            files = dict(json.loads((self.path / DONE).read_text())["files"])
        except FileNotFoundError:
            return False
        except (ValueError, TypeError, KeyError):
            logger.warning("%s: done.json is unreadable; the work is treated as unfinished", self.path)
            return False
        for name, checksum in files.items():
            file = self.path / name
            if not file.is_file() or sha256_file(file) != checksum:
                logger.warning("%s: missing or changed since the work was finished; the work is redone", file)
                return False
        return True

    def sums(self) -> dict[str, str]:
        """SHA-256 of each file when the work was finished; empty if it is not."""
        try:
            return dict(json.loads((self.path / DONE).read_text())["files"])
        except FileNotFoundError:
            return {}

    def finish(self, files: Iterable[str], known: Mapping[str, str] = {}) -> None:
        """Record that the work is finished, with the SHA-256 of its files.

        Args:
            files: names of the files, within the folder.
            known: checksums of files that have not changed, which are not read again.
        """
        record = {name: known.get(name) or sha256_file(self.path / name) for name in sorted(files)}
        write_json(self.path / DONE, {"key": self.key, "files": record})

    def publish(self, target: Path, last: str) -> None:
        """Link the finished files into `target`, with `last`, the file that readers wait for, at the end.

        Files that an earlier key published and this key lacks are removed from `target`; they stay in the earlier
        key's folder.
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
    """Lock the folder `root`/<digest of key>, and create it if necessary.

    Args:
        root: the stage's folder of work folders.
        key: what the work depends on: digests of inputs, settings, version. JSON-serialisable. If it has a `step`,
            `code.txt` lists the digests of the code that ran here, because a version covers more than one.
        target: the file that readers wait for, if the work is published; locked too, so that a job of an older key
            that outlived its Snakemake never publishes over a newer one.
        wait: wait while another process has the lock, then adopt its work, instead of raising.

    Raises:
        BusyError: another process has the lock, and `wait` is false.
        InputError: the file system has no file locks.
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
    """ID of the cluster job that holds the lock of `target`, or held it when it died."""
    return _holder(_lock_of(target)).get("job")


def _lock_of(target: Path) -> Path:
    return target.with_name(f".{target.name}.lock")


@contextmanager
def exclusive(path: Path, *, wait: bool = True) -> Iterator[None]:
    """Hold a lock file exclusively among all processes of all nodes; see `open_work_folder`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    token = uuid.uuid4().hex
    reported = False
    while True:
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        holder = _try_lock(file, path, token)
        if holder is None:
            break
        os.close(file)
        message = f"{path}: in use by {holder}"
        if not wait:
            raise BusyError(f"{message}; wait until it ends, or stop it")
        if not reported:
            logger.warning("%s; waiting for it", message)
            sys.stderr.write(f"{message}; waiting for it\n")
            reported = True
        time.sleep(POLL_SECONDS)
    stop = threading.Event()
    heartbeat = threading.Thread(target=_heartbeat, args=(path, token, stop), daemon=True)
    heartbeat.start()
    try:
        yield
    finally:
        stop.set()
        heartbeat.join()
        if _holder(path).get("token") == token:
            os.ftruncate(file, 0)
        os.close(file)


def _try_lock(file: int, path: Path, token: str) -> str | None:
    """Take the lock and return None, or return a description of the holder."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return _describe(_holder(path))
    except OSError as error:
        raise InputError(
            f"{path}: this file system has no file locks ({error}); set `results` in config/site.yaml to one that has"
        ) from None
    holder = _holder(path)
    # We have the flock, so a record of this host is from a dead process. Other hosts may not see our flock: their
    # heartbeat decides.
    if holder.get("host", socket.gethostname()) != socket.gethostname():
        silent = _seconds_since_change(path)
        if silent < STALE_SECONDS:
            return f"{_describe(holder)}, last heartbeat {silent:.0f} s ago"
        logger.warning("%s: lock taken over from %s, silent for %.0f s", path, _describe(holder), silent)
    record = {"host": socket.gethostname(), "pid": os.getpid(), "job": os.environ.get("SLURM_JOB_ID"), "token": token}
    os.ftruncate(file, 0)
    os.pwrite(file, json.dumps(record | {"since": time.strftime("%Y-%m-%dT%H:%M:%S%z")}).encode(), 0)
    os.fsync(file)
    return None


def _seconds_since_change(path: Path) -> float:
    """Seconds since a file changed, by the clock of the file system, which may differ from this machine's."""
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


def _heartbeat(path: Path, token: str, stop: threading.Event) -> None:
    while not stop.wait(HEARTBEAT_SECONDS):
        try:
            if _holder(path).get("token") != token:
                # Another process found this lock stale and writes now; two writers would corrupt the work.
                logger.critical("%s: lock taken over by %s; exiting", path, _describe(_holder(path)))
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
                raise InputError(f"{file}: missing (input `{name}`)")
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
    """Do `work` in the folder of `key` unless it is finished, and publish its files into `target`.

    Args:
        root: the stage's folder of work folders.
        key: what the work depends on.
        work: does or resumes the work in the folder and returns the names of its files.
        target: the folder to publish into.
        last: name of the file that readers wait for (a manifest).
        wait: wait while another process has the lock, as in `open_work_folder`.

    Returns:
        True if finished work was adopted and nothing was redone.
    """
    with open_work_folder(root, key, target=target / last, wait=wait) as folder:
        adopted = folder.finished
        if adopted:
            logger.info("%s: already finished; adopted", folder.path)
        else:
            folder.finish(work(folder))
        folder.publish(target, last)
    return adopted
