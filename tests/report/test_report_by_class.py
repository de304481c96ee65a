"""Benchmarks by class: training images, confusion, taxonomic distance of errors, calibration."""

from pathlib import Path
from typing import Any

import pytest

from workflow_scripts.common.resampling import wilson
from workflow_scripts.common.tables import write_rows
from workflow_scripts.contracts import BENCHMARK_IMAGES, COMPOSITION, LABELS, PREDICTIONS, RANKS
from workflow_scripts.report.by_class import ByClass, read_by_class
from workflow_scripts.report.class_figures import class_figures

BIRD = ("Animalia", "Chordata", "Aves")
LINEAGES = {
    "Pica pica": (*BIRD, "Passeriformes", "Corvidae", "Pica", "pica"),
    "Pica nuttalli": (*BIRD, "Passeriformes", "Corvidae", "Pica", "nuttalli"),
    "Corvus corax": (*BIRD, "Passeriformes", "Corvidae", "Corvus", "corax"),
    "Buteo buteo": (*BIRD, "Accipitriformes", "Accipitridae", "Buteo", "buteo"),
    "Rosa canina": ("Plantae", "Tracheophyta", "Magnoliopsida", "Rosales", "Rosaceae", "Rosa", "canina"),
}
# Predictions for four images of each class.
GUESSES = {
    "Pica pica": ["Pica pica", "Pica pica", "Pica pica", "Pica nuttalli"],
    "Pica nuttalli": ["Pica pica", "Pica pica", "Corvus corax", "Pica nuttalli"],
    "Corvus corax": ["Corvus corax"] * 4,
    "Buteo buteo": ["Corvus corax", "Buteo buteo", "Buteo buteo", "Buteo buteo"],
    "Rosa canina": ["Buteo buteo", "Rosa canina", "Rosa canina", "Rosa canina"],
}


def taxon(name: str) -> dict[str, str]:
    return dict(zip(RANKS, LINEAGES[name], strict=True))


@pytest.fixture
def found(tmp_path: Path) -> ByClass:
    """Five classes: in training are one under its name, one under another name, and one only as a genus."""
    images, guesses = [], []
    for name, of_class in GUESSES.items():
        for predicted in of_class:
            position = len(images)
            one: dict[str, Any] = {"position": position, "image": f"{position}.jpg"}
            ranks = {f"taxon_{rank}": value for rank, value in taxon(name).items()}
            images.append({**one, "path": "x", "md5": "0", "class": name, **ranks})
            guess = {"predicted": predicted, "score": 0.5, "correct": predicted == name}
            guesses.append({**one, "class": name, **guess, "confidence": 0.95 if predicted == name else 0.25})
    write_rows(images, BENCHMARK_IMAGES, tmp_path / "images.parquet")
    write_rows(guesses, PREDICTIONS, tmp_path / "demo/tiny.predictions.parquet")
    without = [{name: value for name, value in row.items() if name != "confidence"} for row in guesses]
    write_rows(without, PREDICTIONS, tmp_path / "start/tiny.predictions.parquet")
    magpie, raven = taxon("Pica pica"), taxon("Corvus corax") | {"genus": "Corax", "species": "maximus"}
    genus = {rank: value for rank, value in taxon("Buteo buteo").items() if rank != "species"}
    composition = [one | {"images": number} for one, number in ((magpie, 12), (raven, 5), (genus, 7))]
    write_rows(composition, COMPOSITION, tmp_path / "composition.parquet")
    provided = {"provider_genus": "Corvus", "provider_species": "corax", "match_type": "synonym", "strategy": "synonym"}
    label = {"label_id": "1", **raven, **provided, "confidence": 1.0, "images": 5}
    write_rows([label], LABELS, tmp_path / "labels.parquet")
    return read_by_class(
        [tmp_path / model / "tiny.predictions.parquet" for model in ("start", "demo")],
        {"tiny": tmp_path / "images.parquet"},
        ["demo", "start"],
        composition=tmp_path / "composition.parquet",
        labels=tmp_path / "labels.parquet",
    )["tiny"]


