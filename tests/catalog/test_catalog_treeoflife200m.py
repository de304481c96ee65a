"""The reader of TreeOfLife-200M's metadata."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from workflow_scripts.catalog.treeoflife200m import read_treeoflife200m
from workflow_scripts.common.config.catalog import TreeOfLife200M
from workflow_scripts.common.errors import InputError

Parquet = Callable[..., Path]


def record(uuid: str, **values: Any) -> dict[str, Any]:
    """A row with the catalogue's columns."""
    return {
        "uuid": uuid,
        "source_url": f"https://host.org/{uuid}.jpg",
        "kingdom": "Animalia",
        "phylum": "Chordata",
        "class": "Aves",
        "order": "Passeriformes",
        "family": "Corvidae",
        "genus": "Pica",
        "species": "hudsonia",
        "scientific_name": "Pica hudsonia",
        "common": "black-billed magpie",
        "data_source": "gbif",
        "publisher": "iNaturalist.org",
        "basisOfRecord": "HUMAN_OBSERVATION",
        "img_type": "Citizen Science",
        "source_id": "123",
        "shard_filename": "shard-00001.tar",
        "shard_file_path": "x/shard-00001.tar",
        "base_dataset_file_path": "y",
    } | values


def read(
    tmp_path: Path, catalog: Path, provenance: Path | None = None, select: str | None = None, threads: int = 1
) -> tuple[dict[str, dict[str, Any]], dict[str, Any]]:
    out, account = tmp_path / "records.parquet", tmp_path / "account.json"
    read_treeoflife200m(
        catalog=catalog,
        provenance=provenance,
        settings=TreeOfLife200M(name="tol", reader="treeoflife200m", catalog=str(catalog), select=select),
        out=out,
        account=account,
        memory_mb=500,
        threads=threads,
    )
    return {row["uuid"]: row for row in pq.read_table(out).to_pylist()}, json.loads(account.read_text())


def test_published_uuids_stay_and_provenance_gives_the_licence(tmp_path: Path, parquet: Parquet) -> None:
    catalog = parquet("catalog.parquet", [record("a"), record("b", source_id="77")])
    provenance = parquet(
        "provenance.parquet",
        [
            {"uuid": "a", "license_name": "CC BY-NC 4.0", "copyright_owner": "Ana", "license_link": None, "title": "T"},
            {"uuid": "z", "license_name": "CC0", "copyright_owner": "Bo", "license_link": None, "title": "U"},
        ],
    )
    records, account = read(tmp_path, catalog, provenance)
    assert set(records) == {"a", "b"}
    assert (records["a"]["license"], records["a"]["copyright_owner"], records["a"]["title"]) == (
        "CC-BY-NC-4.0",
        "Ana",
        "T",
    )
    assert records["b"]["license_name"] is None
    assert records["b"]["occurrence_id"] == "gbif:77"
    assert records["a"]["label_id"] == records["b"]["label_id"]
    assert (account["rows_in"], account["kept"]) == (2, 2)


def test_white_space_around_a_url_is_removed(tmp_path: Path, parquet: Parquet) -> None:
    records, _ = read(tmp_path, parquet("catalog.parquet", [record("a", source_url=" https://host.org/a.jpg\r\n")]))
    assert records["a"]["source_url"] == "https://host.org/a.jpg"


def test_both_spellings_of_basis_of_record_are_read(tmp_path: Path, parquet: Parquet) -> None:
    row = record("a")
    row["basis_of_record"] = row.pop("basisOfRecord")
    records, _ = read(tmp_path, parquet("catalog.parquet", [row]))
    assert records["a"]["basisOfRecord"] == "HUMAN_OBSERVATION"


def test_unselected_and_invalid_rows_are_counted(tmp_path: Path, parquet: Parquet) -> None:
    catalog = parquet(
        "catalog.parquet",
        [
            record("a"),
            record("a", source_url="https://host.org/other.jpg"),
            record("b", source_url=None),
            record("c", **{"class": "Mammalia"}),
            record("d", source_url="gopher://x"),
        ],
    )
    records, account = read(tmp_path, catalog, select="class = 'Aves'")
    assert account["dropped"] == {"bad_url": 1, "no_url": 1, "not_selected": 1, "repeated": 1}
    assert (account["rows_in"], account["kept"], set(records)) == (5, 1, {"a"})


def test_order_and_threads_change_no_byte(tmp_path: Path, parquet: Parquet) -> None:
    rows = [record(f"{n % 40}", source_url=f"https://h.org/{n}.jpg", species=f"s{n % 7}") for n in range(60)]
    read(tmp_path, parquet("catalog.parquet", rows))
    once = (tmp_path / "records.parquet").read_bytes()
    read(tmp_path, parquet("catalog.parquet", rows[::-1]), threads=2)
    assert (tmp_path / "records.parquet").read_bytes() == once


def test_missing_columns_are_named(tmp_path: Path, parquet: Parquet) -> None:
    catalog = parquet("catalog.parquet", [{"uuid": "a", "url": "b"}])
    with pytest.raises(InputError, match=r"catalog\.parquet: .*source_url.*uuid, url"):
        read(tmp_path, catalog)
    whole = parquet("whole.parquet", [record("a")])
    with pytest.raises(InputError, match=r"source tol: select: .*colour"):
        read(tmp_path, whole, select="colour = 'red'")
    with pytest.raises(InputError, match="missing"):
        read(tmp_path, whole, provenance=tmp_path / "nowhere.parquet")
    assert not (tmp_path / "records.parquet").exists()
