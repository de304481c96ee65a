"""Download a part over real HTTP: every row has its outcome, and kept images match the served ones."""

import hashlib
import os
import tarfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.messages import says
from workflow_scripts.common import images, tables
from workflow_scripts.common.accounts import read_account
from workflow_scripts.contracts import DOWNLOAD_REASONS, TO_FETCH
from workflow_scripts.download.part_files import part_digest

# kind of answer -> status, reason, HTTP code, attempts
EXPECTED: dict[str, tuple[str, str | None, int | None, int]] = {
    "ok": ("ok", None, 200, 1),
    "large": ("ok", None, 200, 1),
    "moved": ("ok", None, 200, 1),
    "busy": ("ok", None, 200, 2),
    "flaky": ("ok", None, 200, 2),
    "missing": ("failed", "http_error", 404, 1),
    "broken": ("failed", "http_error", 500, 2),
    "html": ("failed", "not_an_image", 200, 1),
    "empty": ("failed", "not_an_image", 204, 1),
    "cut": ("failed", "truncated", 200, 1),
    "short": ("failed", "connection", 200, 2),
    "bomb": ("refused", "too_large", 200, 1),
    "endless": ("refused", "too_large", 200, 1),
    "gzip": ("refused", "too_large", 200, 1),
    "hang": ("failed", "timeout", None, 2),
    "drip": ("failed", "timeout", 200, 2),
    "inside": ("refused", "disallowed_address", 302, 1),
    "file": ("refused", "disallowed_address", 302, 1),
    "loop": ("failed", "http_error", 302, 1),
    "small": ("refused", "too_small", 200, 1),
    "noai": ("refused", "disallowed_by_robots", 200, 1),
}
ODD = {
    "x-gopher": ("gopher://images.example/1", "disallowed_address"),
    "x-bracket": ("http://[bad/1", "other"),
    "x-words": ("no address at all", "other"),
    "x-metadata": ("http://169.254.169.254/latest", "disallowed_address"),
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, server: Any, make_part: Any, make_run: Any) -> Any:
    """One run over every kind of answer, which the tests below check."""
    folder = tmp_path_factory.mktemp("finished")
    urls = {f"{kind}-{number}": server.url(f"{kind}/{number}") for kind in EXPECTED for number in range(2)}
    run = make_run(folder, make_part(folder, urls | {uuid: url for uuid, (url, _) in ODD.items()}))
    run()
    return run


@pytest.mark.parametrize("kind", EXPECTED)
def test_an_answer_gets_its_status_reason_code_and_attempts(finished: Any, kind: str) -> None:
    row = finished.rows()[f"{kind}-0"]
    reason = row["error"] and row["error"].partition(":")[0]
    assert (row["status"], reason, row["http_status"], row["attempts"]) == EXPECTED[kind]
    assert reason is None or reason in DOWNLOAD_REASONS


@pytest.mark.parametrize("uuid", ODD)
def test_only_public_http_addresses_are_requested(finished: Any, uuid: str) -> None:
    row = finished.rows()[uuid]
    assert row["error"].partition(":")[0] == ODD[uuid][1]
    assert row["http_status"] is None


def test_permanent_failures_are_requested_once_and_the_user_agent_has_the_contact(finished: Any, server: Any) -> None:
    once = [kind for kind, (_, _, _, attempts) in EXPECTED.items() if attempts == 1 and kind not in ("ok", "loop")]
    assert {kind: server.asked[f"/{kind}/0"] for kind in once} == dict.fromkeys(once, 1)
    (agent,) = server.agents
    assert "someone@example.org" in agent


def test_the_account_sums_up_the_manifest(finished: Any) -> None:
    account = read_account(finished.out / "account.json")
    rows = list(finished.rows().values())
    assert account.rows_in == len(rows) == 2 * len(EXPECTED) + len(ODD)
    assert account.kept == sum(row["status"] == "ok" for row in rows) == 10
    assert account.dropped["too_large"] == 6
    assert account.notes["attempts"] == sum(row["attempts"] for row in rows)
    assert account.notes["retried"] == 2 * sum(attempts > 1 for *_, attempts in EXPECTED.values())


def test_offsets_locate_the_members_which_are_sorted_by_uuid(finished: Any) -> None:
    kept = {uuid: row for uuid, row in finished.rows().items() if row["status"] == "ok"}
    seen = []
    for name, data in finished.tars().items():
        with tarfile.open(finished.out / name) as tar:
            for member in tar:
                uuid = member.name.removesuffix(".jpg")
                opened = tar.extractfile(member)
                assert opened is not None
                row = kept[uuid]
                assert row["tar"] == name
                assert data[row["offset"] : row["offset"] + row["size"]] == opened.read()
                assert (member.mtime, member.uid, member.gid) == (0, 0, 0)
                seen.append(uuid)
    assert seen == sorted(kept)


