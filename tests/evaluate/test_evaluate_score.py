"""One job scores all models on one benchmark, and refuses features of anything else."""

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch

from tests.evaluate.scoring import score_layout
from workflow_scripts.common.clip import Clip, encode_text, load
from workflow_scripts.common.config.evaluate import BenchmarkSettings, EmbedLimits
from workflow_scripts.common.errors import InputError
from workflow_scripts.common.tables import read_rows, write_rows
from workflow_scripts.contracts import BENCHMARK_IMAGES, PREDICTIONS, SEEN_SPECIES
from workflow_scripts.evaluate import zero_shot as module
from workflow_scripts.evaluate.embed import embed
from workflow_scripts.evaluate.features import Features, read_features, write_features
from workflow_scripts.evaluate.newt.search import search_newt

CSV = {"layout": "csv", "labels": "labels.csv", "images": "images", "text_type": "taxon_com", "shots": [1]}
INLINE = EmbedLimits(workers=0)


def settings(**changes: Any) -> BenchmarkSettings:
    return BenchmarkSettings.model_validate_json(json.dumps(CSV | changes))


@pytest.fixture
def features(models: dict[str, str], images: Path, tmp_path: Path) -> dict[str, Path]:
    paths = {name: tmp_path / "features" / f"{name}.safetensors" for name in models}
    for name, source in models.items():
        embed(work=tmp_path / "work", model=source, images=images, out=paths[name], limits=INLINE)
    return paths


def read_score(folder: Path, model: str = "ours") -> dict[str, Any]:
    return dict(json.loads((folder / model / "tiny.json").read_text()))


def test_every_model_gets_scores_and_predictions(
    models: dict[str, str], images: Path, features: dict[str, Path], tmp_path: Path
) -> None:
    score_layout(
        benchmark="tiny", settings=settings(), images=images, models=models, features=features, out_dir=tmp_path / "s"
    )
    for model in models:
        found = read_score(tmp_path / "s", model)
        assert found["benchmark"] == "tiny"
        assert found["model"] == model
        assert (found["n_images"], found["n_classes"]) == (12, 3)
        metrics = found["metrics"]
        assert metrics["chance"] == pytest.approx(1 / 3)
        assert set(metrics) == {
            *(f"zero_shot/top{k}" for k in (1, 3, 5)),
            "zero_shot/ece",
            *(f"{prefix}few_shot/1{suffix}" for prefix in ("", "v1.0.1/") for suffix in ("", "_std")),
            *(f"hierarchy/{rank}" for rank in ("kingdom", "genus", "species")),
            "chance",
        }
        assert metrics["zero_shot/top3"] == metrics["zero_shot/top5"] == 1
        rows = read_rows(tmp_path / "s" / model / "tiny.predictions.parquet", PREDICTIONS).to_pylist()
        assert [row["position"] for row in rows] == list(range(12))
        assert np.mean([row["correct"] for row in rows]) == pytest.approx(metrics["zero_shot/top1"])
        assert all(row["correct"] == (row["class"] == row["predicted"]) for row in rows)
    assert read_score(tmp_path / "s", "ours")["inputs"] != read_score(tmp_path / "s", "start")["inputs"]


