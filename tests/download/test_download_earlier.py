"""Results of earlier work of the corpus are reused, and only the remaining images are requested."""

import json
import socket
import time
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from tests.download.takedown import take_down
from workflow_scripts.common import tables
from workflow_scripts.common.config.download import DownloadLimits, DownloadSettings
from workflow_scripts.contracts import LEDGER
from workflow_scripts.download import acquisition
from workflow_scripts.download.earlier import MEASURES
from workflow_scripts.download.fetch import fetch
from workflow_scripts.download.passes import Passes

PLACES = {"tar", "offset"}


@pytest.fixture
def urls(server: Any) -> dict[str, str]:
    """Images and failures of every kind, not requested yet."""
    server.asked.clear()
    kinds = ("ok", "large", "missing", "html", "cut", "bomb", "noai", "small", "broken")
    return {f"u-{kind}": server.url(f"{kind}/{number}") for number, kind in enumerate(kinds, start=800)}


def pictures(run: Any) -> dict[str, bytes]:
    """The kept JPEGs by uuid."""
    tars = run.tars()
    return {
        uuid: tars[row["tar"]][row["offset"] : row["offset"] + row["size"]]
        for uuid, row in run.rows().items()
        if row["status"] == "ok"
    }


def without_places(rows: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {uuid: {name: value for name, value in row.items() if name not in PLACES} for uuid, row in rows.items()}


def asked_since(server: Any, before: Any) -> set[str]:
    return {path.strip("/").partition("/")[0] for path in server.asked - before}


def test_unrelated_settings_request_nothing_again(
    tmp_path: Path, server: Any, make_part: Any, make_run: Any, urls: dict[str, str]
) -> None:
    run = make_run(tmp_path, make_part(tmp_path, urls))
    first, kept = run(), pictures(run)
    assert {"ok", "failed", "refused"} <= {row["status"] for row in first.values()}
    before = server.asked.copy()
    # Another key: other tars, and another number of passes for transient failures.
    second = run({"images_per_tar": 3, "passes": 1})
    assert len(list(run.work.glob("*/done.json"))) == 2
    assert asked_since(server, before) == {"broken"}
    assert pictures(run) == kept
    lasting = first.keys() - {"u-broken"}
    assert without_places({uuid: second[uuid] for uuid in lasting}) == without_places(
        {uuid: first[uuid] for uuid in lasting}
    )
    assert len(run.tars()) == 3


@pytest.mark.parametrize(
    ("settings", "asked"),
    [
        ({"content_types": ["*/*"]}, {"html"}),
        ({"max_pixels": 100}, {"bomb"}),
        ({"max_bytes": 4_000_000}, {"bomb"}),
        ({"respect_robots": False}, {"noai"}),
        ({"hosts": {"127.0.0.1": {"max_bytes": 1_000_000}}}, {"bomb"}),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_more_permissive_setting_requests_only_what_it_had_refused(
    server: Any, run_of: Any, urls: dict[str, str], settings: dict[str, Any], asked: set[str]
) -> None:
    run = run_of(urls)
    run()
    kept, before = pictures(run), server.asked.copy()
    second = run(settings)
    assert asked_since(server, before) == asked
    assert second["u-broken"]["status"] == "failed"
    assert {uuid: jpeg for uuid, jpeg in pictures(run).items() if uuid in kept} == kept
    if "respect_robots" in settings:
        assert second["u-noai"]["status"] == "ok"


@pytest.mark.parametrize(
    "settings", [{"max_size": 300}, {"jpeg_quality": 60}, {"min_size": 0}], ids=lambda value: next(iter(value))
)
def test_other_picture_settings_fetch_images_again(
    tmp_path: Path, server: Any, make_part: Any, make_run: Any, settings: dict[str, Any]
) -> None:
    server.asked.clear()
    run = make_run(tmp_path, make_part(tmp_path, {"a": server.url("ok/821")}))
    run()
    run(settings)
    assert server.asked["/ok/821"] == 2


def test_settings_of_one_host_request_nothing_from_others(server: Any, run_of: Any) -> None:
    server.asked.clear()
    port = server.http.server_port
    hosts = [f"127.0.0.{number}:{port}" for number in (1, 2)]
    run = run_of({f"u{host}".replace(".", "-").replace(":", "-"): f"http://{host}/bomb/{host[8]}" for host in hosts})
    assert {row["status"] for row in run().values()} == {"refused"}
    run({"hosts": {"127.0.0.2": {"max_pixels": 1_000_000_000, "max_bytes": 1_000_000}}})
    assert (server.asked["/bomb/1"], server.asked["/bomb/2"]) == (1, 2)


def test_images_at_a_private_address_are_refused_until_it_is_allowed(
    server: Any, run_of: Any, urls: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    port, private = server.http.server_port, {}
    for number in range(150):
        private |= {f"v{number}": f"http://127.0.0.9:{port}/ok/{900 + number}"}
        private |= {f"w{number}": f"http://inside.example:{port}/moved/{900 + number}"}
    look_up = socket.getaddrinfo
    monkeypatch.setattr(
        "socket.getaddrinfo",
        lambda host, *more, **how: look_up("127.0.0.9" if host == "inside.example" else host, *more, **how),
    )
    run = run_of(urls | private)
    asked = {"allow_hosts": ["127.0.0.1"]}
    started = time.monotonic()
    first = run(asked, hosts={name: {"connections": 1, "rate": 0.5} for name in ("127.0.0.9", "inside.example")})
    assert time.monotonic() - started < 20, "what nobody is asked for waits for no turn"
    refused = {
        (first[uuid]["status"], first[uuid]["error"].partition(":")[0], first[uuid]["attempts"]) for uuid in private
    }
    assert refused == {("refused", "disallowed_address", 0)}
    before = server.asked.copy()
    second = run({"allow_hosts": ["127.0.0.1", "127.0.0.9"]})
    assert {second[uuid]["status"] for uuid in private} == {"ok"}
    assert asked_since(server, before) == {"ok", "moved"}
    assert {server.asked[f"/moved/{900 + number}"] for number in range(150)} == {1}
    assert without_places({uuid: second[uuid] for uuid in urls}) == without_places({uuid: first[uuid] for uuid in urls})


def test_another_url_crop_or_version_is_fetched_again(
    tmp_path: Path, server: Any, make_part: Any, make_run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.asked.clear()
    run = make_run(tmp_path, make_part(tmp_path, {"a": server.url("ok/831")}))
    run()
    make_part(tmp_path, {"a": server.url("ok/832")})
    run()
    assert (server.asked["/ok/831"], server.asked["/ok/832"]) == (1, 1)
    make_part(tmp_path, {"a": server.url("ok/832")}, crop={"x": 0, "y": 0, "width": 250, "height": 230})
    run()
    assert server.asked["/ok/832"] == 2
    monkeypatch.setattr("workflow_scripts.download.fetch.versioned", lambda step: {"step": step, "version": "1-edited"})
    run()
    assert server.asked["/ok/832"] == 3
    # A smaller rendition has another URL.
    run({"hosts": {"127.0.0.1": {"rewrite": {"pattern": "/ok/", "replacement": "/moved/"}}}})
    assert server.asked["/moved/832"] == 1


def test_results_of_unfinished_work_are_reused(tmp_path: Path, server: Any, make_part: Any, make_run: Any) -> None:
    server.asked.clear()
    urls = {f"u{number}": server.url(f"{'flaky' if number % 2 else 'ok'}/{840 + number}") for number in range(8)}
    run = make_run(tmp_path, make_part(tmp_path, urls))
    with mock.patch.object(Passes, "_wait", side_effect=KeyboardInterrupt), pytest.raises(KeyboardInterrupt):
        run()
    rows = run({"images_per_tar": 4})
    assert {row["status"] for row in rows.values()} == {"ok"}
    assert {server.asked[f"/ok/{840 + number}"] for number in (0, 2, 4, 6)} == {1}
    assert len(list(run.work.glob("*/done.json"))) == 1


def test_an_image_that_moved_to_another_part_is_reused(
    tmp_path: Path, server: Any, make_part: Any, make_run: Any
) -> None:
    server.asked.clear()
    folder = tmp_path / "catalog/g000"
    folder.mkdir(parents=True)
    urls = {f"u{number}": server.url(f"ok/{850 + number}") for number in range(6)}
    names = list(urls)

    def deal(first: list[str], second: list[str]) -> list[Any]:
        runs = []
        for number, uuids in enumerate((first, second)):
            part = make_part(folder, {uuid: urls[uuid] for uuid in uuids}, name=f"part-{number:04d}")
            run = make_run(tmp_path, part)
            run.out = tmp_path / f"out-{number}"
            run()
            runs.append(run)
        return runs

    one, two = deal(names[:4], names[4:])
    kept = pictures(one) | pictures(two)
    one, two = deal(names[:2], names[2:])
    assert pictures(one) | pictures(two) == kept
    assert set(server.asked.values()) == {1}


def test_images_taken_down_are_not_reused_from_earlier_work(
    tmp_path: Path, server: Any, make_part: Any, make_run: Any
) -> None:
    server.asked.clear()
    urls = {"by-id": server.url("ok/861"), "by-bytes": server.url("ok/862"), "other": server.url("ok/863")}
    run = make_run(tmp_path, make_part(tmp_path, urls))
    md5 = run()["by-bytes"]["md5"]
    ledger = tmp_path / "ledger.parquet"
    rows = [
        {"uuid": "by-id", "md5": None, "date": "2026-01-31", "reason": "asked for"},
        {"uuid": "elsewhere", "md5": md5, "date": "2026-01-31", "reason": "asked for"},
    ]
    tables.write_rows(rows, LEDGER, ledger)
    # Earlier work still contains them, as after an interrupted takedown.
    fetch(
        part=run.part,
        settings=DownloadSettings(images_per_tar=2, allow_hosts=["127.0.0.0/8"]),
        limits=DownloadLimits(wait=0),
        work=run.work,
        out_dir=run.out,
        ledger=ledger,
    )
    found = run.rows()
    assert {uuid: row["status"] for uuid, row in found.items()} == {
        "by-id": "refused",
        "by-bytes": "refused",
        "other": "ok",
    }
    assert all(found[uuid]["error"].startswith("taken_down") for uuid in ("by-id", "by-bytes"))
    assert set(server.asked.values()) == {1}


def test_a_takedown_also_removes_images_from_earlier_work(
    tmp_path: Path, server: Any, make_part: Any, make_run: Any
) -> None:
    server.asked.clear()
    place = tmp_path / "corpus"
    run = make_run(tmp_path, make_part(tmp_path, {"gone": server.url("ok/871"), "other": server.url("ok/872")}))
    run.work, run.out = place / ".work/download", place / "download/part-0000"
    run()
    run({"images_per_tar": 1})
    take_down(place, "gone")
    assert run.rows()["gone"]["status"] == "refused"
    assert not [tar for tar in run.work.rglob("*.tar") if b"gone.jpg" in tar.read_bytes()]


def test_images_of_a_changed_tar_are_requested_again(
    tmp_path: Path, server: Any, make_part: Any, make_run: Any
) -> None:
    server.asked.clear()
    run = make_run(tmp_path, make_part(tmp_path, {f"u{n}": server.url(f"ok/{880 + n}") for n in range(3)}))
    first = run({"images_per_tar": 2})
    kept = pictures(run)
    (done,) = run.work.glob("*/done.json")
    tar = done.with_name(first["u1"]["tar"])
    data = bytearray(tar.read_bytes())
    # Damage in the middle; the start and end markers are unchanged.
    data[first["u1"]["offset"] + first["u1"]["size"] // 2] ^= 1
    tar.unlink()
    tar.write_bytes(data)
    assert json.loads(done.read_text())["files"]
    second = run({"images_per_tar": 3})
    assert {row["status"] for row in second.values()} == {"ok"}
    assert pictures(run) == kept
    beside = {uuid for uuid in first if first[uuid]["tar"] == first["u1"]["tar"]}
    assert 1 < len(beside) < 3
    assert {f"u{n}": server.asked[f"/ok/{880 + n}"] for n in range(3)} == {uuid: 1 + (uuid in beside) for uuid in first}
    assert all(second[uuid][name] == first[uuid][name] for uuid in first for name in MEASURES)
    assert acquisition.MANIFEST in json.loads(done.read_text())["files"]


def test_respecting_robots_requests_images_again_that_were_fetched_without(
    server: Any, run_of: Any, urls: dict[str, str]
) -> None:
    run = run_of(urls)
    assert run({"respect_robots": False})["u-noai"]["status"] == "ok"
    before = server.asked.copy()
    rows = run()
    assert rows["u-noai"]["status"] == "refused"
    assert "noai" in asked_since(server, before)
    assert "missing" not in asked_since(server, before), "what failed for good stays"
