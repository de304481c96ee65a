"""Labels without any backbone."""

import json
from pathlib import Path

from workflow_scripts.common import tables
from workflow_scripts.common.config.taxonomy import TaxonomySettings
from workflow_scripts.contracts import LABELS, PROVIDER_LABELS, RANKS
from workflow_scripts.taxonomy.resolve import resolve


def test_without_a_backbone_labels_are_taken_as_they_are_written(tmp_path: Path) -> None:
    labels = [
        {"kingdom": "Plantae", "family": "fagaceae", "genus": "Quercus", "species": "alba", "common": "white oak"},
        {"species": "Quercus alba L."},
        {"scientific_name": "Quercus sp.", "family": "Fagaceae"},
        {"order": "Coleoptera"},
        {"scientific_name": "Coleoptera"},
        {"species": "unknown"},
    ]
    empty = dict.fromkeys((*RANKS, "scientific_name", "common"))
    rows = [{"label_id": f"{place:04d}", "images": 1} | empty | label for place, label in enumerate(labels)]
    tables.write_rows(rows, PROVIDER_LABELS, tmp_path / "labels.parquet")
    out = tmp_path / "resolved.parquet"
    resolve(
        labels=(tmp_path / "labels.parquet",),
        settings=TaxonomySettings(),
        out=out,
        account=tmp_path / "account.json",
        memory_mb=500,
        threads=1,
    )
    answers = tables.read_rows(out, LABELS).to_pylist()
    assert [(row["scientific_name"], row["resolved_rank"], row["strategy"]) for row in answers[:4]] == [
        ("Quercus alba", "species", "as_given"),
        ("Quercus alba", "species", "as_given"),
        ("Quercus", "genus", "as_given"),
        ("Coleoptera", "order", "as_given"),
    ]
    assert (answers[0]["family"], answers[0]["common_name"]) == ("Fagaceae", "white oak")
    assert [row["reason"] for row in answers[4:]] == ["not_found", "no_name"]
    assert json.loads((tmp_path / "account.json").read_text())["kept"] == 4