def test_features_made_by_hand_give_the_score_worked_out_on_paper(
    models: dict[str, str],
    images: Path,
    features: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Text features are the three axes; nine images lie on their class's axis, three on another one."""
    axes = {"Pica": 0, "Corvus": 1, "Apis": 2}
    prompts: list[str] = []

    def axis_of(clip: Clip, texts: Sequence[str]) -> Any:
        prompts.extend(texts)
        which = [next(axis for genus, axis in axes.items() if genus in text) for text in texts]
        return np.eye(3, dtype=np.float32)[which]

    monkeypatch.setattr(module, "text_features", axis_of)
    true = np.tile(np.arange(3), 4)
    shown = np.where(np.arange(12) < 3, (true + 1) % 3, true)
    vectors = np.eye(3, dtype=np.float32)[shown] * 7
    made = read_features(features["ours"])
    write_features(features["ours"], Features(vectors, made.positions, made.origin))
    score_layout(
        benchmark="tiny",
        settings=settings(shots=[]),
        images=images,
        models={"ours": models["ours"]},
        features={"ours": features["ours"]},
        out_dir=tmp_path / "s",
    )
    assert read_score(tmp_path / "s")["metrics"] == {
        "zero_shot/top1": 9 / 12,
        "zero_shot/top3": 1,
        "zero_shot/top5": 1,
        # Confident about every image, correct for nine of twelve.
        "zero_shot/ece": 3 / 12,
        "hierarchy/kingdom": 1,
        "hierarchy/genus": 9 / 12,
        "hierarchy/species": 9 / 12,
        "chance": 1 / 3,
    }
    # Three errors, each of which has only the kingdom in common with the truth.
    assert read_score(tmp_path / "s")["lca_height"]["mean"] == 6
    assert len(prompts) == 3 * 81
    assert prompts[0] == "a photo of Animalia Pica hudsonia."
    rows = read_rows(tmp_path / "s/ours/tiny.predictions.parquet", PREDICTIONS).to_pylist()
    assert [row["predicted"] for row in rows[:3]] == ["Corvus corax", "Apis mellifera", "Pica hudsonia"]
    assert rows[0]["score"] == 1
    assert not rows[0]["correct"]


def test_rare_species_text_types_equal_plain_loops_in_each_version(
    models: dict[str, str], images: Path, features: dict[str, Path], tmp_path: Path
) -> None:
    """v1.0.1 names classes by `sci_com`, later code by `taxon_com`; 81 templates, class after class."""
    chosen = settings(published_text_type="sci_com", shots=[])
    for path in features.values():
        made = read_features(path)
        vectors = np.random.default_rng(0).normal(size=made.vectors.shape).astype(np.float32)
        write_features(path, Features(vectors, made.positions, made.origin))
    score_layout(
        benchmark="tiny", settings=chosen, images=images, models=models, features=features, out_dir=tmp_path / "s"
    )
    binomials = ["Pica hudsonia", "Corvus corax", "Apis mellifera"]
    truth, differ = np.arange(12) % 3, set[bool]()
    templates = [lambda name: f"a photo of {name}.", *open_clip.OPENAI_IMAGENET_TEMPLATES]
    for model, source in models.items():
        clip, given = load(source), torch.from_numpy(read_features(features[model]).vectors)

        def top1(names: list[str], clip: Clip = clip, given: torch.Tensor = given) -> float:
            weights = []
            for name in names:
                prompts = encode_text(clip, [template(name) for template in templates])
                mean = torch.nn.functional.normalize(prompts, dim=-1).mean(dim=0)
                weights.append(mean / mean.norm())
            logits = torch.nn.functional.normalize(given, dim=-1) @ torch.stack(weights).T
            return float((logits.argmax(dim=1).numpy() == truth).mean())

        found = read_score(tmp_path / "s", model)
        expected = top1(binomials), top1([f"Animalia {name}" for name in binomials])
        by_version = found["metrics"]["v1.0.1/zero_shot/top1"], found["metrics"]["zero_shot/top1"]
        assert by_version == pytest.approx(expected)
        differ.add(expected[0] != expected[1])
        assert found["protocols"]["v1.0.1/zero_shot/top1"] == ["v1.0.1"]
        assert found["protocols"]["zero_shot/top1"] == ["v2.0.0", "main-49e1cf5", "corrected"]
    assert True in differ


def test_replay_takes_captions_as_they_are_and_the_replay_projector(
    models: dict[str, str], images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts: list[str] = []

    def remember(clip: Clip, given: Sequence[str]) -> Any:
        texts.extend(given)
        return np.eye(16, dtype=np.float32)[: len(given)]

    monkeypatch.setattr(module, "text_features", remember)
    replay = BenchmarkSettings.model_validate({"layout": "replay"})
    paths = {}
    for projector in ("proj", "replay"):
        paths[projector] = tmp_path / projector
        embed(
            work=tmp_path / "work",
            model=models["ours"],
            images=images,
            out=paths[projector],
            projector=projector,
            limits=INLINE,
        )
    ours = {"ours": models["ours"]}
    score_layout(
        benchmark="tiny",
        settings=replay,
        images=images,
        models=ours,
        features={"ours": paths["replay"]},
        out_dir=tmp_path,
    )
    assert texts == ["Pica hudsonia", "Corvus corax", "Apis mellifera"]
    assert not [metric for metric in read_score(tmp_path)["metrics"] if "few_shot" in metric]
    with pytest.raises(InputError, match="stale, made from other projector"):
        score_layout(
            benchmark="tiny",
            settings=replay,
            images=images,
            models=ours,
            features={"ours": paths["proj"]},
            out_dir=tmp_path,
        )


def test_stale_features_are_refused(
    models: dict[str, str], images: Path, features: dict[str, Path], tmp_path: Path
) -> None:
    ours = {"ours": models["ours"]}
    with pytest.raises(InputError, match="stale, made from other weights"):
        score_layout(
            benchmark="tiny",
            settings=settings(),
            images=images,
            models=ours,
            features={"ours": features["start"]},
            out_dir=tmp_path / "s",
        )
    table = read_rows(images, BENCHMARK_IMAGES).to_pylist()
    table[0]["class"] = "Corvus corax"
    write_rows(table, BENCHMARK_IMAGES, images)
    with pytest.raises(InputError, match="stale, made from other images"):
        score_layout(
            benchmark="tiny",
            settings=settings(),
            images=images,
            models=ours,
            features={"ours": features["ours"]},
            out_dir=tmp_path / "s",
        )
    assert not (tmp_path / "s").exists()


def test_the_order_of_models_and_the_threads_change_no_byte(
    models: dict[str, str], images: Path, features: dict[str, Path], tmp_path: Path
) -> None:
    for name, given, threads in (("one", models, 1), ("two", dict(reversed(models.items())), 2)):
        score_layout(
            benchmark="tiny",
            settings=settings(),
            images=images,
            models=given,
            features=features,
            out_dir=tmp_path / name,
            threads=threads,
        )
    made = sorted(path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*.*"))
    assert len(made) == 4
    for path in made:
        assert (tmp_path / "one" / path).read_bytes() == (tmp_path / "two" / path).read_bytes()


def test_a_class_with_too_few_images_costs_those_few_shot_scores_alone(
    models: dict[str, str], images: Path, features: dict[str, Path], tmp_path: Path
) -> None:
    """Each class has four images."""

    def scored(*shots: int) -> dict[str, Any]:
        spec, out = settings(shots=shots), tmp_path / str(shots)
        score_layout(
            benchmark="tiny", settings=spec, images=images, models=models, features=features, out_dir=out
        )  # fmt: skip
        return read_score(out)

    found = scored(5, 1)
    assert found["metrics"] == scored(1)["metrics"]
    assert list(found["left_out"]) == ["few_shot/5"]
    assert re.search(r"\b6 images.*'Pica hudsonia' has 4", found["left_out"]["few_shot/5"])
    assert "few_shot/3" in scored(3)["metrics"]
    assert scored(3)["left_out"] == {}


def test_models_without_features_are_errors(models: dict[str, str], images: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="features are given for none"):
        score_layout(benchmark="tiny", settings=settings(), images=images, models=models, features={}, out_dir=tmp_path)


def test_models_are_compared_on_seen_and_unseen_species(
    models: dict[str, str], images: Path, features: dict[str, Path], tmp_path: Path
) -> None:
    seen = tmp_path / "seen.parquet"
    write_rows([{"species": "pica hudsonia", "images": 3}], SEEN_SPECIES, seen)
    score_layout(
        benchmark="tiny",
        settings=settings(),
        images=images,
        models=models,
        features=features,
        out_dir=tmp_path / "s",
        seen=seen,
    )
    ours, start = read_score(tmp_path / "s", "ours"), read_score(tmp_path / "s", "start")
    metrics = ours["metrics"]
    top1 = (metrics["seen/zero_shot/top1"] + 2 * metrics["unseen/zero_shot/top1"]) / 3
    assert top1 == pytest.approx(metrics["zero_shot/top1"])
    for metric, value in metrics.items():
        if metric != "chance" and not metric.endswith("_std"):
            low, high = ours["intervals"][metric]
            assert low <= value <= high
            other = start["metrics"][metric]
            assert ours["against"]["start"][metric]["difference"] == pytest.approx(value - other)
            assert start["against"]["ours"][metric]["p"] == ours["against"]["start"][metric]["p"]


def test_subsets_are_each_scored_among_their_own_classes(models: dict[str, str], images: Path, tmp_path: Path) -> None:
    """In a subset of one class every image is correct; in the subset of two classes not necessarily."""
    table = [
        row | {"subset": "one" if row["class"] == "Pica hudsonia" else "two"}
        for row in read_rows(images, BENCHMARK_IMAGES).to_pylist()
    ]
    write_rows(table, BENCHMARK_IMAGES, images)
    place = {"labels": "labels.csv", "images": "images"}
    spec = BenchmarkSettings.model_validate(
        {"layout": "subsets", "subsets": {"one": place, "two": place}, "text_type": "taxon_com", "shots": [1, 5]}
    )
    ours = {"ours": models["ours"]}
    made = {"ours": tmp_path / "ours.safetensors"}
    embed(work=tmp_path / "work", model=models["ours"], images=images, out=made["ours"], limits=INLINE)
    score_layout(benchmark="tiny", settings=spec, images=images, models=ours, features=made, out_dir=tmp_path / "s")
    found = read_score(tmp_path / "s")
    metrics = found["metrics"]
    assert metrics["subset/one/zero_shot/top1"] == 1
    assert metrics["zero_shot/top1"] == pytest.approx((1 + metrics["subset/two/zero_shot/top1"]) / 2)
    assert metrics["chance"] == pytest.approx((1 + 1 / 2) / 2)
    assert (found["n_images"], found["n_classes"]) == (12, 3)
    assert len(read_rows(tmp_path / "s/ours/tiny.predictions.parquet", PREDICTIONS)) == 12
    # A subset whose class has too few images costs the mean, and is named with the class.
    assert {"few_shot/1", "few_shot/5"} & metrics.keys() == {"few_shot/1"}
    assert re.search(r"subset one: .*'Pica hudsonia' has 4.*; subset two: ", found["left_out"]["few_shot/5"])


def test_a_benchmark_without_text_has_scores_and_no_predictions(
    models: dict[str, str], images: Path, tmp_path: Path
) -> None:
    table = read_rows(images, BENCHMARK_IMAGES).to_pylist()
    for row in table:
        row |= {"split": "train" if row["position"] < 6 else "test", "class_index": str(row["position"] % 3)}
    write_rows(table, BENCHMARK_IMAGES, images)
    made = {name: tmp_path / f"{name}.safetensors" for name in models}
    for name, source in models.items():
        embed(work=tmp_path / "work", model=source, images=images, out=made[name], limits=INLINE)
    plants = BenchmarkSettings.model_validate({"layout": "plantdoc", "folder": "plants"})
    score_layout(benchmark="tiny", settings=plants, images=images, models=models, features=made, out_dir=tmp_path / "s")
    found = read_score(tmp_path / "s")
    assert found["n_images"] == 6
    assert set(found["metrics"]) == {
        *(f"{prefix}few_shot/1{suffix}" for prefix in ("", "v1.0.1/", "main-49e1cf5/") for suffix in ("", "_std")),
        "chance",
    }
    assert not (tmp_path / "s/ours/tiny.predictions.parquet").exists()


def test_a_model_without_text_is_scored_by_few_shot_alone(
    models: dict[str, str], vision_model: str, images: Path, features: dict[str, Path], tmp_path: Path
) -> None:
    both = {"ours": models["ours"], "vision": vision_model}
    made = {"ours": features["ours"], "vision": tmp_path / "vision.safetensors"}
    embed(work=tmp_path / "work", model=vision_model, images=images, out=made["vision"], limits=INLINE)
    score_layout(
        benchmark="tiny", settings=settings(), images=images, models=both, features=made, out_dir=tmp_path / "s"
    )
    found = read_score(tmp_path / "s", "vision")
    assert set(found["metrics"]) == {
        *(f"{prefix}few_shot/1{suffix}" for prefix in ("", "v1.0.1/") for suffix in ("", "_std")),
        "chance",
    }
    assert set(found["against"]["ours"]) == {"few_shot/1", "v1.0.1/few_shot/1"}
    assert not (tmp_path / "s/vision/tiny.predictions.parquet").exists()
    with pytest.raises(InputError, match="no text tower"):
        score_layout(
            benchmark="tiny",
            settings=BenchmarkSettings.model_validate({"layout": "replay"}),
            images=images,
            models={"vision": vision_model},
            features={"vision": made["vision"]},
            out_dir=tmp_path / "r",
        )


def test_newt_is_scored_from_searches_of_the_same_features(
    models: dict[str, str], images: Path, tmp_path: Path
) -> None:
    """Two tasks of ten training and one test image, searched as two parts."""
    rows = read_rows(images, BENCHMARK_IMAGES).to_pylist()
    table = []
    for number in range(22):
        task, place = divmod(number, 11)
        split = "test" if place == 10 else "train"
        further = {"position": number, "class": str(place % 2), "split": split, "task": f"t{task}"}
        table.append(rows[number % 12] | further)
    write_rows(table, BENCHMARK_IMAGES, images)
    made = {"ours": tmp_path / "ours.safetensors"}
    embed(work=tmp_path / "work", model=models["ours"], images=images, out=made["ours"], limits=INLINE)
    spec = BenchmarkSettings.model_validate({"layout": "newt", "folder": "newt", "jobs": 2})
    folder = tmp_path / "searches"
    for part in range(2):
        out = folder / f"part-{part:04d}.parquet"
        search_newt(images=images, features=made["ours"], part=part, parts=2, out=out, draws=2)
    given = {"images": images, "models": {"ours": models["ours"]}, "features": made, "out_dir": tmp_path / "s"}
    score_layout(benchmark="tiny", settings=spec, searches={"ours": folder}, **given)
    found = read_score(tmp_path / "s")
    assert (found["n_images"], found["n_classes"]) == (2, 2)
    assert set(found["metrics"]) == {"svm/micro", "svm/micro_std", "v1.0.1/svm/micro", "chance"}
    other = read_features(made["ours"])
    write_features(made["ours"], Features(other.vectors, other.positions, replace(other.origin, preprocessing="x")))
    search_newt(images=images, features=made["ours"], part=1, parts=2, out=folder / "part-0001.parquet", draws=2)
    write_features(made["ours"], other)
    with pytest.raises(InputError, match=r"part-0001\.parquet: stale, made from other features"):
        score_layout(benchmark="tiny", settings=spec, searches={"ours": folder}, **given)
    with pytest.raises(InputError, match=r"evaluate\.newt\.search.*--searches"):
        score_layout(benchmark="tiny", settings=spec, **given)
