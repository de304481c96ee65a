"""Tasks without text, on hand-made features whose scores can be worked out by hand."""

import numpy as np
import polars as pl
import pytest

from workflow_scripts.common.errors import InputError
from workflow_scripts.common.geometry import Floats
from workflow_scripts.common.protocols import PROTOCOLS, PUBLISHED
from workflow_scripts.evaluate import probe
from workflow_scripts.evaluate.awa2 import score as awa2_module
from workflow_scripts.evaluate.awa2.score import awa2
from workflow_scripts.evaluate.features import Features, Origin
from workflow_scripts.evaluate.fishnet import score as fishnet_module
from workflow_scripts.evaluate.fishnet.score import fishnet
from workflow_scripts.evaluate.herbarium19.score import cluster, herbarium19, labelled_images, matched
from workflow_scripts.evaluate.measures import Outcome
from workflow_scripts.evaluate.newt.score import outcome as newt_outcome
from workflow_scripts.evaluate.newt.search import search
from workflow_scripts.evaluate.plantdoc.score import plantdoc
from workflow_scripts.evaluate.probe import decide


def table(**columns: list[str]) -> pl.DataFrame:
    images = len(next(iter(columns.values())))
    return pl.DataFrame({"position": list(range(images)), **columns})


def axes(numbers: list[int], dimensions: int, scale: float = 1.0) -> Floats:
    return (np.eye(dimensions, dtype=np.float32) * scale)[numbers]


def featured(vectors: Floats) -> Features:
    """Features of images that all versions decode alike."""
    return Features(vectors, np.arange(len(vectors)), Origin("", "", "", "proj"))


def newt(features: Floats, images: pl.DataFrame, *, threads: int, draws: int = 100, parts: int = 1) -> Outcome:
    """NeWT's scores, with the searches divided into parts."""
    of = featured(features)
    found = [search(of, images, threads=threads, draws=draws, part=part, parts=parts) for part in range(parts)]
    return newt_outcome(found, images, of)


def newt_task(name: str, swapped: int = 0) -> tuple[list[int], dict[str, list[str]]]:
    """Ten training images and four test images, label by axis; the first `swapped` test images lie on the wrong one."""
    labels = [number % 2 for number in range(14)]
    on_axis = [label ^ (10 <= number < 10 + swapped) for number, label in enumerate(labels)]
    columns = {
        "task": [name] * 14,
        "split": ["train"] * 10 + ["test"] * 4,
        "class": [str(label) for label in labels],
    }
    return on_axis, columns


def newt_benchmark(*tasks: tuple[list[int], dict[str, list[str]]]) -> tuple[Floats, pl.DataFrame]:
    numbers = [number for on_axis, _ in tasks for number in on_axis]
    columns = {name: [cell for _, given in tasks for cell in given[name]] for name in ("task", "split", "class")}
    noise = np.random.default_rng(0).normal(0, 0.01, (len(numbers), 4)).astype(np.float32)
    return axes(numbers, 4) + noise, table(**columns)


def test_newt_is_taken_over_all_test_images_of_all_tasks() -> None:
    """Tasks of four test images with none, one and two of them on the other label's side: 4 + 3 + 2 of 12."""
    features, images = newt_benchmark(newt_task("a"), newt_task("b", 1), newt_task("c", 2))
    outcome = newt(features, images, threads=1, draws=10)
    assert (outcome.images, outcome.classes, outcome.chance) == (12, 3, 0.5)
    assert outcome.metrics["svm/micro"] == pytest.approx(9 / 12)
    assert outcome.metrics["v1.0.1/svm/micro"] == pytest.approx(9 / 12)
    assert outcome.metrics["svm/micro_std"] == 0


@pytest.mark.slow
def test_newt_does_not_depend_on_processes_or_on_the_order_of_tasks() -> None:
    tasks = newt_task("a", 1), newt_task("b", 2)
    one, two = (newt(*newt_benchmark(*given), threads=1, draws=3).metrics for given in (tasks, tasks[::-1]))
    assert one["svm/micro"] == pytest.approx(two["svm/micro"])
    assert newt(*newt_benchmark(*tasks), threads=2, draws=3).metrics == one
    assert newt(*newt_benchmark(*tasks), threads=1, draws=3, parts=2).metrics == one
    assert newt(*newt_benchmark(*tasks), threads=1, draws=3, parts=3).metrics == one
    features, images = newt_benchmark(*tasks)
    half = search(featured(features), images, threads=1, draws=3, part=0, parts=2)
    for answers in ([half], [half, half]):
        with pytest.raises(InputError, match=r"evaluate\.newt\.search"):
            newt_outcome(answers, images, featured(features))


def test_newt_names_a_task_that_cannot_be_searched() -> None:
    on_axis, columns = newt_task("owls")
    columns["class"] = ["0"] * 7 + ["1"] * 7
    with pytest.raises(InputError, match=r"\bowls: .*7 of 0, 3 of 1.*\b4\b"):
        newt(*newt_benchmark((on_axis, columns)), threads=1)


