"""Taxonomy measures of hand-made features."""

import json
from pathlib import Path

import numpy as np
import pytest

from workflow_scripts.common.errors import InputError
from workflow_scripts.common.files import sha256_file
from workflow_scripts.common.geometry import Floats, unit
from workflow_scripts.common.tables import read_rows, write_rows
from workflow_scripts.contracts import BENCHMARK_IMAGES, EMBEDDING_MAP, RANKS
from workflow_scripts.evaluate.cophenetic import heights, pairs_of
from workflow_scripts.evaluate.features import Features, Origin, write_features
from workflow_scripts.evaluate.image_sample import codes_of
from workflow_scripts.evaluate.intrinsic import intrinsic
from workflow_scripts.evaluate.triplets import triplet_accuracy
from workflow_scripts.evaluate.tsne import tsne

BIRD = ("animalia", "chordata", "aves", "passeriformes", "corvidae")
SPECIES = [
    (*BIRD, "pica", "pica pica"),
    (*BIRD, "pica", "pica hudsonia"),
    (*BIRD, "corvus", "corvus corax"),
    ("animalia", "chordata", "amphibia", "anura", "ranidae", "rana", "rana temporaria"),
    ("plantae", "tracheophyta", "magnoliopsida", "rosales", "rosaceae", "rosa", "rosa canina"),
    ("plantae", "tracheophyta", "magnoliopsida", "rosales", "", "", ""),
]
EACH = 6


def faithful(codes: np.ndarray, noise: float = 0.0) -> Floats:
    """Features that are more similar the more ranks two images share."""
    generator = np.random.default_rng(0)
    parts = [generator.normal(size=(codes.max() + 2, 32))[codes[:, place]] for place in range(len(RANKS))]
    return unit((np.concatenate(parts, axis=1) + noise * generator.normal(size=(len(codes), 224))).astype(np.float32))


@pytest.fixture
def codes() -> np.ndarray:
    return codes_of([lineage for lineage in SPECIES for _ in range(EACH)])


def table_of(folder: Path) -> Path:
    """The images table of the species above."""
    rows = []
    for number, lineage in enumerate(lineage for lineage in SPECIES for _ in range(EACH)):
        *higher, binomial = lineage
        ranks = [*higher, binomial.partition(" ")[2]]
        taxon = {f"taxon_{rank}": name or None for rank, name in zip(RANKS, ranks, strict=True)}
        rows.append(
            {"position": number, "image": f"{number}.jpg", "path": "x", "md5": "0", "class": lineage[3], **taxon}
        )
    write_rows(rows, BENCHMARK_IMAGES, folder / "images.parquet")
    return folder / "images.parquet"


def features_of(vectors: Floats, images: Path, path: Path) -> Path:
    origin = Origin(sha256_file(images), "weights", "preprocessing", "proj")
    write_features(path, Features(vectors, np.arange(len(vectors)), origin))
    return path


def test_heights_count_the_ranks_to_the_lowest_shared_name() -> None:
    found = heights(codes_of(SPECIES))
    assert found[0].tolist() == [0, 1, 2, 5, 7, 7]
    # The last plant is known only to its order, which it shares with the rose.
    assert found[4].tolist() == [7, 7, 7, 7, 0, 3]
    assert found[5, 5] == 3
    assert (found == found.T).all()


def test_the_cophenetic_correlation_is_that_of_all_pairs(codes: np.ndarray) -> None:
    vectors = faithful(codes, noise=0.5)
    one, other = np.triu_indices(len(codes), 1)
    distances = 1 - np.einsum("nd,nd->n", vectors[one], vectors[other])
    heights_of_pairs = heights(codes)[one, other]
    expected = np.corrcoef(distances, heights_of_pairs)[0, 1]
    assert pairs_of(vectors, codes).value() == pytest.approx(expected, abs=1e-5)
    assert expected > 0.6


def test_order_changes_nothing_and_permuted_names_leave_nothing(codes: np.ndarray) -> None:
    vectors = faithful(codes, noise=0.5)
    order = np.random.default_rng(1).permutation(len(codes))
    assert pairs_of(vectors[order], codes[order]).value() == pytest.approx(pairs_of(vectors, codes).value(), abs=1e-6)
    permuted = [pairs_of(vectors, codes[np.random.default_rng(seed).permutation(len(codes))]) for seed in range(20)]
    assert abs(np.mean([pairs.value() for pairs in permuted])) < 0.1


