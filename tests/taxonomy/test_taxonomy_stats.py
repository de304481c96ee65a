"""Statistics of resolved labels, and differences between two tables of them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.messages import says
from workflow_scripts.common import tables
from workflow_scripts.contracts import BENCHMARK_IMAGES, CATALOG
from workflow_scripts.taxonomy.diff import diff
from workflow_scripts.taxonomy.stats import stats

Resolved = Callable[..., list[dict[str, Any]]]


def write_catalog(path: Path, images: list[tuple[str, str]]) -> Path:
    """A catalog part of (source, label_id)."""
    rows = [
        {
            **{"uuid": f"{place:04d}", "label_id": label, "data_source": source, "source_url": "/x", "host": ""},
            **{"generation": 0, "part": 0},
        }
        for place, (source, label) in enumerate(images)
    ]
    tables.write_rows(rows, CATALOG, path)
    return path


def test_images_are_counted_by_source_strategy_and_rank(tmp_path: Path, resolved: Resolved) -> None:
    out = tmp_path / "labels.parquet"
    resolved([{"species": "Quercus alba"}, {"species": "Nomen nescio", "images": 2}, {"genus": "Apis"}], out=out)
    catalog = write_catalog(
        tmp_path / "catalog.parquet",
        [("gbif", "0000"), ("gbif", "0000"), ("gbif", "0001"), ("eol", "0001"), ("eol", "0002")],
    )
    stats(labels=out, catalog=(catalog,), out=tmp_path / "stats.json", memory_mb=500, threads=1)
    counted = json.loads((tmp_path / "stats.json").read_text())
    assert [
        tuple(row[key] for key in ("source", "strategy", "rank", "labels", "images")) for row in counted["by_source"]
    ] == [
        ("eol", "higher_rank", "genus", 1, 1),
        ("eol", "unresolved", "none", 1, 1),
        ("gbif", "exact", "species", 1, 2),
        ("gbif", "unresolved", "none", 1, 1),
    ]
    assert [(row["written"], row["images"], row["reason"]) for row in counted["costliest"]] == [
        ("Nomen nescio", 2, "not_found")
    ]


def test_the_fifty_unresolved_labels_with_most_images_are_named(tmp_path: Path, resolved: Resolved) -> None:
    out = tmp_path / "labels.parquet"
    resolved(
        [{"species": f"Nomen {'abcdefgh'[place % 8]}escio{place}", "images": place + 1} for place in range(60)], out=out
    )
    catalog = write_catalog(tmp_path / "catalog.parquet", [("gbif", "0000")])
    stats(labels=out, catalog=(catalog,), out=tmp_path / "stats.json", memory_mb=500, threads=1)
    costliest = json.loads((tmp_path / "stats.json").read_text())["costliest"]
    assert [row["images"] for row in costliest] == list(range(60, 10, -1))


def test_labels_that_lost_their_species_are_named_with_their_images(tmp_path: Path, resolved: Resolved) -> None:
    out = tmp_path / "labels.parquet"
    resolved(
        [
            {"species": "Quercus novissima", "images": 9},
            {"genus": "Quercus", "images": 8},
            {"species": "Quercus sp.", "images": 7},
            {"species": "Quercus alba", "images": 6},
        ],
        out=out,
    )
    catalog = write_catalog(tmp_path / "catalog.parquet", [("gbif", "0000")])
    stats(labels=out, catalog=(catalog,), out=tmp_path / "stats.json", memory_mb=500, threads=1)
    lost = json.loads((tmp_path / "stats.json").read_text())["lost_species"]
    assert [(row["written"], row["images"], row["scientific_name"]) for row in lost] == [
        ("Quercus novissima", 9, "Quercus")
    ]
    assert "Quercus novissima" in lost[0]["detail"]


def test_a_comparison_names_labels_images_and_classes(
    tmp_path: Path, resolved: Resolved, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = [
        {"species": "Parus caeruleus", "images": 7},
        {"species": "Quercus alba", "images": 3},
        {"species": "Apis melifera", "images": 1000},
    ]
    old, new = tmp_path / "old.parquet", tmp_path / "new.parquet"
    resolved(labels, out=old, strategies=["exact"])
    resolved(labels, out=new)
    classes = [
        {"position": 0, "image": "a", "path": "/a", "md5": "0", "class": "blue tit", "taxon_genus": "Cyanistes"},
        {"position": 1, "image": "b", "path": "/b", "md5": "0", "class": "white oak", "taxon_genus": "Quercus"},
    ]
    classes[0]["taxon_species"], classes[1]["taxon_species"] = "caeruleus", "alba"
    tables.write_rows(classes, BENCHMARK_IMAGES, tmp_path / "images.parquet")
    diff(old=old, new=new, benchmarks={"birds": tmp_path / "images.parquet"})
    said = capsys.readouterr().out
    assert says(said, "2 labels", "1,007 images")
    assert "now resolved: 2 labels, 1,007 images" in said
    assert said.index("1,000 Apis melifera") < said.index("7 Parus caeruleus")
    assert "birds blue tit: 0 -> 7 images" in said
    assert "white oak" not in said
    diff(old=old, new=new, benchmarks={"birds": tmp_path / "images.parquet"}, json_lines=True)
    told = json.loads(capsys.readouterr().out)
    assert told["changes"] == [{"change": "now resolved", "labels": 2, "images": 1007}]
    assert [row["images"] for row in told["labels"]] == [1000, 7]
    assert [(row["class"], row["new_images"]) for row in told["classes"]] == [("blue tit", 7)]
    diff(old=new, new=new, benchmarks={})
    assert capsys.readouterr().out == "no label changes\n"
