"""A killed download resumes, and img2dataset only ever uses this project's fetch function."""

import os
import signal
import time
from collections import Counter
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from img2dataset import downloader as img2dataset_downloader

from workflow_scripts.common import images, tables
from workflow_scripts.common.errors import InputError
from workflow_scripts.download import acquisition
from workflow_scripts.download.passes import Passes

SHARD = 5
ROWS = 25


@pytest.fixture
def slow(server: Any) -> Any:
    """The server, answering slowly, with its counts cleared."""
    server.delay = 0.05
    server.asked.clear()
    yield server
    server.delay = 0.0


def wait_until_asked(server: Any, count: int, process: Any) -> None:
    ends = time.monotonic() + 240
    while sum(server.asked.values()) < count:
        assert process.poll() is None, process.stderr.read().decode()
        assert time.monotonic() < ends
        time.sleep(0.005)


@pytest.mark.parametrize("by", [signal.SIGKILL, signal.SIGTERM])
@pytest.mark.slow
def test_after_a_kill_only_the_shard_in_progress_is_fetched_again(
    tmp_path: Path, slow: Any, make_part: Any, make_run: Any, by: signal.Signals
) -> None:
    urls = {f"u{number:02d}": slow.url(f"ok/{number}") for number in range(ROWS)}
    run = make_run(tmp_path, make_part(tmp_path, urls))
    process = run.start({"images_per_tar": SHARD}, threads=2)
    wait_until_asked(slow, 2 * SHARD + 2, process)
    os.kill(process.pid, by)
    assert process.wait(timeout=60) == (128 + by if by == signal.SIGTERM else -by)
    assert not (run.out / "manifest.parquet").exists()
    rows = run({"images_per_tar": SHARD}, threads=2)
    assert {row["status"] for row in rows.values()} == {"ok"}
    again = [path for path, count in slow.asked.items() if count > 1]
    assert set(slow.asked.values()) <= {1, 2}
    assert again, "the kill came too late to show anything"
    shards = {int(path.rpartition("/")[2]) // SHARD for path in again}
    assert len(shards) == 1, "more than the shard in hand was fetched again"
    run({"images_per_tar": SHARD})
    assert sum(slow.asked.values()) == ROWS + len(again)


def test_a_kill_between_passes_keeps_the_first_pass(tmp_path: Path, server: Any, make_part: Any, make_run: Any) -> None:
    server.asked.clear()
    urls = {f"u{number}": server.url(f"{'flaky' if number % 2 else 'ok'}/{number}") for number in range(8)}
    run = make_run(tmp_path, make_part(tmp_path, urls))
    with mock.patch.object(Passes, "_wait", side_effect=KeyboardInterrupt), pytest.raises(KeyboardInterrupt):
        run()
    rows = run()
    assert {row["status"] for row in rows.values()} == {"ok"}
    assert [server.asked[f"/ok/{number}"] for number in (0, 2, 4, 6)] == [1] * 4
    assert [server.asked[f"/flaky/{number}"] for number in (1, 3, 5, 7)] == [2] * 4


def test_a_kill_before_the_work_is_recorded_downloads_nothing_again(
    tmp_path: Path, server: Any, make_part: Any, make_run: Any
) -> None:
    server.asked.clear()
    run = make_run(tmp_path, make_part(tmp_path, {"a": server.url("ok/1")}))
    run()
    (folder,) = run.work.iterdir()
    (folder / "done.json").unlink()
    (folder / "pass-1").mkdir()
    assert run()["a"]["status"] == "ok"
    assert server.asked["/ok/1"] == 1


def test_later_passes_are_read_once_however_many_tars_there_are(
    server: Any, run_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.asked.clear()
    scan_named, read = tables.scan_named, Counter[str]()

    def noted(paths: Any) -> str:
        read.update(map(str, paths if isinstance(paths, list) else [paths]))
        return scan_named(paths)

    monkeypatch.setattr(tables, "scan_named", noted)
    run = run_of({f"u{number}": server.url(f"flaky/{740 + number}") for number in range(8)})
    rows = run({"images_per_tar": 2})
    assert {(row["status"], row["attempts"]) for row in rows.values()} == {("ok", 2)}
    assert len(run.tars()) == 4
    assert {count for path, count in read.items() if "pass-2" in path} == {1}


def test_a_damaged_tar_is_downloaded_again(tmp_path: Path, server: Any, make_part: Any, make_run: Any) -> None:
    server.asked.clear()
    run = make_run(tmp_path, make_part(tmp_path, {"a": server.url("ok/1")}))
    run()
    before = run.tars()
    os.truncate(run.out / "images-00000.tar", 600)
    run()
    assert server.asked["/ok/1"] == 2
    assert run.tars() == before


@pytest.mark.parametrize("removals", [1, 2, 3])
def test_damaged_work_is_not_adopted_after_a_kill_during_its_removal(
    server: Any, run_of: Any, monkeypatch: pytest.MonkeyPatch, removals: int
) -> None:
    server.asked.clear()
    run = run_of({"a": server.url("ok/1")})
    run()
    before = run.tars()
    os.truncate(run.out / "images-00000.tar", 600)
    unlink = Path.unlink
    removed: list[Path] = []

    def die(path: Path, missing_ok: bool = False) -> None:
        unlink(path, missing_ok=missing_ok)
        removed.append(path)
        if len(removed) == removals:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", die)
        with pytest.raises(KeyboardInterrupt):
            run()
    run()
    assert run.tars() == before
    assert server.asked["/ok/1"] == 2


def test_a_removed_shard_and_the_passes_after_it_are_fetched_again(server: Any, run_of: Any) -> None:
    server.asked.clear()
    urls = {f"u{number}": server.url(f"{'flaky' if number % 2 else 'ok'}/{720 + number}") for number in range(8)}
    run = run_of(urls)
    with mock.patch.object(acquisition, "_write_tars", side_effect=KeyboardInterrupt), pytest.raises(KeyboardInterrupt):
        run({"images_per_tar": 4})
    # A takedown does this to unfinished work.
    (taken,) = run.work.glob("*/pass-1/00000.parquet")
    taken.unlink()
    rows = run({"images_per_tar": 4})
    assert {row["status"] for row in rows.values()} == {"ok"}
    assert server.asked["/ok/724"] == 1


def test_nothing_starts_unless_img2dataset_uses_our_fetch_function(
    tmp_path: Path, server: Any, make_part: Any, make_run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def own(row: tuple[int, str], *others: Any, **options: Any) -> tuple[int, None, str]:
        return row[0], None, "img2dataset's own"

    server.asked.clear()
    monkeypatch.setattr(img2dataset_downloader, "download_image_with_retry", own)
    with pytest.raises(RuntimeError, match="fetch"):
        make_run(tmp_path, make_part(tmp_path, {"a": server.url("ok/1")}))()
    assert not server.asked


def test_img2datasets_own_fetch_function_is_never_called(server: Any) -> None:
    server.asked.clear()
    with pytest.raises(RuntimeError):
        img2dataset_downloader.download_image_with_retry((0, server.url("ok/1")), 1, 0, None, None)
    assert not server.asked


def test_bad_input_is_named(tmp_path: Path, server: Any, make_part: Any, make_run: Any) -> None:
    run = make_run(tmp_path, make_part(tmp_path, {"../evil": server.url("ok/1")}))
    with pytest.raises(InputError, match=r"uuid.*'\.\./evil'"):
        run()
    run = make_run(tmp_path, make_part(tmp_path, {"a": server.url("ok/1")}))
    with pytest.raises(InputError, match=r"allow_hosts: 10\.0\.0\.0/99"):
        run({"allow_hosts": ["10.0.0.0/99"]})
    with pytest.raises(InputError, match="missing"):
        make_run(tmp_path, tmp_path / "absent.parquet")()


def test_an_unexpected_error_fails_only_its_row(
    tmp_path: Path, server: Any, make_part: Any, make_run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stumble(image: Any) -> str:
        if image.shape[1] > 400:
            raise MemoryError("too much")
        return "0" * 64

    monkeypatch.setattr(images, "pdq", stumble)
    urls = {"a": server.url("large/1"), "b": server.url("ok/1")}
    rows = make_run(tmp_path, make_part(tmp_path, urls))()
    assert (rows["a"]["status"], rows["a"]["error"]) == ("failed", "other: MemoryError: too much")
    assert rows["b"]["status"] == "ok"
