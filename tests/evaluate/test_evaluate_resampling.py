"""Intervals, paired tests, ranks and subsets, with values worked out by hand."""

from pathlib import Path

import numpy as np
import pytest

from workflow_scripts.common.resampling import (
    Measure,
    differences,
    interval,
    interval_of,
    ratio,
    resample,
    share,
    wilson,
)
from workflow_scripts.common.tables import read_rows, write_rows
from workflow_scripts.contracts import LABELS, RANKS, SEEN_SPECIES, VERDICTS
from workflow_scripts.evaluate.hierarchy import height_on_errors, lineage, top1_by_rank
from workflow_scripts.evaluate.measures import among, calibration_error, macro_f1, mean_of
from workflow_scripts.evaluate.seen_species import list_seen_species

HAWK = dict(
    zip(RANKS, ("Animalia", "Chordata", "Aves", "Accipitriformes", "Accipitridae", "Buteo", "buteo"), strict=True)
)


def right(hits: int, images: int) -> dict[str, Measure]:
    return {"top1": share(np.arange(images) < hits)}


def row(**changes: str | None) -> dict[str, str | None]:
    return {f"taxon_{rank}": (HAWK | changes).get(rank) for rank in RANKS}


def test_the_interval_of_a_share_is_near_the_textbook_one() -> None:
    """Half of 400: the normal approximation says 0.5 +- 1.96 * sqrt(.25 / 400), which is 0.049."""
    ends = interval(resample(right(200, 400))["top1"])
    assert ends == pytest.approx((0.451, 0.549), abs=0.006)


def test_the_calibration_error_weighs_each_bins_gap_by_its_images() -> None:
    """Four images said to be right at .95, two of which are, and two at .5, which both are: (1.8 + 1) / 6."""
    confidence = np.array([0.95, 0.95, 0.95, 0.95, 0.5, 0.5])
    correct = np.array([True, True, False, False, True, True])
    assert calibration_error(confidence, correct).value == pytest.approx((1.8 + 1) / 6, abs=1e-4)
    assert calibration_error(np.ones(3), np.ones(3, bool)).value == 0


def test_a_certain_score_has_no_width_and_one_without_images_no_interval() -> None:
    assert interval(resample(right(50, 50))["top1"]) == (1, 1)
    assert interval(resample({"unseen": share(np.zeros(9, bool), np.zeros(9, bool))})["unseen"]) is None


def test_a_model_against_itself_differs_by_nothing() -> None:
    one = right(10, 40)
    drawn = resample(one)
    found = differences(one, one, drawn, drawn)["top1"]
    assert (found.difference, found.low, found.high, found.p) == (0, 0, 0, 1)


def test_twenty_images_that_only_one_model_gets_right_are_no_accident_and_one_is() -> None:
    """With one discordant image either assignment is as large: p is 1. With twenty it is 2 * 2^-20, below 1 / 1001."""
    other = right(30, 100)
    for hits, expected in ((31, 1), (50, 1 / 1001)):
        one = right(hits, 100)
        found = differences(one, other, resample(one), resample(other))["top1"]
        assert found.difference == pytest.approx((hits - 30) / 100)
        assert found.p == pytest.approx(expected)
        assert found.low <= found.difference <= found.high


def test_the_two_sides_of_a_comparison_agree() -> None:
    one, other = right(60, 100), {"top1": share(np.arange(100) % 2 == 0)}
    ours, theirs = resample(one), resample(other)
    there, back = differences(one, other, ours, theirs)["top1"], differences(other, one, theirs, ours)["top1"]
    assert there.difference == -back.difference
    assert (there.low, there.high) == pytest.approx((-back.high, -back.low))
    assert there.p == back.p


def test_scores_that_are_not_means_are_resampled() -> None:
    truth = np.array([[True, False], [True, True], [False, True]])
    measure = macro_f1(truth, truth)
    assert measure.value == 1
    low, high = interval(resample({"f1": measure})["f1"]) or (0, 0)
    assert (low, high) == (0.5, 1)


