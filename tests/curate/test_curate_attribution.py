"""Every kept image is attributed."""

from pathlib import Path
from typing import Any

from workflow_scripts.common import tables
from workflow_scripts.common.config.curate import AttributionSettings
from workflow_scripts.contracts import ATTRIBUTION, CATALOG, VERDICTS
from workflow_scripts.curate.attribute import attribute


def test_each_kept_image_names_its_owner_licence_and_what_to_cite(tmp_path: Path) -> None:
    common = {"label_id": "l", "host": "a.test", "generation": 0, "part": 0}
    rows: list[dict[str, Any]] = [
        {"uuid": "a", "data_source": "gbif", "dataset_key": "key-1", "creator": "A. Larsen", "license": "CC-BY-4.0"},
        {"uuid": "b", "data_source": "gbif", "dataset_key": "10.15468/aomfnb"},
        {"uuid": "c", "data_source": "gbif", "copyright_owner": "Museum"},
        {"uuid": "d", "data_source": "eol"},
        {"uuid": "e", "data_source": "gbif"},
    ]
    catalog = [{"source_url": f"http://a.test/{row['uuid']}"} | common | row for row in rows]
    tables.write_rows(catalog, CATALOG, tmp_path / "catalog.parquet")
    verdicts = [
        {"uuid": row["uuid"], "label_id": "l", "keep": row["uuid"] != "e", "split": "train", "part": 0} for row in rows
    ]
    tables.write_rows(verdicts, VERDICTS, tmp_path / "verdicts.parquet")
    attribute(
        catalog=(tmp_path / "catalog.parquet",),
        verdicts=tmp_path / "verdicts.parquet",
        settings=AttributionSettings(cite={"gbif": "10.1/gbif", "key-1": "10.1/dataset"}),
        out=tmp_path / "attribution.parquet",
    )
    named = {row["uuid"]: row for row in tables.read_rows(tmp_path / "attribution.parquet", ATTRIBUTION).to_pylist()}
    assert {uuid: row["cite"] for uuid, row in named.items()} == {
        "a": "10.1/dataset",
        "b": "10.15468/aomfnb",
        "c": "10.1/gbif",
        "d": None,
    }
    # Records downloaded from GBIF are cited by the DOI of the download.
    with_doi = [row | {"source_doi": "10.15468/dl.abc123" if row["uuid"] in "ac" else ""} for row in catalog]
    tables.write_rows(with_doi, CATALOG, tmp_path / "catalog.parquet")
    attribute(
        catalog=(tmp_path / "catalog.parquet",),
        verdicts=tmp_path / "verdicts.parquet",
        settings=AttributionSettings(cite={"gbif": "10.1/gbif", "key-1": "10.1/dataset"}),
        out=tmp_path / "again.parquet",
    )
    again = tables.read_rows(tmp_path / "again.parquet", ATTRIBUTION).to_pylist()
    assert {row["uuid"]: row["cite"] for row in again} == {
        "a": "10.1/dataset",
        "b": "10.15468/aomfnb",
        "c": "10.15468/dl.abc123",
        "d": None,
    }
    assert (named["a"]["creator"], named["a"]["license"]) == ("A. Larsen", "CC-BY-4.0")
    assert named["c"]["copyright_owner"] == "Museum"
