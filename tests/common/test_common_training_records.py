"""A finished training keeps the generations in its record, and reports what has changed since."""

import json
import os
from pathlib import Path

import pytest

from workflow_scripts.common.config.train import CorpusShards, ModelSettings, TrainSettings
from workflow_scripts.common.errors import InputError
from workflow_scripts.common.files import sha256_file
from workflow_scripts.common.training_records import START_FILES, finished_training


@pytest.fixture
def corpus(tmp_path: Path) -> CorpusShards:
    """A corpus with two generations and names."""
    folders = [tmp_path / f"shards/g00{number}" for number in range(2)]
    for folder in [*folders, tmp_path / "replay"]:
        (folder / "train").mkdir(parents=True)
        for table in ("manifest", "index"):
            (folder / f"train/{table}.parquet").write_text(f"{table} of {folder.name}")
    (tmp_path / "labels.parquet").write_text("names")
    return CorpusShards(shards=[str(folder) for folder in folders], labels=str(tmp_path / "labels.parquet"))


@pytest.fixture
def summary(corpus: CorpusShards, tmp_path: Path) -> Path:
    """The record of a training on the first generation with replay."""
    path = tmp_path / "summary.json"

    def sums(folder: Path) -> list[str]:
        return [sha256_file(folder / f"train/{table}.parquet") for table in ("manifest", "index")]

    assert corpus.labels is not None
    biology = {"train": sums(Path(corpus.shards[0])), "val": [], "labels": sha256_file(Path(corpus.labels))}
    replay = {"train": sums(tmp_path / "replay"), "val": []}
    start = []
    for name in START_FILES:
        (tmp_path / name).write_text(f"{name} of the model")
        start.append(sha256_file(tmp_path / name))
    path.write_text(json.dumps({"digests": {"data": {"biology": [biology], "replay": replay}, "start": start}}))
    return path


def changed(path: Path, text: str) -> None:
    """Write a file with a modification time an hour later."""
    path.write_text(text)
    later = path.stat().st_mtime + 3600
    os.utime(path, (later, later))


def behind(summary: Path, corpus: CorpusShards) -> list[str]:
    training = finished_training(summary)
    assert training is not None
    return list(training.behind([corpus], "train", summary.parent / "replay", summary.parent))


def test_growth_leaves_a_training_with_its_generations(summary: Path, corpus: CorpusShards) -> None:
    training = finished_training(summary)
    assert training is not None
    (bound,) = training.corpora([corpus])
    assert bound.shards == corpus.shards[:1]
    assert behind(summary, corpus) == [f"{corpus.shards[1]} is new"]


def test_changed_tables_are_named_and_rewritten_equal_ones_are_not(
    summary: Path, corpus: CorpusShards, tmp_path: Path
) -> None:
    old = corpus.model_copy(update={"shards": corpus.shards[:1]})
    manifest = Path(corpus.shards[0], "train/manifest.parquet")
    changed(manifest, manifest.read_text())
    assert behind(summary, old) == []
    changed(manifest, "without an image that was taken down")
    changed(tmp_path / "labels.parquet", "other names")
    changed(tmp_path / "replay/train/manifest.parquet", "less")
    changed(tmp_path / START_FILES[-1], "other weights")
    assert behind(summary, old) == [
        f"{corpus.shards[0]}/train changed",
        f"{corpus.labels} changed",
        f"{tmp_path}/replay/train changed",
        f"{tmp_path} changed",
    ]


def test_other_settings_another_model_or_version_is_another_training(summary: Path) -> None:
    settings, model = TrainSettings(epochs=1, global_batch=8), ModelSettings(start="ViT-B-16-quickgelu:openai")
    record = json.loads(summary.read_text())
    record |= {"settings": settings.model_dump(mode="json"), "model": model.model_dump(mode="json")}
    record["digests"]["version"] = "1"
    summary.write_text(json.dumps(record))
    training = finished_training(summary)
    assert training is not None
    assert training.is_of(settings, model, "1")
    assert not training.is_of(settings, model, "1-abc")
    assert not training.is_of(settings.model_copy(update={"lr": 1.0}), model, "1")
    assert not training.is_of(settings, model.model_copy(update={"start": None}), "1")


def test_replay_that_a_training_did_not_have_is_new(summary: Path, corpus: CorpusShards) -> None:
    record = json.loads(summary.read_text())
    record["digests"]["data"]["replay"] = None
    summary.write_text(json.dumps(record))
    assert f"{summary.parent / 'replay'} is new" in behind(summary, corpus)


def test_another_mix_is_another_training(summary: Path, corpus: CorpusShards) -> None:
    training = finished_training(summary)
    assert training is not None
    assert training.corpora([corpus, corpus]) == [corpus, corpus]


def test_without_a_training_nothing_is_bound_and_a_damaged_record_is_named(tmp_path: Path) -> None:
    assert finished_training(tmp_path / "summary.json") is None
    (tmp_path / "summary.json").write_text("{}")
    with pytest.raises(InputError, match=r"summary.json: .*delete"):
        finished_training(tmp_path / "summary.json")
