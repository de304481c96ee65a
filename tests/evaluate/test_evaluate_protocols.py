"""Each version's protocol against an independent implementation: scikit-learn, SciPy or plain loops.

Expected values use no code under test except the images table and the features.
"""

import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist
from scipy.stats import loguniform
from sklearn.metrics import accuracy_score, f1_score
from sklearn.model_selection import RandomizedSearchCV
from sklearn.neighbors import NearestCentroid
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler, normalize
from sklearn.svm import SVC

from workflow_scripts.common.class_folders import IMAGE_SUFFIXES
from workflow_scripts.common.open_clip_models import open_clip
from workflow_scripts.common.protocols import PROTOCOLS, Protocol
from workflow_scripts.evaluate.awa2.score import awa2
from workflow_scripts.evaluate.classes import Classes
from workflow_scripts.evaluate.csv import score as classification
from workflow_scripts.evaluate.features import Features, Origin
from workflow_scripts.evaluate.fishnet.score import fishnet
from workflow_scripts.evaluate.herbarium19 import score as module
from workflow_scripts.evaluate.herbarium19.score import cluster, herbarium19
from workflow_scripts.evaluate.label_files import files_of
from workflow_scripts.evaluate.measures import Outcome
from workflow_scripts.evaluate.newt.score import outcome as newt
from workflow_scripts.evaluate.newt.search import search
from workflow_scripts.evaluate.plantdoc.score import plantdoc

assert open_clip
from torchvision.datasets.folder import is_image_file  # noqa: E402 (open_clip_models makes torchvision importable)

Vectors = NDArray[np.float32]
SEEDS_OF = {"v1.0.1": (0,), "v2.0.0": (0, 1, 2), "main-49e1cf5": (0, 1, 2), "corrected": (0, 1, 2)}


def drawn(classes: NDArray[np.integer], dimensions: int, spread: float, seed: int = 0) -> Vectors:
    """Features around class centres, with different lengths."""
    generator = np.random.default_rng(seed)
    centres = generator.normal(size=(int(classes.max()) + 1, dimensions))
    vectors = centres[classes] + spread * generator.normal(size=(len(classes), dimensions))
    return (vectors * generator.uniform(1, 5, (len(classes), 1))).astype(np.float32)


def featured(vectors: Vectors) -> Features:
    """Features of images that all versions decode alike."""
    return Features(vectors, np.arange(len(vectors)), Origin("", "", "", "proj"))


def table(**columns: Sequence[Any]) -> pl.DataFrame:
    return pl.DataFrame({"position": range(len(next(iter(columns.values())))), **columns})


def scores(outcome: Outcome, metric: str) -> dict[str, float]:
    """A metric's score by protocol."""
    return {protocol: measure.value for protocol, measure in outcome.by_metric[metric].items()}


def centred(support: Vectors, query: Vectors) -> tuple[Vectors, Vectors]:
    """SimpleShot's transform: minus the support mean, at unit length."""
    mean = support.mean(axis=0)
    return normalize(support - mean), normalize(query - mean)


@pytest.mark.parametrize("by_name", [False, True], ids=["labels are the classes", "two labels have one name"])
def test_few_shot_is_scikit_learns_nearest_centroid_over_each_versions_folds(by_name: bool) -> None:
    """v1.0.1 and v2.0.0 keep shuffling the same lists, later code does not; main-49e1cf5 groups classes by name."""
    numbers = np.random.default_rng(1).permutation(np.repeat(np.arange(6), 9))
    vectors, labels = drawn(numbers, 8, 1.5), [f"label {number}" for number in numbers]
    names = [label.replace("label 5", "label 4") for label in labels] if by_name else labels
    unit = normalize(vectors)

    def expected(classes: list[str], *, accumulate: bool, k_of: tuple[int, ...] = (1, 5)) -> list[float]:
        order = list(dict.fromkeys(classes))
        lists = {name: [row for row, one in enumerate(classes) if one == name] for name in order}
        means = []
        for k in k_of:
            accuracies = []
            for fold in range(5):
                random.seed(fold)
                used = lists if accumulate else {name: list(rows) for name, rows in lists.items()}
                for rows in used.values():
                    random.shuffle(rows)
                support = [row for rows in used.values() for row in rows[:k]]
                query = [row for rows in used.values() for row in rows[k:]]
                near, far = centred(unit[support], unit[query])
                nearest = NearestCentroid().fit(near, [classes[row] for row in support])
                accuracies.append(accuracy_score([classes[row] for row in query], nearest.predict(far)))
            means.append(float(np.mean(accuracies)))
        return means

    found, left_out = classification._few_shot(
        featured(vectors).normalised(), table(**{"class": labels}), Classes.in_order(names), [1, 5]
    )
    accumulated, fresh = expected(labels, accumulate=True), expected(labels, accumulate=False)
    by_protocol = {
        "v1.0.1": accumulated,
        "v2.0.0": accumulated,
        "main-49e1cf5": expected(names, accumulate=False),
        "corrected": fresh,
    }
    assert accumulated != fresh
    assert left_out == {}
    for place, k in enumerate((1, 5)):
        of_k = {protocol: measure.value for protocol, measure in found[f"few_shot/{k}"].items()}
        assert of_k == pytest.approx({protocol: means[place] for protocol, means in by_protocol.items()})
    assert (found["few_shot/1"]["main-49e1cf5"] is found["few_shot/1"]["corrected"]) == (not by_name)


