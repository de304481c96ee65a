"""A corpus's digest changes with its training data and with nothing else."""

import json
from pathlib import Path
from typing import Any

import pytest

from workflow_scripts.common.errors import InputError
from workflow_scripts.common.tables import read_rows, write_rows
from workflow_scripts.contracts import COMPOSITION, LABELS, SHARD_INDEX, SHARD_MANIFEST
from workflow_scripts.report.corpus import describe_corpus
from workflow_scripts.report.treemap import SHOWN, treemap_nodes

PICA = {"kingdom": "Animalia", "class": "Aves", "genus": "Pica", "species": "hudsonia"}


def write_corpus(folder: Path, *, sha: str = "a", genus: str = "Pica", detail: str | None = None) -> dict[str, Any]:
    """A corpus of one generation: three training images of two labels, one validation image."""
    for split, labels in (("train", ["one", "one", "two"]), ("val", ["one"])):
        shard = {"shard": "shard-000000.tar", "samples": len(labels), "bytes": 10_240, "sha256": sha * 64}
        write_rows([shard], SHARD_MANIFEST, folder / "g000" / split / "manifest.parquet")
        places = [
            {
                "uuid": f"{split}{n}",
                "shard": "shard-000000.tar",
                "position": n,
                "offset": 512,
                "size": 9,
                "label_id": id,
            }
            for n, id in enumerate(labels)
        ]
        write_rows(places, SHARD_INDEX, folder / "g000" / split / "index.parquet")
    found = {"match_type": "exact", "strategy": "exact", "confidence": 1.0, "images": 1, "detail": detail}
    labels = [{"label_id": "one", **PICA, "genus": genus, **found}, {"label_id": "two", "kingdom": "Animalia", **found}]
    write_rows(labels, LABELS, folder / "labels.parquet")
    return describe(folder)


def describe(folder: Path, replay: Path | None = None) -> dict[str, Any]:
    """Describe the corpus in a folder."""
    describe_corpus(
        name=folder.name,
        shards=(folder / "g000",),
        labels=folder / "labels.parquet",
        replay=replay,
        out=folder / "corpus.json",
        composition=folder / "composition.parquet",
    )
    return dict(json.loads((folder / "corpus.json").read_text()))


def test_equal_data_has_the_same_digest_under_any_name(tmp_path: Path) -> None:
    one, other = write_corpus(tmp_path / "one"), write_corpus(tmp_path / "other", detail="found elsewhere")
    assert one["digest"] == other["digest"]
    assert one["id"] == f"one:{one['digest'][:16]}"
    assert other["id"].startswith("other:")


@pytest.mark.parametrize("change", [{"sha": "b"}, {"genus": "Corvus"}])
def test_other_images_or_other_names_are_another_corpus(tmp_path: Path, change: dict[str, str]) -> None:
    assert write_corpus(tmp_path / "one")["digest"] != write_corpus(tmp_path / "other", **change)["digest"]


def test_a_species_with_two_classifications_counts_once(tmp_path: Path) -> None:
    write_corpus(tmp_path)
    one, two = read_rows(tmp_path / "labels.parquet", LABELS).to_pylist()
    write_rows([one, two | PICA | {"family": "Corvidae"}], LABELS, tmp_path / "labels.parquet")
    found = describe(tmp_path)
    assert (found["taxa"], found["species"]) == (2, 1)


def test_replay_belongs_to_the_corpus(tmp_path: Path) -> None:
    bare = write_corpus(tmp_path / "one")
    found = describe(tmp_path / "one", replay=tmp_path / "one/g000")
    assert found["digest"] != bare["digest"]
    assert found["parts"]["images"] == bare["parts"]["images"]
    assert found["replay_pairs"] == {"train": 3, "val": 1}


def test_training_images_are_counted_by_taxon(tmp_path: Path) -> None:
    found = write_corpus(tmp_path / "one")
    assert (found["images"], found["species"], found["shards"]) == ({"train": 3, "val": 1}, 1, 2)
    rows = read_rows(tmp_path / "one/composition.parquet", COMPOSITION).to_pylist()
    assert {(row["kingdom"], row["genus"]): row["images"] for row in rows} == {
        ("Animalia", "Pica"): 2,
        ("Animalia", None): 1,
    }


def test_a_missing_manifest_is_named(tmp_path: Path) -> None:
    write_corpus(tmp_path / "one")
    (tmp_path / "one/g000/val/manifest.parquet").unlink()
    with pytest.raises(InputError, match=r"val/manifest\.parquet: missing"):
        describe_corpus(
            name="one",
            shards=(tmp_path / "one/g000",),
            labels=tmp_path / "one/labels.parquet",
            out=tmp_path / "corpus.json",
            composition=tmp_path / "composition.parquet",
        )


def test_a_treemap_is_bounded_and_loses_no_image(tmp_path: Path) -> None:
    rows = [{"kingdom": "Animalia", "phylum": f"p{n:04d}", "images": n + 1} for n in range(SHOWN + 50)]
    rows += [row | {"class": "x", "images": 1} for row in rows[:40]]
    write_rows(rows, COMPOSITION, tmp_path / "composition.parquet")
    nodes = treemap_nodes(tmp_path / "composition.parquet")
    phyla = [node for node in nodes if node.rank == "phylum"]
    assert len(phyla) == SHOWN + 1
    assert phyla[-1].label == "50 more"
    assert sum(node.images for node in phyla) == sum(row["images"] for row in rows) == nodes[0].images
    # Taxa below a hidden taxon are hidden too.
    assert {node.parent for node in nodes} <= {"", *(node.id for node in nodes)}


def test_unknown_ranks_are_skipped(tmp_path: Path) -> None:
    write_rows([PICA | {"images": 3}], COMPOSITION, tmp_path / "composition.parquet")
    kingdom, of_class, genus, species = treemap_nodes(tmp_path / "composition.parquet")
    assert [kingdom.label, of_class.label, genus.label, species.label] == ["Animalia", "Aves", "Pica", "Pica hudsonia"]
    assert (species.parent, genus.parent, of_class.parent, kingdom.parent) == (genus.id, of_class.id, kingdom.id, "")
    assert genus.group == of_class.id