def test_kept_images_match_the_served_ones(finished: Any, make_picture: Callable[..., bytes]) -> None:
    rows, tars = finished.rows(), finished.tars()
    for uuid, original in (
        ("ok-1", make_picture(1)),
        ("flaky-1", make_picture(1)),
        ("large-1", make_picture(1, 1600, 1200)),
    ):
        row = rows[uuid]
        assert row["md5"] == hashlib.md5(original).hexdigest()
        assert row["pdq"] == images.pdq(images.decode(original, at_least=images.HASHED_AT))
        kept = images.decode(tars[row["tar"]][row["offset"] : row["offset"] + row["size"]])
        assert kept.shape == (row["height"], row["width"], 3)
        wanted = images.scale_down(images.decode(original), 720)
        assert np.abs(kept.astype(int) - wanted).mean() < 3
    assert (rows["large-1"]["original_width"], rows["large-1"]["width"], rows["large-1"]["height"]) == (1600, 720, 540)
    assert rows["moved-1"]["final_url"].endswith("/ok/1")


def test_finished_work_is_adopted_whatever_the_limits(finished: Any, server: Any) -> None:
    asked, manifest = sum(server.asked.values()), (finished.out / "manifest.parquet").read_bytes()
    (finished.out / "manifest.parquet").unlink()
    finished(threads=3, timeout=7, wait=0)
    assert sum(server.asked.values()) == asked
    assert (finished.out / "manifest.parquet").read_bytes() == manifest


def test_other_settings_download_again_beside_the_earlier_work(
    tmp_path: Path, server: Any, make_part: Any, make_run: Any
) -> None:
    run = make_run(tmp_path, make_part(tmp_path, {"a": server.url("ok/50"), "b": server.url("ok/51")}))
    run()
    run({"jpeg_quality": 50})
    assert server.asked["/ok/50"] == 2
    run()
    assert server.asked["/ok/50"] == 2


def test_the_same_bodies_give_the_same_tars_whatever_the_threads(
    tmp_path: Path, server: Any, make_part: Any, make_run: Any
) -> None:
    urls = {f"u{number:02d}": server.url(f"{'flaky' if number % 5 else 'ok'}/{100 + number}") for number in range(20)}
    part = make_part(tmp_path, urls)
    one, other = make_run(tmp_path / "one", part), make_run(tmp_path / "other", part)
    one({"images_per_tar": 8}, threads=7)
    other({"images_per_tar": 8}, threads=1)
    assert list(one.tars()) == ["images-00000.tar", "images-00001.tar", "images-00002.tar"]
    assert one.tars() == other.tars()
    # The hosts fail in the first run only.
    assert {row["attempts"] for row in one.rows().values()} == {1, 2}
    assert {row["attempts"] for row in other.rows().values()} == {1}


