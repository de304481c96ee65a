"""Costly work is done once, by one writer at a time."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from workflow_scripts.common.errors import BusyError, InputError
from workflow_scripts.common.work_folder import WorkFolder, do_once, open_work_folder

HOLD = """
import sys, time
from pathlib import Path
from workflow_scripts.common.work_folder import open_work_folder
with open_work_folder(Path(sys.argv[1]), {"a": 1}):
    print("held", flush=True)
    time.sleep(float(sys.argv[2]))
"""


class Work:
    """Writes two files and counts its calls."""

    def __init__(self, text: str = "data") -> None:
        self.times = 0
        self.text = text

    def __call__(self, folder: WorkFolder) -> Iterable[str]:
        self.times += 1
        (folder.path / "a.txt").write_text(self.text)
        (folder.path / "manifest.txt").write_text("1")
        return ["a.txt", "manifest.txt"]


def hold(root: Path, seconds: float) -> subprocess.Popen[str]:
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(root), str(seconds)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_finished_work_is_adopted(tmp_path: Path) -> None:
    work = Work()
    assert not do_once(tmp_path / "work", {"a": 1}, work, tmp_path / "out", "manifest.txt")
    (tmp_path / "out/manifest.txt").unlink()
    assert do_once(tmp_path / "work", {"a": 1}, work, tmp_path / "out", "manifest.txt")
    assert work.times == 1
    assert (tmp_path / "out/a.txt").read_text() == "data"


def test_another_key_leaves_the_first_ones_work(tmp_path: Path) -> None:
    do_once(tmp_path / "work", {"a": 1}, Work("one"), tmp_path / "out", "manifest.txt")
    do_once(tmp_path / "work", {"a": 2}, Work("two"), tmp_path / "out", "manifest.txt")
    assert (tmp_path / "out/a.txt").read_text() == "two"
    back = Work("never")
    assert do_once(tmp_path / "work", {"a": 1}, back, tmp_path / "out", "manifest.txt")
    assert back.times == 0
    assert (tmp_path / "out/a.txt").read_text() == "one"


def test_files_of_an_earlier_key_are_taken_from_view(tmp_path: Path) -> None:
    def more(folder: WorkFolder) -> Iterable[str]:
        (folder.path / "b.txt").write_text("b")
        return [*Work()(folder), "b.txt"]

    do_once(tmp_path / "work", {"a": 1}, more, tmp_path / "out", "manifest.txt")
    do_once(tmp_path / "work", {"a": 2}, Work(), tmp_path / "out", "manifest.txt")
    assert not (tmp_path / "out/b.txt").exists()
    assert len(list((tmp_path / "work").glob("*/b.txt"))) == 1


@pytest.mark.parametrize("damage", ["cut", "gone", "changed"])
def test_damaged_work_is_done_again(tmp_path: Path, damage: str) -> None:
    work = Work()
    do_once(tmp_path / "work", {"a": 1}, work, tmp_path / "out", "manifest.txt")
    (file,) = (tmp_path / "work").glob("*/a.txt")
    if damage == "gone":
        file.unlink()
    else:
        file.write_text("da" if damage == "cut" else "atad")
    do_once(tmp_path / "work", {"a": 1}, work, tmp_path / "out", "manifest.txt")
    assert work.times == 2
    assert (tmp_path / "out/a.txt").read_text() == "data"


def test_a_second_writer_is_refused_with_the_first_ones_host_and_pid(tmp_path: Path) -> None:
    holder = hold(tmp_path, 30)
    try:
        with (
            pytest.raises(BusyError, match=f"process {holder.pid} on "),
            open_work_folder(tmp_path, {"a": 1}, wait=False),
        ):
            pass
        with open_work_folder(tmp_path, {"a": 2}, wait=False):
            pass
    finally:
        holder.kill()
        holder.wait()


def test_a_killed_writer_leaves_no_lock(tmp_path: Path) -> None:
    holder = hold(tmp_path, 30)
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    with open_work_folder(tmp_path, {"a": 1}, wait=False) as folder:
        assert json.loads((folder.path / "lock").read_text())["pid"] == os.getpid()


def test_a_waiting_writer_goes_on_when_the_first_is_done(tmp_path: Path) -> None:
    holder = hold(tmp_path, 1.5)
    started = time.monotonic()
    with open_work_folder(tmp_path, {"a": 1}):
        assert time.monotonic() - started > 0.5
    holder.wait()


def test_a_live_writer_on_another_host_is_respected_until_it_falls_silent(tmp_path: Path) -> None:
    with open_work_folder(tmp_path, {"a": 1}) as folder:
        lock = folder.path / "lock"
    lock.write_text(json.dumps({"host": "elsewhere", "pid": 1, "job": "77", "since": "noon"}))
    with (
        pytest.raises(BusyError, match="process 1 on elsewhere, job 77"),
        open_work_folder(tmp_path, {"a": 1}, wait=False),
    ):
        pass
    long_ago = time.time() - 3600
    os.utime(lock, (long_ago, long_ago))
    with open_work_folder(tmp_path, {"a": 1}, wait=False):
        pass


def _count_in(root: Path, log: Path) -> None:
    def work(folder: WorkFolder) -> Iterable[str]:
        with log.open("a") as file:
            file.write("started\n")
        time.sleep(0.2)
        return Work()(folder)

    do_once(root / "work", {"a": 1}, work, root / "out", "manifest.txt")


def test_many_at_once_do_the_work_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=_count_in, args=(tmp_path, tmp_path / "log")) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    assert (tmp_path / "log").read_text() == "started\n"


def _publish(root: Path, text: str, seconds: float, started: Any) -> None:
    def work(folder: WorkFolder) -> Iterable[str]:
        started.set()
        time.sleep(seconds)
        return Work(text)(folder)

    do_once(root / "work", {"text": text}, work, root / "out", "manifest.txt")


def test_an_older_job_that_lives_on_never_publishes_over_a_newer_one(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    started = context.Event()
    older = context.Process(target=_publish, args=(tmp_path, "older", 1.5, started))
    older.start()
    assert started.wait(10)
    _publish(tmp_path, "newer", 0, context.Event())
    older.join()
    assert (tmp_path / "out/a.txt").read_text() == "newer"


def test_a_file_system_without_locks_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_flock(file: int, operation: int) -> None:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr("fcntl.flock", no_flock)
    with pytest.raises(InputError, match="no file locks"), open_work_folder(tmp_path, {"a": 1}):
        pass


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"files": 3}'])
def test_a_broken_record_means_unfinished_work(tmp_path: Path, text: str) -> None:
    work = Work()
    do_once(tmp_path / "work", {"a": 1}, work, tmp_path / "out", "manifest.txt")
    (done,) = (tmp_path / "work").glob("*/done.json")
    done.write_text(text)
    do_once(tmp_path / "work", {"a": 1}, work, tmp_path / "out", "manifest.txt")
    assert work.times == 2


def test_work_keeps_the_digest_of_every_code_that_was_at_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key = {"step": "shards.write", "version": "1"}
    codes = iter(["old", "new", "new", "later"])
    monkeypatch.setattr("workflow_scripts.common.work_folder.code_digest", lambda _: next(codes))
    for _ in range(3):
        with open_work_folder(tmp_path / "work", key):
            pass
    do_once(tmp_path / "work", key, Work(), tmp_path / "out", "manifest.txt")
    assert do_once(tmp_path / "work", key, Work("never"), tmp_path / "out", "manifest.txt")
    (file,) = (tmp_path / "work").glob("*/code.txt")
    assert file.read_text().split() == ["old", "new", "later"]
