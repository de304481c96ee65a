"""The manifests of several parts are gathered into one table and one account."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from workflow_scripts.common import tables
from workflow_scripts.common.accounts import SourceRows, read_account
from workflow_scripts.common.errors import InputError
from workflow_scripts.common.tars import write_tar
from workflow_scripts.contracts import CATALOG, DOWNLOAD_HOSTS, DOWNLOADS, GATHERED_DOWNLOADS
from workflow_scripts.download.gather import gather


@pytest.fixture
def manifest_of(tmp_path: Path) -> Callable[[int], Path]:
    """Writes a part with a downloaded, a failed and a deferred image."""

    def make(part: int) -> Path:
        folder = tmp_path / f"part-{part:04d}"
        (place,) = write_tar(folder / "images-00000.tar", [(f"{part}-a", {"jpg": b"image"})])
        rows: list[dict[str, Any]] = [
            {"uuid": f"{part}-a", "status": "ok", "attempts": 1, "tar": "images-00000.tar", **place["jpg"]._asdict()},
            {"uuid": f"{part}-b", "status": "failed", "error": "http_error: 404", "attempts": 1},
            {"uuid": f"{part}-c", "status": "deferred", "error": "http_error: 429, busy", "attempts": 3},
        ]
        tables.write_rows(rows, DOWNLOADS, folder / "manifest.parquet")
        write_catalog(folder / "catalog.parquet", part, rows, "museum")
        return folder / "manifest.parquet"

    return make


def write_catalog(path: Path, part: int, rows: list[dict[str, Any]], source: str) -> None:
    images = [
        {"uuid": row["uuid"], "label_id": "l", "data_source": "gbif", "source_url": f"https://a.org/{row['uuid']}"}
        | {"host": row.get("host") or "", "generation": 0, "part": part, "catalog_source": source}
        for row in rows
    ]
    tables.write_rows(images, CATALOG, path)


def run(tmp_path: Path, manifests: list[Path], parts: list[int]) -> None:
    gather(
        catalog=tuple(manifest.with_name("catalog.parquet") for manifest in manifests),
        manifests=tuple(manifests),
        parts=tuple(parts),
        out=tmp_path / "g000.parquet",
        account=tmp_path / "g000.account.json",
        hosts=tmp_path / "g000.hosts.parquet",
        lost=tmp_path / "g000.lost.csv",
    )


def test_rows_carry_their_part_and_accounts_are_summed(tmp_path: Path, manifest_of: Callable[[int], Path]) -> None:
    run(tmp_path, [manifest_of(7), manifest_of(3)], [7, 3])
    rows = tables.read_rows(tmp_path / "g000.parquet", GATHERED_DOWNLOADS).to_pylist()
    assert [(row["uuid"], row["part"]) for row in rows] == [
        (f"{part}-{name}", part) for part in (3, 7) for name in "abc"
    ]
    account = read_account(tmp_path / "g000.account.json")
    assert (account.rows_in, account.kept, account.dropped) == (6, 2, {"http_error": 4})
    assert account.notes == {"attempts": 10, "retried": 2, "deferred": 2}
    assert account.sources == (SourceRows("museum", is_local=True, rows_in=6, kept=2, dropped={"http_error": 4}),)
    lost = (tmp_path / "g000.lost.csv").read_text().splitlines()
    assert lost[:2] == [
        "source,uuid,source_url,host,cause,detail",
        'museum,3-b,https://a.org/3-b,"",http_error,http_error: 404',
    ]
    assert len(lost) == 5


def test_failures_are_summed_by_source_host_and_cause(tmp_path: Path) -> None:
    failed = {"host": "x", "status": "failed"}
    rows: list[dict[str, Any]] = [
        failed
        | {"uuid": "a", "error": "http_error: 404", "http_status": 404, "attempts": 1, "seconds": 1.0}
        | {"unverified": True},
        failed | {"uuid": "b", "error": "http_error: 500", "http_status": 500, "attempts": 3, "seconds": 2.0},
        {"uuid": "c", "host": "x", "status": "deferred", "error": "http_error: x was stopped: it", "attempts": 0},
        {"uuid": "d", "host": "y", "status": "refused", "error": "too_small: 1 x 1", "attempts": 1, "seconds": 0.5},
    ]
    manifests = []
    for part, some in enumerate((rows[:2], rows[2:])):
        manifests.append(tmp_path / f"part-{part:04d}/manifest.parquet")
        tables.write_rows(some, DOWNLOADS, manifests[-1])
        write_catalog(manifests[-1].with_name("catalog.parquet"), part, some, "tol")
    run(tmp_path, manifests, [0, 1])
    found = [
        tuple(row.values()) for row in tables.read_rows(tmp_path / "g000.hosts.parquet", DOWNLOAD_HOSTS).to_pylist()
    ]
    assert found == [
        ("tol", "x", "deferred", "http_error", 1, 0, None, True, 0, "http_error: x was stopped: it", 1),
        ("tol", "x", "failed", "http_error", 2, 4, 1.5, False, 1, "http_error: 404", 1),
        ("tol", "y", "refused", "too_small", 1, 1, 0.5, False, 0, "too_small: 1 x 1", 0),
    ]


def test_no_parts_give_an_empty_table(tmp_path: Path) -> None:
    run(tmp_path, [], [])
    assert tables.read_rows(tmp_path / "g000.parquet", GATHERED_DOWNLOADS).num_rows == 0
    assert read_account(tmp_path / "g000.account.json").rows_in == 0


def test_a_tar_that_is_missing_or_short_is_named(tmp_path: Path, manifest_of: Callable[[int], Path]) -> None:
    manifest = manifest_of(1)
    tar = manifest.parent / "images-00000.tar"
    tar.write_bytes(tar.read_bytes()[:514])
    with pytest.raises(InputError, match=r"part-0001/images-00000\.tar: "):
        run(tmp_path, [manifest], [1])
    tar.unlink()
    with pytest.raises(InputError, match=r"part-0001/images-00000\.tar: missing"):
        run(tmp_path, [manifest], [1])
    assert not (tmp_path / "g000.parquet").exists()


def test_each_manifest_needs_its_number(tmp_path: Path, manifest_of: Callable[[int], Path]) -> None:
    with pytest.raises(InputError, match=r"\b2 manifests.*\b1 part numbers"):
        run(tmp_path, [manifest_of(1), manifest_of(2)], [1])