def test_loopback_gets_no_request_unless_it_is_allowed(
    tmp_path: Path, server: Any, make_part: Any, make_run: Any
) -> None:
    port = server.http.server_port
    names = ("127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "2130706433", "0")
    urls = {f"u{number}": f"http://{name}:{port}/ok/{200 + number}" for number, name in enumerate(names)}
    run = make_run(tmp_path, make_part(tmp_path, urls))
    rows = run({"allow_hosts": ["10.0.0.0/8", "elsewhere.example"]})
    assert {row["error"].partition(":")[0] for row in rows.values()} == {"disallowed_address"}
    assert not any(server.asked[f"/ok/{200 + number}"] for number in range(len(names)))


def test_a_host_that_asks_to_wait_an_hour_gets_no_further_requests(
    tmp_path: Path, server: Any, make_part: Any, make_run: Any
) -> None:
    urls = {"a": server.url("patience/1"), **{f"b{number}": server.url(f"ok/{300 + number}") for number in range(5)}}
    started = time.monotonic()
    rows = make_run(tmp_path, make_part(tmp_path, urls))(threads=1)
    assert time.monotonic() - started < 10
    assert {row["status"] for row in rows.values()} == {"deferred"}
    assert server.asked["/patience/1"] == 1
    assert not any(server.asked[f"/ok/{300 + number}"] for number in range(5))
    assert read_account(tmp_path / "out" / "account.json").notes["deferred"] == 6


def test_retry_after_is_obeyed(tmp_path: Path, server: Any, make_part: Any, make_run: Any) -> None:
    started = time.monotonic()
    rows = make_run(tmp_path, make_part(tmp_path, {"a": server.url("busy/400")}))(wait=0)
    assert time.monotonic() - started >= 1
    assert (rows["a"]["status"], rows["a"]["attempts"]) == ("ok", 2)


def test_rows_may_share_a_url_and_differ_in_their_crop(
    tmp_path: Path, server: Any, make_part: Any, make_run: Any
) -> None:
    crop = {"x": 1, "y": 2, "width": 30, "height": 40}
    urls = {uuid: server.url("ok/500") for uuid in ("a", "b")}
    rows = make_run(tmp_path, make_part(tmp_path, urls, crop=crop))()
    assert {row["status"] for row in rows.values()} == {"ok"}
    assert rows["a"]["md5"] == rows["b"]["md5"]


def test_local_files_are_verified_without_http(
    tmp_path: Path, server: Any, make_part: Any, make_run: Any, make_picture: Callable[..., bytes]
) -> None:
    asked = sum(server.asked.values())
    (tmp_path / "good image é.png").write_bytes(make_picture(1, form="PNG"))
    (tmp_path / "tiny.png").write_bytes(make_picture(1, 20, 20, form="PNG"))
    (tmp_path / "text.jpg").write_text("no image")
    (tmp_path / "long.jpg").write_bytes(bytes(5_000_001))
    os.mkfifo(tmp_path / "pipe.jpg")
    names = ("good image é.png", "tiny.png", "text.jpg", "long.jpg", "pipe.jpg", "absent.jpg", "")
    urls = {f"u{number}": str(tmp_path / name) for number, name in enumerate(names)}
    rows = make_run(tmp_path, make_part(tmp_path, urls))()
    errors = [rows[uuid]["error"] and rows[uuid]["error"].partition(":")[0] for uuid in urls]
    missing = ["missing_file"] * 3
    assert errors == [None, "too_small", "not_an_image", "too_large", *missing]
    assert {row["attempts"] for row in rows.values()} == {1}
    assert sum(server.asked.values()) == asked


def test_a_part_without_rows_gives_an_empty_manifest(tmp_path: Path, make_part: Any, make_run: Any) -> None:
    run = make_run(tmp_path, make_part(tmp_path, {}))
    assert run() == {}
    assert read_account(tmp_path / "out" / "account.json").rows_in == 0


def test_a_proxy_from_the_environment_is_used_and_names_are_checked_first(
    tmp_path: Path, server: Any, make_part: Any, make_run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", f"http://user:word@{server.host}")
    urls = {
        "a": "http://images.example/ok/600",
        **{f"b{number}": f"http://{host}/ok/601" for number, host in enumerate(("127.0.0.1", "0x7f.1", "a.localhost"))},
    }
    rows = make_run(tmp_path, make_part(tmp_path, urls))({"allow_hosts": []})
    assert rows["a"]["status"] == "ok"
    assert {rows[f"b{number}"]["error"].partition(":")[0] for number in range(3)} == {"disallowed_address"}
    assert (server.asked["/ok/600"], server.asked["/ok/601"]) == (1, 0)


def test_the_digest_of_a_long_part_needs_no_more_memory_than_that_of_a_short_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = "'u' || range AS uuid, 'http://a.example/' || range AS source_url, 'a.example' AS host, NULL AS crop"
    with tables.connect() as connection:
        tables.write(connection, f"SELECT {rows} FROM range(300_000)", TO_FETCH, tmp_path / "long.parquet")
        tables.write(connection, f"SELECT {rows} FROM range(2)", TO_FETCH, tmp_path / "short.parquet")
    monkeypatch.setattr("workflow_scripts.download.part_files.MEMORY_MB", 64)
    lines = "".join(hashlib.md5(f"u{n}\nhttp://a.example/{n}\na.example".encode()).hexdigest() for n in range(2))
    assert part_digest(tmp_path / "short.parquet") == f"2 rows, {hashlib.md5(lines.encode()).hexdigest()}"
    assert part_digest(tmp_path / "long.parquet").startswith("300000 rows, ")


def test_the_log_counts_images_and_ends_with_the_account(
    server: Any, run_of: Any, caplog: pytest.LogCaptureFixture
) -> None:
    urls = {f"good{number}": server.url(f"ok/{number}") for number in range(3)}
    run = run_of(urls | {"gone": server.url("missing/1"), "page": server.url("html/1")})
    with caplog.at_level("INFO"):
        run({"passes": 1})
        lines = [record.getMessage() for record in caplog.records]
        counted = next(line for line in lines if line.startswith("download part-0000:"))
        assert says(counted, "3 of 5 images", "2 lost")
        assert says(lines[-1], "part-0000", "3 of 5 images", "http_error", "not_an_image")
        caplog.clear()
        # Adopting finished work logs the account too.
        run({"passes": 1})
        assert caplog.records[-1].getMessage() == lines[-1]