def test_classes_are_listed_with_their_training_images_lowest_accuracy_first(found: ByClass) -> None:
    worst = found.classes[0]
    assert (worst.name, worst.correct, worst.images, worst.taken_for) == ("Pica nuttalli", 1, 4, "Pica pica")
    assert worst.interval == wilson(0.25, 4)
    assert {one.name: one.trained for one in found.classes if one.trained} == {"Pica pica": 12}
    assert [(one.name, one.other_name, one.seen) for one in found.renamed] == [("Corvus corax", "Corax maximus", 5)]
    assert [one.name for one in found.never_trained] == ["Buteo buteo", "Pica nuttalli", "Rosa canina"]
    assert [(one.label, one.classes, one.images, one.correct) for one in found.amounts] == [
        ("0", 3, 12, 7),
        ("1 to 9", 1, 4, 4),
        ("10 to 99", 1, 4, 3),
    ]


def test_errors_are_counted_by_taxonomic_distance(found: ByClass) -> None:
    assert found.errors["demo"] == {
        "correct": 14,
        "same genus": 3,
        "same family": 1,
        "same class": 1,
        "another kingdom": 1,
    }


def test_few_classes_give_a_confusion_matrix_of_classes(found: ByClass) -> None:
    assert found.confusion is not None
    place = {name: number for number, name in enumerate(found.confusion.taxa)}
    assert found.confusion.images[place["Pica nuttalli"]][place["Pica pica"]] == 2
    assert [sum(row) for row in found.confusion.images] == [4] * 5
    # Related taxa are adjacent.
    assert abs(place["Pica pica"] - place["Corvus corax"]) <= 2
    assert place["Rosa canina"] == 4


def test_reliability_compares_confidence_with_accuracy(found: ByClass) -> None:
    """Predictions of older releases have no confidence."""
    assert list(found.reliability) == ["demo"]
    assert [(one.confidence, one.share, one.images) for one in found.reliability["demo"]] == [
        (pytest.approx(0.25), 0, 6),
        (pytest.approx(0.95), 1, 14),
    ]


def test_every_plot_is_drawn(found: ByClass) -> None:
    drawn = class_figures("tiny", found)
    assert set(drawn) == {"trained-tiny", "errors-tiny", "confusion-tiny", "reliability-tiny"}
    assert sorted(drawn["trained-tiny"]["data"][0]["x"]) == [0.5, 0.5, 0.5, 5, 12]
    assert sum(bar["x"][0] for bar in drawn["errors-tiny"]["data"]) == pytest.approx(100)


def test_many_classes_give_a_confusion_matrix_of_the_lowest_rank_with_few_taxa(tmp_path: Path) -> None:
    """Forty species in forty genera, two families and one order."""
    rows, guesses = [], []
    for position in range(40):
        one: dict[str, Any] = {"position": position, "image": f"{position}", "class": f"c{position}"}
        ranks = {"taxon_order": "o", "taxon_family": f"f{position % 2}", "taxon_genus": f"g{position}"}
        rows.append({**one, "path": "x", "md5": "0", **ranks})
        guesses.append({**one, "predicted": "c0", "score": 0.5, "correct": position == 0})
    write_rows(rows, BENCHMARK_IMAGES, tmp_path / "images.parquet")
    write_rows(guesses, PREDICTIONS, tmp_path / "demo/many.predictions.parquet")
    files = [tmp_path / "demo/many.predictions.parquet"]
    images = {"many": tmp_path / "images.parquet"}
    [found] = read_by_class(files, images, ["demo"], composition=None, labels=None).values()
    assert found.confusion is not None
    assert (found.confusion.rank, found.confusion.images) == ("family", ((20, 0), (20, 0)))
    assert read_by_class(files, images, ["demo"], composition=None, labels=None, exclude=["many"]) == {}
