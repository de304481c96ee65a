"""After a download: what failed is tried again alone, and where it stands is read from files."""

import urllib.request
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from workflow_scripts.common.accounts import read_account
from workflow_scripts.common.config.download import DownloadLimits, DownloadSettings, HostLimits
from workflow_scripts.common.errors import BusyError, InputError
from workflow_scripts.common.work_folder import open_work_folder
from workflow_scripts.download.estimate import estimate
from workflow_scripts.download.fetch import work_key
from workflow_scripts.download.retry import retry
from workflow_scripts.download.status import status


@pytest.fixture
def again(tmp_path: Path) -> Callable[[Any], dict[str, dict[str, Any]]]:
    """Tries a run's failures again; the manifest's rows by uuid."""

    def do(run: Any) -> Any:
        limits = DownloadLimits(allow_hosts=["127.0.0.0/8"], default_host=HostLimits(connections=8, rate=1000), wait=0)
        settings = DownloadSettings(images_per_tar=20, max_bytes=5_000_000, passes=1)
        retry(part=run.part, settings=settings, limits=limits, work=run.work, out_dir=run.out)
        return run.rows()

    return do


def test_only_what_failed_in_passing_is_tried_again(
    tmp_path: Path, server: Any, make_part: Any, make_run: Any, again: Any
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
    after = again(run)
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
    # The download itself adopts all of it.
    assert run({"passes": 1}) == after
    assert sum(server.asked.values()) == 4


def test_when_nothing_comes_nothing_changes(
    tmp_path: Path, server: Any, make_part: Any, make_run: Any, again: Any
) -> None:
    run = make_run(tmp_path, make_part(tmp_path, {"a": server.url("broken/702"), "b": server.url("ok/702")}))
    run({"passes": 1})
    manifest = run.out / "manifest.parquet"
    before, when = manifest.read_bytes(), manifest.stat().st_mtime_ns
    again(run)
    assert (manifest.read_bytes(), manifest.stat().st_mtime_ns) == (before, when)
    assert sorted(path.name for path in run.out.iterdir() if not path.name.startswith(".")) == [
        "account.json",
        "images-00000.tar",
        "manifest.parquet",
    ]


def test_a_part_that_is_not_downloaded_is_not_tried_again(
    tmp_path: Path, make_part: Any, make_run: Any, again: Any
) -> None:
    run = make_run(tmp_path, make_part(tmp_path, {"a": "/nowhere"}))
    with pytest.raises(InputError, match="not downloaded yet"):
        again(run)


def test_a_second_process_on_a_part_says_so_and_stops(
    tmp_path: Path, make_part: Any, make_run: Any, again: Any
) -> None:
    run = make_run(tmp_path, make_part(tmp_path, {"a": "/nowhere"}))
    settings = DownloadSettings(images_per_tar=20, max_bytes=5_000_000, passes=1)
    with open_work_folder(run.work, work_key(run.part, settings)), pytest.raises(BusyError, match="in use by process"):
        run({"passes": 1})


def test_after_closing_the_rest_is_deferred(
    tmp_path: Path, server: Any, make_part: Any, make_run: Any, again: Any
) -> None:
    server.asked.clear()
    run = make_run(tmp_path, make_part(tmp_path, {"a": server.url("ok/703")}))
    rows = run({"passes": 1}, close_after=datetime.now(UTC) - timedelta(seconds=1))
    assert (rows["a"]["status"], rows["a"]["error"]) == ("deferred", "other: closed before it was asked for")
    assert not server.asked
    assert again(run)["a"]["status"] == "ok"


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
    assert lines[3].startswith("0.29 days")
    assert lines[4].split()[:5] == ["a.example", "25", "images", "0.289", "days"]


def test_status_reads_where_things_stand(
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
    with pytest.raises(InputError, match="no catalogue there"):
        status(corpus=tmp_path / "absent")
