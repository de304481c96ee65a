"""Retries of failed images, and the commands `status` and `estimate`."""

import json
import shutil
import urllib.request
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest

from tests.download.takedown import take_down
from tests.messages import says
from workflow_scripts.common import tables
from workflow_scripts.common.accounts import read_account
from workflow_scripts.common.config.download import DownloadLimits, DownloadSettings, HostLimits
from workflow_scripts.common.errors import BusyError, InputError
from workflow_scripts.common.files import write_json
from workflow_scripts.common.work_folder import WorkFolder, open_work_folder
from workflow_scripts.contracts import LEDGER
from workflow_scripts.download import retry as retry_module
from workflow_scripts.download.estimate import estimate
from workflow_scripts.download.fetch import work_key
from workflow_scripts.download.retry import Retry, retry
from workflow_scripts.download.status import status

LIMITS = DownloadLimits(default_host=HostLimits(connections=8, rate=1000), wait=0)
SETTINGS = DownloadSettings(images_per_tar=20, max_bytes=5_000_000, passes=1, allow_hosts=["127.0.0.0/8"])


@pytest.fixture
def retry_runs(tmp_path: Path) -> Callable[[Any], dict[str, dict[str, Any]]]:
    """Retries the failures of some runs; returns the first one's manifest rows by uuid."""

    def do(*runs: Any) -> Any:
        retry(
            parts=tuple(run.part for run in runs),
            manifests=tuple(run.out / "manifest.parquet" for run in runs),
            settings=SETTINGS,
            limits=LIMITS,
            work=runs[0].work,
        )
        return runs[0].rows()

    return do


def test_only_transient_failures_are_retried(
    tmp_path: Path, server: Any, make_part: Any, make_run: Any, retry_runs: Any
) -> None:
    with urllib.request.urlopen(server.url("ok/9")) as answer:
        late = answer.read()
    server.asked.clear()
    urls = {"flaky": server.url("flaky/701"), "gone": server.url("missing/701"), "good": server.url("ok/701")}
    run = make_run(tmp_path, make_part(tmp_path, urls | {"file": str(tmp_path / "late.png")}))
    rows = run({"passes": 1})
    assert {uuid: row["status"] for uuid, row in rows.items()} == {
        "flaky": "failed",
        "gone": "failed",
        "good": "ok",
        "file": "failed",
    }
    (tmp_path / "late.png").write_bytes(late)
    after = retry_runs(run)
    assert {uuid: row["status"] for uuid, row in after.items()} == {
        "flaky": "ok",
        "gone": "failed",
        "good": "ok",
        "file": "ok",
    }
    assert after["good"] == rows["good"]
    assert (after["flaky"]["attempts"], server.asked["/ok/701"], server.asked["/missing/701"]) == (2, 1, 1)
    for row in (after["flaky"], after["file"]):
        assert run.tars()[row["tar"]][row["offset"] : row["offset"] + 2] == b"\xff\xd8"
    assert read_account(run.out / "account.json").kept == 3
    # The download step adopts the result of the retry.
    assert run({"passes": 1}) == after
    assert sum(server.asked.values()) == 4


def test_a_retry_without_new_images_changes_nothing(
    tmp_path: Path, server: Any, make_part: Any, make_run: Any, retry_runs: Any
) -> None:
    run = make_run(tmp_path, make_part(tmp_path, {"a": server.url("broken/702"), "b": server.url("ok/702")}))
    run({"passes": 1})
    manifest = run.out / "manifest.parquet"
    before, when = manifest.read_bytes(), manifest.stat().st_mtime_ns
    retry_runs(run)
    assert (manifest.read_bytes(), manifest.stat().st_mtime_ns) == (before, when)
    assert sorted(path.name for path in run.out.iterdir() if not path.name.startswith(".")) == [
        "account.json",
        "images-00000.tar",
        "manifest.parquet",
    ]