def newt_table(tasks: int) -> tuple[Vectors, pl.DataFrame]:
    rows = [(task, row % 2, "train" if row < 20 else "test") for task in range(tasks) for row in range(32)]
    vectors = drawn(np.array([2 * task + label for task, label, _ in rows]), 4, 2.0)
    names = {"task": [f"t{task}" for task, *_ in rows], "split": [split for *_, split in rows]}
    return vectors, table(**names, **{"class": [str(label) for _, label, _ in rows]})


def test_newt_is_scikit_learns_search_by_seed_0_and_later_by_three() -> None:
    vectors, images = newt_table(3)
    features = featured(vectors)
    found = scores(newt([search(features, images, threads=1, draws=2)], images, features), "svm/micro")
    unit, by_seed = normalize(vectors), []
    for seed in (0, 1, 2):
        right: list[bool] = []
        for task in ("t0", "t1", "t2"):
            rows = {split: images.filter(task=task, split=split)["position"].to_numpy() for split in ("train", "test")}
            labels = images["class"].to_numpy()
            near, far = centred(unit[rows["train"]], unit[rows["test"]])
            machine = RandomizedSearchCV(
                make_pipeline(StandardScaler(), SVC()),
                {
                    "svc__C": loguniform(a=1e-3, b=1e1),
                    "svc__kernel": ["rbf", "linear", "sigmoid", "poly"],
                    "svc__gamma": loguniform(a=1e-4, b=1e-3),
                },
                n_iter=2,
                random_state=seed,
            )
            right += (machine.fit(near, labels[rows["train"]]).predict(far) == labels[rows["test"]]).tolist()
        by_seed.append(np.mean(right))
    assert len(set(by_seed)) > 1
    assert found == pytest.approx({protocol: np.mean(by_seed[: len(seeds)]) for protocol, seeds in SEEDS_OF.items()})