def plants(test_folders: list[str]) -> tuple[Features, pl.DataFrame]:
    """Three folders of two training images, each on its own axis; two test images of each folder given."""
    folders = ["apple", "mite", "vine"]
    named = [("train", name) for name in folders for _ in range(2)]
    named += [("test", name) for name in test_folders for _ in range(2)]
    listed = {"train": folders, "test": test_folders}
    return featured(axes([folders.index(name) for _, name in named], 3, 5.0)), table(
        **{
            "split": [split for split, _ in named],
            "class": [name for _, name in named],
            "class_index": [str(listed[split].index(name)) for split, name in named],
        }
    )


def test_plantdoc_follows_folder_names_and_as_published_their_numbers() -> None:
    """`test` lacks `mite`, so `vine` has index 1 there and 2 in train: by the published code all of it is wrong."""
    metrics = plantdoc(*plants(["apple", "vine"])).metrics
    assert metrics["few_shot/1"] == 1
    assert metrics["v1.0.1/few_shot/1"] == 0.5
    assert metrics["chance"] == pytest.approx(1 / 3)
    assert plantdoc(*plants(["apple", "mite", "vine"])).metrics["v1.0.1/few_shot/1"] == 1


def test_plantdoc_only_normalises_when_corrected() -> None:
    """Two classes at right angles, one ten times longer; the query lies nearer to the long one's direction.

    Supports (10, 0) and (0, 1). Normalised, the mean is (.5, .5) and the query (.6, .8) centred is (.1, .3), nearest
    to (-1, 1)/sqrt 2. Not normalised, the mean is (5, .5): the query (.6, .8) centred is (-4.4, .3), (-1, .07), also
    nearest to (-10, 1)/|.| there. The query (6, 5): normalised (.77, .64), centred (.27, .14), the first class; not
    normalised (1, 4.5) centred, against supports (5, -.5) and (-5, .5): still the first by 5 - 2.25 > 0. The query
    (3, 1): normalised (.95, .32), the first class; not normalised (-2, .5), the second.
    """
    features = np.array([[10, 0], [0, 1], [0.6, 0.8], [6, 5], [3, 1]], np.float32)
    images = table(
        **{
            "split": ["train"] * 2 + ["test"] * 3,
            "class": ["a", "b", "b", "a", "a"],
            "class_index": ["0", "1", "1", "0", "0"],
        }
    )
    metrics = plantdoc(featured(features), images).metrics
    assert metrics["few_shot/1"] == 1
    assert metrics["v1.0.1/few_shot/1"] == pytest.approx(2 / 3)


def test_a_test_class_without_training_images_is_an_error() -> None:
    features, images = plants(["apple"])
    without = images.filter((pl.col("class") != "apple") | (pl.col("split") == "test"))
    with pytest.raises(InputError, match=r"'apple'.*training"):
        plantdoc(features.of(np.arange(len(without))), without)


def test_published_thresholds_hold_the_logit_against_one_half() -> None:
    logits = np.array([[-0.1, 0.1, 0.6]], np.float32)
    assert decide(logits, published=False).tolist() == [[False, True, True]]
    assert decide(logits, published=True).tolist() == [[False, False, True]]


def test_all_nine_traits_must_be_right() -> None:
    """Of four images one is right throughout, one wrong in one trait, two in all: 1/4; as published none is right."""
    truth = np.ones((4, 9), bool)
    corrected = truth.copy()
    corrected[1, 8] = False
    corrected[2:] = False
    published = dict.fromkeys(PUBLISHED, (~truth,))
    outcome = fishnet_module.outcome(truth, {**published, "corrected": (corrected,)})
    assert outcome.metrics == {"traits/all_right": 0.25, "v1.0.1/traits/all_right": 0}


def test_macro_f1_is_over_all_attributes_and_as_published_over_the_first_two() -> None:
    """Attribute 0: two hits, no error, F1 1. Attribute 1: one hit, one false alarm, F1 2/3. The 83 others: F1 0."""
    truth, predicted = np.zeros((2, 85), bool), np.zeros((2, 85), bool)
    truth[:, 0] = predicted[:, 0] = True
    truth[0, 1], predicted[:, 1] = True, True
    truth[0, 2:] = True
    metrics = awa2_module.outcome(truth, dict.fromkeys(PROTOCOLS, (predicted,))).metrics
    assert metrics["attributes/macro_f1"] == pytest.approx((1 + 2 / 3) / 85)
    assert metrics["v1.0.1/attributes/macro_f1"] == pytest.approx((1 + 2 / 3) / 2)