def test_the_mean_of_subsets_weighs_them_alike() -> None:
    """Nine of ten right in one, none of two in the other: 0.45, not 9 of 12."""
    large, small = share(np.arange(10) < 9), share(np.zeros(2, bool))
    whole = [among(large, np.arange(10), 12), among(small, np.arange(10, 12), 12)]
    assert mean_of(whole).value == pytest.approx(0.45)


def test_ranks_are_scored_by_the_predicted_class_and_heights_only_on_errors() -> None:
    """A hawk predicted as itself, as another hawk, as another bird and as a plant: heights 1, 4 and 7."""
    classes = [
        row(),
        row(species="lagopus"),
        row(order="Strigiformes", family="Strigidae", genus="Strix", species="aluco"),
        row(kingdom="Plantae", phylum=None, order=None, family=None, genus="Rosa", species="canina", **{"class": None}),
    ]
    lineages = [lineage(one) for one in classes]
    true, predicted = np.zeros(4, np.int64), np.arange(4)
    by_rank = {name: measure.value for name, measure in top1_by_rank(lineages, true, predicted).items()}
    assert by_rank == {
        "hierarchy/kingdom": 0.75,
        "hierarchy/phylum": 0.75,
        "hierarchy/class": 0.75,
        "hierarchy/order": 0.5,
        "hierarchy/family": 0.5,
        "hierarchy/genus": 0.5,
        "hierarchy/species": 0.25,
    }
    assert height_on_errors(lineages, true, predicted).value == pytest.approx((1 + 4 + 7) / 3)


def test_a_rank_that_the_true_class_does_not_name_is_not_scored() -> None:
    lineages = [lineage(row(order=None)), lineage(row(species="lagopus"))]
    found = top1_by_rank(lineages, np.array([0, 1]), np.array([1, 1]))
    assert found["hierarchy/order"].value == 1
    assert found["hierarchy/order"].terms.sum(axis=0).tolist() == [1, 1]


def test_a_species_is_seen_when_a_training_image_of_it_was_kept(tmp_path: Path) -> None:
    labels = [
        {"label_id": name, "genus": "Buteo", "species": name, "match_type": "exact", "strategy": "exact"}
        | {"confidence": 1.0, "images": 1}
        for name in ("buteo", "lagopus", "regalis")
    ]
    write_rows(labels, LABELS, tmp_path / "labels.parquet")
    fates = [("buteo", "train", True), ("buteo", "train", True), ("lagopus", "val", True), ("regalis", None, False)]
    verdicts = [
        {"uuid": str(number), "label_id": name, "split": split, "keep": keep, "part": 0}
        for number, (name, split, keep) in enumerate(fates)
    ]
    write_rows(verdicts, VERDICTS, tmp_path / "verdicts.parquet")
    list_seen_species(
        labels=tmp_path / "labels.parquet", verdicts=(tmp_path / "verdicts.parquet",), out=tmp_path / "seen.parquet"
    )
    assert read_rows(tmp_path / "seen.parquet", SEEN_SPECIES).to_pylist() == [{"species": "buteo buteo", "images": 2}]


@pytest.mark.parametrize(("correct", "ends"), [(0, (0.0, 0.2775)), (5, (0.2366, 0.7634)), (10, (0.7225, 1.0))])
def test_the_interval_of_a_share_has_width_at_its_ends_too(correct: int, ends: tuple[float, float]) -> None:
    """Ten images; the ends are those that Wilson's formula is tabulated with."""
    measures = right(correct, 10)
    assert interval_of(measures["top1"], resample(measures)["top1"]) == pytest.approx(ends, abs=1e-4)


def test_an_image_that_is_tried_often_counts_once_where_all_tries_are_right() -> None:
    folds = share(np.full(4, 5), np.full(4, 5))
    assert interval_of(folds, resample({"few": folds})["few"]) == wilson(1.0, 4)


def test_scores_that_are_not_proportions_keep_their_bootstrap_interval() -> None:
    heights = Measure(np.array([[7, 1], [1, 1], [0, 0], [3, 1]]), ratio)
    drawn = resample({"height": heights})["height"]
    assert interval_of(heights, drawn) == interval(drawn)