def trained_as_published(
    train: list[tuple[torch.Tensor, torch.Tensor]], test: list[tuple[torch.Tensor, torch.Tensor]], lr: float, seed: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Logits of the test images after the last epoch, once more, and without dropout; images are loaded one by one."""
    torch.manual_seed(seed)
    labels = len(train[0][1])
    classifier = torch.nn.Sequential(torch.nn.Linear(len(train[0][0]), 512), torch.nn.Dropout(0.5))
    classifier.append(torch.nn.Linear(512, labels))
    optimizer = torch.optim.Adam(classifier.parameters(), lr=lr)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, step_size=20, gamma=0.5)
    loader = torch.utils.data.DataLoader(train, batch_size=256, shuffle=True)
    scored = torch.utils.data.DataLoader(test, batch_size=256)

    def predict_test() -> torch.Tensor:
        with torch.no_grad():
            return torch.cat([classifier(vectors) for vectors, _ in scored])

    for epoch in range(50):
        for vectors, targets in loader:
            loss = torch.nn.BCEWithLogitsLoss()(classifier(vectors), targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        schedule.step()
        if (epoch + 1) % 10 == 0:
            last_epoch = predict_test()
    final = predict_test()
    classifier.eval()
    return last_epoch, final, predict_test()


@pytest.mark.parametrize(("layout", "labels", "lr"), [(fishnet, 9, 1e-4), (awa2, 85, 1e-5)], ids=["fishnet", "awa2"])
def test_probes_are_the_published_training_seed_by_seed(
    layout: Callable[[Features, pl.DataFrame], Outcome], labels: int, lr: float
) -> None:
    """v1.0.1: seed 0, after the last epoch. Later: three seeds, predicted once more. Corrected: no dropout, p > 0.5."""
    generator = np.random.default_rng(0)
    kinds = generator.integers(0, 4, 450)
    # Large features, so that a few steps are enough to learn.
    vectors = 30 * drawn(kinds, 16, 1.0)
    truth = generator.integers(0, 2, (4, labels))[kinds]
    truth[:, 0] = kinds % 2
    split = np.array(["train"] * 300 + ["test"] * 150)
    images = table(targets=["".join(map(str, row)) for row in truth], split=split.tolist())
    pairs = [(torch.from_numpy(vector), torch.tensor(row).float()) for vector, row in zip(vectors, truth, strict=True)]
    metric = "traits/all_right" if layout is fishnet else "attributes/macro_f1"

    def score(predicted: torch.Tensor, *, published: bool) -> float:
        if layout is fishnet:
            return float(accuracy_score(truth[300:], predicted.numpy()))
        columns = {"labels": np.unique(truth[300:])} if published else {}
        return float(f1_score(truth[300:], predicted.numpy(), average="macro", zero_division=0, **columns))

    by_seed = [trained_as_published(pairs[:300], pairs[300:], lr, seed) for seed in (0, 1, 2)]
    later = float(np.mean([score(final > 0.5, published=True) for _, final, _ in by_seed]))
    expected = {
        "v1.0.1": score(by_seed[0][0] > 0.5, published=True),
        "v2.0.0": later,
        "main-49e1cf5": later,
        "corrected": float(np.mean([score(logits.sigmoid() > 0.5, published=False) for *_, logits in by_seed])),
    }
    assert len(set(expected.values())) == 3
    outcome = layout(featured(vectors), images)
    assert scores(outcome, metric) == pytest.approx(expected)
    assert outcome.protocols[f"v2.0.0/{metric}"] == ["v2.0.0", "main-49e1cf5"]


def clustered(vectors: Vectors, classes: NDArray[np.integer], labelled: NDArray[np.bool_], seed: int) -> list[int]:
    """Semi-supervised k-means by plain loops in double precision, ended by the first empty cluster."""
    free, known = np.flatnonzero(~labelled), sorted(set(classes[labelled]))
    clusters, generator = len(set(classes)), np.random.RandomState(seed)
    centres = [vectors[labelled & (classes == one)].mean(axis=0) for one in known]
    while len(centres) < clusters:
        squares = cdist(vectors[free], np.array(centres), "sqeuclidean").min(axis=1)
        reached = np.cumsum(squares / squares.sum())
        centres.append(vectors[free[int(np.flatnonzero(reached >= generator.rand())[0])]])
    found = np.array([known.index(one) if one in known else -1 for one in classes])
    best, kept = np.inf, found.copy()
    for _ in range(10):
        squares = cdist(vectors, np.array(centres), "sqeuclidean")
        found[free] = squares[free].argmin(axis=1)
        inertia = squares[np.arange(len(found)), found].sum()
        if inertia < best:
            best, kept = inertia, found.copy()
        if len(set(found)) < clusters:
            break
        moved = [vectors[found == number].mean(axis=0) for number in range(clusters)]
        shift = sum(np.linalg.norm(new - old) for new, old in zip(moved, centres, strict=True))
        centres = moved
        if shift**2 < 1e-4:
            break
    return kept.tolist()


def test_herbarium19_equals_plain_k_means_in_each_version() -> None:
    classes = np.sort(np.random.default_rng(2).integers(0, 12, 300))
    vectors = drawn(classes, 6, 0.8)
    old = classes < 6
    images = table(**{"class": [f"{one:02d}" for one in classes], "split": ["old" if one else "new" for one in old]})
    np.random.seed(0)
    labelled = np.zeros(300, bool)
    labelled[np.flatnonzero(old)[np.random.choice(range(old.sum()), replace=False, size=int(0.8 * old.sum()))]] = True

    def accuracy(given: Vectors, seed: int) -> float:
        found = np.array(clustered(given.astype(np.float64), classes, labelled, seed))
        hits = 0
        for group in (old & ~labelled, ~old):
            counts = np.zeros((12, 12))
            np.add.at(counts, (found[group], classes[group]), 1)
            hits += counts[linear_sum_assignment(-counts)].sum()
        return float(hits / (~labelled).sum())

    raw, unit = ([accuracy(given, seed) for seed in (0, 1, 2)] for given in (vectors, normalize(vectors)))
    assert len({*raw, *unit}) > 4
    expected = {"v1.0.1": raw[0], "v2.0.0": np.mean(raw), "main-49e1cf5": np.mean(unit), "corrected": np.mean(unit)}
    outcome = herbarium19(featured(vectors), images)
    assert scores(outcome, "clustering/all") == pytest.approx(expected)
    assert outcome.metrics["v2.0.0/clustering/all_std"] == pytest.approx(np.std(raw))


def test_an_empty_cluster_ends_the_published_iterations_and_not_the_corrected_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Worked out on a line, from centres at 0 (Old), 2, 10, 1000 and 1001.

    First round: 2 and 5.9 go to the centre at 2, which moves to 3.95; those at 6.5 and 10 to the third, now 7.375; 1000
    stays alone, the four beyond move the last centre to 1004.25. Second round: 2 goes to the Old centre, now 0.818, and
    5.9 to the third, so that none is left for the second: published code keeps this round. 1001 and 1002 are nearer to
    1000 now, which moves to 1001, the last to 1007. Third round, corrected only: 1003 goes over as well.
    """
    centres = torch.tensor([[0.0], [2.0], [10.0], [1000.0], [1001.0]])
    monkeypatch.setattr(module, "_plus_plus", lambda *_: centres)
    places = [0, 0, *[0.9] * 20, 2, 5.9, 6.5, 6.5, 6.5, 10, 1000, 1001, 1002, 1003, 1011]
    labelled = np.arange(len(places)) < 2
    vectors = np.array(places, np.float32)[:, None]
    found = cluster(vectors, np.zeros(len(places), np.int64), labelled, clusters=5)
    assert found.published.tolist() == [0] * 23 + [2] * 5 + [3, 3, 3, 4, 4]
    assert found.corrected.tolist() == [0] * 23 + [2] * 5 + [3, 3, 3, 3, 4]


def test_plantdoc_is_scikit_learns_nearest_centroid_by_each_versions_seeds() -> None:
    """`test` lacks the third of five folders, so by index its last two folders are matched to other classes."""
    train, test = np.repeat(np.arange(5), 4), np.repeat([0, 1, 3, 4], 10)
    vectors = drawn(np.concatenate([train, test]), 6, 0.9)
    names = np.array([f"folder {number}" for number in [*train, *test]])
    numbers = np.array([*train, *np.searchsorted([0, 1, 3, 4], test)])
    images = table(
        **{
            "class": names.tolist(),
            "split": ["train"] * 20 + ["test"] * 40,
            "class_index": [str(number) for number in numbers],
        }
    )

    def expected(given: Vectors, classes: NDArray[Any], seeds: Sequence[int | None]) -> float:
        accuracies = []
        for seed in seeds:
            if seed is not None:
                np.random.seed(seed)
            support: list[int] = []
            for one in np.unique(classes[:20]):
                rows = np.where(classes[:20] == one)[0]
                np.random.shuffle(rows)
                support += rows[:1].tolist()
            # The published code shuffles them, which advances the generator.
            np.random.shuffle(np.array(support))
            near, far = centred(given[support], given[20:])
            accuracies.append(np.mean(NearestCentroid().fit(near, classes[support]).predict(far) == classes[20:]))
        return float(np.mean(accuracies))

    once, each = (0, None, None, None, None), range(5)
    first = expected(vectors, numbers, once)
    by_protocol: dict[Protocol, float] = {
        "v1.0.1": first,
        "v2.0.0": first,
        "main-49e1cf5": expected(normalize(vectors), numbers, each),
        "corrected": expected(normalize(vectors), names, each),
    }
    assert len(set(by_protocol.values())) == 3
    assert scores(plantdoc(featured(vectors), images), "few_shot/1") == pytest.approx(by_protocol)


def test_protocols_that_agree_share_one_number_below_the_first_of_them() -> None:
    vectors, images = newt_table(1)
    features = featured(vectors)
    named = newt([search(features, images, threads=1, draws=1)], images, features)
    assert named.protocols == {"svm/micro": list(PROTOCOLS[1:]), "v1.0.1/svm/micro": ["v1.0.1"]}


def test_newt_searches_again_only_tasks_whose_features_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three tasks by three seeds; the published code decodes an image of the second task differently."""
    vectors, images = newt_table(3)
    published = vectors.copy()
    published[35] = -published[35]
    features = Features(vectors, np.arange(len(vectors)), Origin("", "", "", "proj"), published)
    searched: list[str] = []

    def predicted(one: tuple[Any, int], *, draws: int) -> list[str]:
        searched.append(one[0].name)
        return ["0"] * len(one[0].test)

    monkeypatch.setattr("workflow_scripts.evaluate.newt.search._predict", predicted)
    found = search(features, images, threads=1, draws=1)
    assert sorted(searched) == ["t0"] * 3 + ["t1"] * 6 + ["t2"] * 3
    assert newt([found], images, features).protocols == {
        "v1.0.1/svm/micro": ["v1.0.1"],
        "v2.0.0/svm/micro": ["v2.0.0", "main-49e1cf5"],
        "svm/micro": ["corrected"],
    }


def test_class_folders_keep_the_files_that_image_folder_keeps(tmp_path: Path) -> None:
    for suffix in (*IMAGE_SUFFIXES, ".TIFF", ".txt", ""):
        (tmp_path / f"1{suffix}").touch()
    kept = [path.name for path, dropped in files_of(tmp_path) if not dropped]
    assert kept == sorted(path.name for path in tmp_path.iterdir() if is_image_file(str(path)))
    assert 0 < len(kept) < len(IMAGE_SUFFIXES), "cameras write more than the published code reads"