def test_triplets_are_right_where_relatives_are_near_and_wrong_where_they_are_far(codes: np.ndarray) -> None:
    right = {name: measure.value for name, measure in triplet_accuracy(faithful(codes), codes, 10).items()}
    # Sister taxa meet in one genus, one family, one phylum, and the two kingdoms; orders and classes have no sisters.
    assert set(right) == {"triplet/kingdom", "triplet/class", "triplet/genus", "triplet/species", "triplet/mean"}
    assert set(right.values()) == {1.0}
    # The crows lie in the magpies' mean direction, nearer to each magpie than another magpie is.
    spread = unit(np.concatenate([np.eye(len(codes)), np.ones((len(codes), 1))], axis=1).astype(np.float32))
    corvus = codes[:, 6] == codes_of(SPECIES)[2, 6]
    pica = np.isin(codes[:, 6], codes_of(SPECIES)[:2, 6])
    spread[corvus] = unit(spread[pica].mean(axis=0))
    genus = triplet_accuracy(spread, codes, 10)["triplet/genus"]
    wrong_anchors = genus.terms[pica]
    assert wrong_anchors[:, 0].sum() == 0
    assert wrong_anchors[:, 1].sum() == 10 * pica.sum()


def test_triplets_of_features_that_know_nothing_are_right_half_the_time(codes: np.ndarray) -> None:
    random = unit(np.random.default_rng(0).normal(size=(len(codes), 64)).astype(np.float32))
    assert triplet_accuracy(random, codes, 200)["triplet/mean"].value == pytest.approx(0.5, abs=0.1)


def test_models_are_compared_with_intervals(codes: np.ndarray, tmp_path: Path) -> None:
    images = table_of(tmp_path)
    random = np.random.default_rng(0).normal(size=(len(codes), 64)).astype(np.float32)
    features = {
        "start": features_of(random, images, tmp_path / "start.safetensors"),
        "demo": features_of(faithful(codes), images, tmp_path / "demo.safetensors"),
    }
    arguments = {"benchmark": "tiny", "images": images, "features": features}
    intrinsic(**arguments, out_dir=tmp_path / "out")
    demo = json.loads((tmp_path / "out/demo/tiny.json").read_text())
    assert demo["metrics"]["triplet/mean"] == 1
    assert demo["metrics"]["cophenetic"] > 0.8
    low, high = demo["intervals"]["cophenetic"]
    assert low < demo["metrics"]["cophenetic"] < high
    for metric in ("cophenetic", "triplet/mean"):
        assert demo["against"]["start"][metric]["difference"] > 0.3
        assert demo["against"]["start"][metric]["p"] < 0.05
    before = (tmp_path / "out/demo/tiny.json").read_bytes()
    intrinsic(**arguments, out_dir=tmp_path / "out", threads=2)
    assert (tmp_path / "out/demo/tiny.json").read_bytes() == before


def test_the_map_keeps_species_together_and_is_reproducible(codes: np.ndarray, tmp_path: Path) -> None:
    images = table_of(tmp_path)
    features = features_of(faithful(codes, noise=0.1), images, tmp_path / "f.safetensors")
    made = []
    for _ in range(2):
        tsne(images=images, features=features, out=tmp_path / "map.parquet")
        made.append((tmp_path / "map.parquet").read_bytes())
    assert made[0] == made[1]
    table = read_rows(tmp_path / "map.parquet", EMBEDDING_MAP)
    plane = np.stack([table["x"].to_numpy(), table["y"].to_numpy()], axis=1)
    apart = np.linalg.norm(plane[:, None] - plane[None], axis=2)
    np.fill_diagonal(apart, np.inf)
    assert (np.arange(len(plane)) // EACH == apart.argmin(axis=1) // EACH).all()


def test_of_many_images_the_same_few_are_drawn(
    codes: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = table_of(tmp_path)
    features = features_of(faithful(codes), images, tmp_path / "f.safetensors")
    monkeypatch.setattr("workflow_scripts.evaluate.image_sample.MAX_IMAGES", 12)
    tsne(images=images, features=features, out=tmp_path / "map.parquet")
    positions = read_rows(tmp_path / "map.parquet", EMBEDDING_MAP)["position"].to_pylist()
    assert len(positions) == 12
    assert positions == sorted(set(positions))


def test_stale_features_and_images_without_ranks_are_named(codes: np.ndarray, tmp_path: Path) -> None:
    images = table_of(tmp_path)
    features = features_of(faithful(codes), images, tmp_path / "f.safetensors")
    rows = read_rows(images, BENCHMARK_IMAGES).to_pylist()
    write_rows(rows[:-1], BENCHMARK_IMAGES, images)
    with pytest.raises(InputError, match=r"f\.safetensors.*other images"):
        tsne(images=images, features=features, out=tmp_path / "map.parquet")
    bare = [row | {f"taxon_{rank}": None for rank in RANKS} for row in rows]
    write_rows(bare, BENCHMARK_IMAGES, images)
    with pytest.raises(InputError, match="only 0 images have ranks"):
        tsne(images=images, features=features, out=tmp_path / "map.parquet")