def test_parts_are_retried_together_and_only_those_with_new_images_change(
    tmp_path: Path, server: Any, make_part: Any, make_run: Any, retry_runs: Any
) -> None:
    server.asked.clear()
    urls = [
        {"a": server.url("flaky/704"), "b": server.url("ok/704")},
        {"c": server.url("broken/705"), "d": server.url("ok/705")},
        {"e": server.url("ok/706"), "f": server.url("flaky/706"), "g": server.url("broken/706")},
    ]
    runs = []
    for number, of_part in enumerate(urls):
        run = make_run(tmp_path, make_part(tmp_path, of_part, name=f"part-{number:04d}"))
        run.out = tmp_path / f"out-{number}"
        run({"passes": 1})
        runs.append(run)
    manifests = [run.out / "manifest.parquet" for run in runs]
    before = [manifest.read_bytes() for manifest in manifests]
    retry_runs(*runs)
    changed = [manifest.read_bytes() != old for manifest, old in zip(manifests, before, strict=True)]
    assert changed == [True, False, True]
    assert (runs[0].rows()["a"]["tar"], runs[2].rows()["f"]["tar"]) == ("images-retry-00.tar", "images-retry-00.tar")
    assert (runs[2].rows()["g"]["status"], runs[2].rows()["g"]["attempts"]) == ("failed", 2)
    assert not [path for path in run.work.iterdir() if path.is_dir() and path.name.startswith("retry")]
    # A further retry requests the remaining transient failures and changes nothing.
    before = [manifest.read_bytes() for manifest in manifests]
    retry_runs(*runs)
    assert [manifest.read_bytes() for manifest in manifests] == before
    assert server.asked["/broken/706"] == 3


@pytest.fixture
def half_done(tmp_path: Path, server: Any, make_part: Any, make_run: Any) -> Any:
    """A part with one downloaded and one failed image."""
    server.asked.clear()
    run = make_run(tmp_path, make_part(tmp_path, {"a": server.url("flaky/707"), "b": server.url("ok/707")}))
    run({"passes": 1})
    return run


@pytest.mark.parametrize("moment", ["acquired", "unaccounted", "unfinished", "unpublished"])
def test_a_killed_retry_resumes_and_requests_nothing_twice(
    half_done: Any, server: Any, retry_runs: Any, moment: str
) -> None:
    run = half_done
    killed: dict[str, tuple[Any, str]] = {
        "acquired": (Retry, "_merge"),
        "unaccounted": (retry_module, "write_account"),
        "unfinished": (WorkFolder, "finish"),
    }
    owner, method = killed.get(moment, (WorkFolder, "publish"))
    with mock.patch.object(owner, method, side_effect=KeyboardInterrupt), pytest.raises(KeyboardInterrupt):
        retry_runs(run)
    assert retry_runs(run)["a"]["status"] == "ok"
    assert read_account(run.out / "account.json").kept == 2
    assert (server.asked["/flaky/707"], server.asked["/ok/707"]) == (2, 1)
    assert run({"passes": 1})["a"]["status"] == "ok"
    assert (server.asked["/flaky/707"], server.asked["/ok/707"]) == (2, 1)


@pytest.mark.parametrize("gone", [["to_retry.parquet"], ["to_retry.parquet", "manifest.parquet"]])
def test_a_retry_killed_during_its_cleanup_is_not_resumed(
    server: Any, run_of: Any, retry_runs: Any, monkeypatch: pytest.MonkeyPatch, gone: list[str]
) -> None:
    server.asked.clear()
    run = run_of({"a": server.url("flaky/710"), "b": server.url("broken/710")})
    run({"passes": 1})
    rmtree = shutil.rmtree

    def die(folder: Any, **options: Any) -> None:
        if "retry-" not in Path(folder).name or not Path(folder).exists():
            rmtree(folder, **options)
            return
        for name in gone:
            (folder / name).unlink()
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(shutil, "rmtree", die)
        with pytest.raises(KeyboardInterrupt):
            retry_runs(run)
    assert server.asked["/broken/710"] == 2
    retry_runs(run)
    assert (server.asked["/flaky/710"], server.asked["/broken/710"]) == (2, 3)
    assert not [path for path in run.work.iterdir() if "retry-" in path.name]