@pytest.mark.parametrize(
    ("task", "labels", "metric"), [(fishnet, 9, "traits/all_right"), (awa2, 85, "attributes/macro_f1")]
)
def test_what_features_tell_is_learned_and_what_they_do_not_tell_is_not(
    task: object, labels: int, metric: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All labels of an image are equal and its features show which; then test labels are shuffled."""
    monkeypatch.setattr(probe, "SEEDS_OF", dict.fromkeys(PROTOCOLS, (0,)))
    generator = np.random.default_rng(0)
    on = generator.integers(0, 2, 1700)
    features = np.where(on[:, None] == 1, 200.0, -200.0).astype(np.float32) * np.ones((1, 8), np.float32)
    split = ["train"] * 1600 + ["test"] * 100
    told = table(targets=[str(bit) * labels for bit in on], split=split)
    assert callable(task)
    assert task(featured(features), told).metrics[metric] > 0.95
    exchanged = generator.integers(0, 2, 1700)
    untold = table(targets=[str(bit) * labels for bit in exchanged], split=split)
    assert task(featured(features), untold).metrics[metric] < 0.8


def test_targets_of_another_length_are_an_error() -> None:
    with pytest.raises(InputError, match=r"position 1\b.*\b9\b.*'01'"):
        fishnet(featured(np.ones((2, 4), np.float32)), table(targets=["0" * 9, "01"], split=["train", "test"]))


def test_four_fifths_of_old_images_are_labelled_and_none_of_the_new() -> None:
    old = np.arange(20) < 11
    labelled = labelled_images(old)
    assert labelled.sum() == 8
    assert not labelled[~old].any()
    drawn = np.random.RandomState(0).choice(11, 8, replace=False)
    assert set(np.flatnonzero(labelled)) == set(drawn)


def herbarium(per_class: int = 10) -> tuple[Floats, pl.DataFrame]:
    """Two old and two new classes, each on its own axis."""
    numbers = [number for number in range(4) for _ in range(per_class)]
    return axes(numbers, 4), table(
        **{"class": ["abcd"[number] for number in numbers], "split": ["new" if n > 1 else "old" for n in numbers]}
    )


def test_clusters_on_axes_are_found_and_swapped_images_are_wrong() -> None:
    """20 old images, 16 labelled; 4 unlabelled and 20 new ones are scored.

    One new image lies on the axis of an old class: it is in a cluster that matches no new class. So 23 of 24 are
    right, all of Old, 19 of 20 of New.
    """
    features, images = herbarium()
    assert {measure.value for measure in herbarium19(featured(features), images).measures.values()} == {1.0}
    features[39] = features[0]
    outcome = herbarium19(featured(features), images)
    assert outcome.images == 24
    expected = {"all": 23 / 24, "old": 1, "new": 19 / 20}
    for version in ("", "v1.0.1/", "v2.0.0/", "main-49e1cf5/"):
        assert {name: outcome.metrics[f"{version}clustering/{name}"] for name in expected} == pytest.approx(expected)


def test_old_and_new_are_matched_apart() -> None:
    """Three images of class 0 in cluster 1, two of class 1 in cluster 0, one of class 1 in cluster 1: five hits."""
    hits = matched(np.array([0, 0, 0, 1, 1, 1]), np.array([1, 1, 1, 0, 0, 1]), 2)
    assert hits.tolist() == [True] * 5 + [False]


def test_labelled_images_keep_their_cluster_and_an_empty_one_stays_finite() -> None:
    """More clusters than distinct images: one stays without any, and nothing becomes NaN."""
    features = axes([0, 0, 1, 1, 0, 1], 2)
    found = cluster(features, np.array([0, 1, 1, 1, 9, 9]), np.array([True] * 4 + [False] * 2), clusters=4).corrected
    assert found[:4].tolist() == [0, 1, 1, 1]
    assert (found >= 0).all()
    assert found[4] != found[5]


def test_chance_classes_cluster_at_random() -> None:
    generator = np.random.default_rng(0)
    features = generator.normal(size=(400, 16)).astype(np.float32)
    images = table(
        **{"class": [f"{n % 8}" for n in range(400)], "split": ["old" if n % 8 < 4 else "new" for n in range(400)]}
    )
    assert herbarium19(featured(features), images).metrics["clustering/all"] < 0.45


def test_the_names_of_classes_change_no_cluster() -> None:
    features, images = herbarium()
    features[39] = features[0]
    renamed = images.with_columns(pl.lit("z") + pl.col("class"))
    assert herbarium19(featured(features), renamed).metrics == herbarium19(featured(features), images).metrics


def test_shuffled_labels_leave_newt_and_plantdoc_at_chance() -> None:
    generator = np.random.default_rng(0)
    images = 20 + 200
    features = generator.normal(size=(images, 8)).astype(np.float32)
    labels = generator.permutation(np.arange(images) % 2).astype(str).tolist()
    split = ["train"] * 20 + ["test"] * 200
    told = table(task=["a"] * images, split=split, **{"class": labels})
    assert newt(features, told, threads=1, draws=3).metrics["svm/micro"] == pytest.approx(0.5, abs=0.1)
    numbered = table(class_index=labels, split=split, **{"class": labels})
    metrics = plantdoc(featured(features), numbered).metrics
    assert metrics["few_shot/1"] == pytest.approx(0.5, abs=0.1)
    assert metrics["v1.0.1/few_shot/1"] == pytest.approx(0.5, abs=0.1)