def test_an_image_taken_down_after_a_killed_retry_is_not_merged_by_the_next(
    tmp_path: Path, server: Any, run_of: Any
) -> None:
    run = run_of({"a": server.url("flaky/712"), "b": server.url("flaky/713")})
    run.work, run.out = tmp_path / ".work/download", tmp_path / "download/part-0000"
    run({"passes": 1})
    ledger = tmp_path / "ledger.parquet"
    try_again = partial(
        retry,
        parts=(run.part,),
        manifests=(run.out / "manifest.parquet",),
        settings=SETTINGS,
        limits=LIMITS,
        work=run.work,
        ledger=ledger,
    )
    with mock.patch.object(Retry, "_merge", side_effect=KeyboardInterrupt), pytest.raises(KeyboardInterrupt):
        try_again()
    tables.write_rows([{"uuid": "a", "date": "2026-01-31", "reason": "asked for"}], LEDGER, ledger)
    take_down(tmp_path, "a")
    try_again()
    rows = run.rows()
    assert {uuid: row["status"] for uuid, row in rows.items()} == {"a": "refused", "b": "ok"}
    assert rows["a"]["error"] == "taken_down"


def test_a_further_retry_overwrites_no_earlier_tar(
    tmp_path: Path, server: Any, run_of: Any, retry_runs: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def later(self: Any, to: Any, number: int, asked: int) -> None:
        self.do_ok(to, number, asked) if asked > number else self.do_broken(to, number, asked)

    monkeypatch.setattr(type(server), "do_later", later, raising=False)
    run = run_of({uuid: server.url(f"later/{times}") for times, uuid in enumerate("abc", start=1)})
    run.work, run.out = tmp_path / ".work/download", tmp_path / "download/part-0000"
    run({"passes": 1})
    retry_runs(run)
    before = retry_runs(run)["b"]
    data = run.tars()[before["tar"]]
    take_down(tmp_path, "a")
    after = retry_runs(run)
    assert {uuid: row["status"] for uuid, row in after.items()} == {"a": "refused", "b": "ok", "c": "ok"}
    assert after["b"] == before
    assert run.tars()[before["tar"]] == data
    asked = sum(server.asked.values())
    assert run({"passes": 1}) == after
    assert sum(server.asked.values()) == asked


def test_replay_is_retried_with_its_own_settings(tmp_path: Path, server: Any, make_part: Any, make_run: Any) -> None:
    server.asked.clear()
    own = {"passes": 1, "jpeg_quality": 50}
    corpus = make_run(tmp_path, make_part(tmp_path, {"a": server.url("ok/708")}))
    corpus({"passes": 1})
    replay = make_run(tmp_path, make_part(tmp_path, {"b": server.url("flaky/709")}, name="replay"))
    replay.out = tmp_path / "replay"
    replay(own)
    retry(
        parts=(corpus.part,),
        manifests=(corpus.out / "manifest.parquet",),
        settings=SETTINGS,
        replay_parts=(replay.part,),
        replay_manifests=(replay.out / "manifest.parquet",),
        replay_settings=SETTINGS.model_copy(update=own),
        limits=LIMITS,
        work=corpus.work,
    )
    assert replay.rows()["b"]["status"] == "ok"
    assert server.asked["/ok/708"] == 1


def test_a_part_that_was_not_downloaded_cannot_be_retried(
    tmp_path: Path, make_part: Any, make_run: Any, retry_runs: Any
) -> None:
    run = make_run(tmp_path, make_part(tmp_path, {"a": "/nowhere"}))
    with pytest.raises(InputError, match=f"{run.part}: .*snakemake fetch"):
        retry_runs(run)


def test_a_second_process_on_a_part_stops_with_a_message(
    tmp_path: Path, make_part: Any, make_run: Any, retry_runs: Any
) -> None:
    run = make_run(tmp_path, make_part(tmp_path, {"a": "/nowhere"}))
    with open_work_folder(run.work, work_key(run.part, SETTINGS)), pytest.raises(BusyError, match="in use by process"):
        run({"passes": 1})


def test_after_close_after_the_remaining_images_are_deferred(
    tmp_path: Path, server: Any, make_part: Any, make_run: Any, retry_runs: Any
) -> None:
    server.asked.clear()
    run = make_run(tmp_path, make_part(tmp_path, {"a": server.url("ok/703")}))
    rows = run({"passes": 1}, close_after=datetime.now(UTC) - timedelta(seconds=1))
    assert (rows["a"]["status"], rows["a"]["error"]) == ("deferred", "other: closed before it was asked for")
    assert not server.asked
    assert retry_runs(run)["a"]["status"] == "ok"


def test_estimate_counts_images_files_and_days(
    tmp_path: Path, make_part: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    urls = {f"u{number}": f"http://{'ab'[number % 2]}.example/{number}" for number in range(50)}
    estimate(
        parts=(make_part(tmp_path, urls),),
        settings=DownloadSettings(images_per_tar=20),
        limits=DownloadLimits(hosts={"a.example": HostLimits(rate=0.001, connections=1)}),
    )
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "50 images, 50 requests to 2 hosts"
    assert lines[2] == "6 files (3 tars)"
    assert says(lines[1], "75 MB", "7 MB", "1.5 MB", "140 kB")
    assert lines[3].startswith("at least 6.9 h ")
    assert lines[4].split()[:5] == ["a.example", "25", "images", "6.9", "h"]
    assert lines[5].split()[3:5] == ["6", "s"]
    estimate(
        parts=(tmp_path / "part-0000.parquet",),
        settings=DownloadSettings(images_per_tar=20),
        limits=DownloadLimits(hosts={"a.example": HostLimits(rate=0.001, connections=1)}),
        json_lines=True,
    )
    told = json.loads(capsys.readouterr().out)
    assert (told["images"], told["bytes_to_fetch"], told["files"], told["tars"]) == (50, 75_000_000, 6, 3)
    assert told["hosts"][0] == {"host": "a.example", "images": 25, "seconds": 25_000}


def test_status_reads_each_work_folder_once_for_any_number_of_parts(
    tmp_path: Path, make_part: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "catalog/g000").mkdir(parents=True)
    for number in range(4):
        make_part(tmp_path / "catalog/g000", {f"u{number}": "http://a.example/1"}, name=f"part-{number:04d}")
        write_json(
            tmp_path / f".work/download/{number}/key.json", {"name": f"part-{number:04d}", "part": "an older one"}
        )
    read: list[str] = []

    def noted(text: str) -> Any:
        read.append(text)
        return json.loads(text)

    monkeypatch.setattr("workflow_scripts.download.status.json", SimpleNamespace(loads=noted))
    status(corpus=tmp_path)
    assert capsys.readouterr().out.startswith("0 of 4 parts done\n")
    assert len(read) == 4


def test_status_shows_parts_hosts_and_time_left(
    tmp_path: Path, server: Any, make_part: Any, make_run: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    corpus = tmp_path / "corpus"
    (corpus / "catalog/g000").mkdir(parents=True)
    for number in range(2):
        urls = {f"u{number}-{image}": server.url(f"ok/{image}") for image in range(3)}
        part = make_part(corpus / "catalog/g000", urls, name=f"part-{number:04d}")
    run = make_run(tmp_path, part)
    run.out = corpus / "download/part-0001"
    run()
    status(corpus=corpus)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "1 of 2 parts done"
    assert lines[1].split()[:6] == [server.host, "3", "of", "6", "(3", "ok),"]
    assert lines[1].endswith(" left")
    assert lines[2].split()[:5] == ["all", "hosts", "3", "of", "6"]
    status(corpus=corpus, json_lines=True)
    told = json.loads(capsys.readouterr().out)
    assert (told["parts"], told["parts_done"]) == (2, 1)
    (host,) = told["hosts"]
    assert (host["host"], host["images"], host["done"], host["ok"]) == (server.host, 6, 3, 3)
    with pytest.raises(InputError, match="absent: no catalog"):
        status(corpus=tmp_path / "absent")


def test_estimate_counts_days_by_bytes_too(tmp_path: Path, make_part: Any, capsys: pytest.CaptureFixture[str]) -> None:
    urls = {f"u{number}": f"http://static.inaturalist.org/{number}" for number in range(100)}
    estimate(
        parts=(make_part(tmp_path, urls),),
        settings=DownloadSettings(),
        limits=DownloadLimits(hosts={"static.inaturalist.org": HostLimits(rate=0.5, connections=1)}),
        bytes_served=600_000_000,
    )
    # 60 GB at 24 GB a day: iNaturalist's published limit applies without being in the config.
    assert says(capsys.readouterr().out, "2.5 days", "static.inaturalist.org", "0.5/s", "5 GB/hour", "24 GB/day")
