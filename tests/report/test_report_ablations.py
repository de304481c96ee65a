"""Ablation tables from score files."""

import json
from pathlib import Path

import polars as pl
import pytest

from workflow_scripts.common.errors import InputError
from workflow_scripts.report.ablations import ablations

TOP1 = {
    ("captions", "start", "replay"): 0.9,
    ("captions", "no_replay.1", "replay"): 0.2,
    ("captions", "no_replay.2", "replay"): 0.4,
    ("captions", "two_projectors.1", "replay"): 0.8,
    ("captions", "two_projectors.2", "replay"): 0.8,
    ("sci", "start", "rare"): 0.05,
    ("sci", "sci.1", "rare"): 0.6,
    ("sci", "com.1", "rare"): 0.1,
    ("sci", "two_projectors.1", "rare"): 0.5,
    ("sci", "two_projectors.2", "rare"): 0.9,
    ("taxon_com", "two_projectors.1", "rare"): 0.7,
    ("taxon_com", "two_projectors.2", "rare"): 0.5,
    ("com", "com.1", "rare"): 0.55,
}


@pytest.fixture
def scores(tmp_path: Path) -> list[Path]:
    """Score files of some variants."""
    paths = []
    for (tested, variant, benchmark), value in TOP1.items():
        path = tmp_path / tested / variant / f"{benchmark}.json"
        path.parent.mkdir(parents=True)
        content = {"benchmark": benchmark, "model": variant, "protocol": "corrected", "n_images": 4, "n_classes": 2}
        path.write_text(json.dumps(content | {"metrics": {"zero_shot/top1": value}, "inputs": {}}))
        paths.append(path)
    return paths


def test_variants_are_averaged_over_seeds_and_text_types_are_crossed(
    scores: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ablations(scores=tuple(scores), csv=tmp_path / "scores.csv", parquet=tmp_path / "scores.parquet")
    replay, types = capsys.readouterr().out.strip().split("\n\n")
    rows = {line.split("  ")[0]: line.split()[1:] for line in replay.splitlines()}
    assert rows["no_replay"] == ["30.0", "±", "10.0", "-"]
    assert rows["two_projectors"] == ["80.0", "±", "0.0", "60.0", "±", "10.0"]
    assert rows["start"] == ["90.0", "-"]
    assert rows["one_projector"] == ["-", "-"]
    head, *lines = types.splitlines()
    assert head.split("  ")[0] == "rare: trained on"
    assert head.split()[3:] == ["sci", "taxon_com", "com"]
    found = {line.split("  ")[0]: line.split()[-3:] for line in lines}
    # The mix counts with its first seed only, as the single types do.
    assert found["the mix"] == ["50.0", "70.0", "-"]
    assert found["sci"] == ["60.0", "-", "-"]
    assert found["com"] == ["10.0", "-", "55.0"]
    table = pl.read_parquet(tmp_path / "scores.parquet")
    assert len(table) == len(TOP1) == len(pl.read_csv(tmp_path / "scores.csv"))
    assert table.filter(pl.col("variant") == "start")["seed"].to_list() == [None, None]


@pytest.mark.parametrize(
    ("folder", "metrics", "complaint"),
    [
        ("start", {"traits/all": 0.5}, r"fish\.json: no zero_shot/top1, .*; remove fish"),
        ("no_replay", {"zero_shot/top1": 0.5}, "VARIANT.SEED, found no_replay"),
    ],
)
def test_scores_that_cannot_be_compared_are_named(folder: str, metrics: dict, complaint: str, tmp_path: Path) -> None:
    path = tmp_path / "sci" / folder / "fish.json"
    path.parent.mkdir(parents=True)
    content = {"benchmark": "fish", "model": folder, "protocol": "corrected", "n_images": 4, "n_classes": 2}
    path.write_text(json.dumps(content | {"metrics": metrics, "inputs": {}}))
    with pytest.raises(InputError, match=complaint):
        ablations(scores=(path,), csv=tmp_path / "scores.csv", parquet=tmp_path / "scores.parquet")


def test_the_starting_weights_alone_make_tables_too(
    scores: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    alone = tuple(path for path in scores if path.parent.name == "start")
    ablations(scores=alone, csv=tmp_path / "scores.csv", parquet=tmp_path / "scores.parquet")
    assert capsys.readouterr().out.count("start") == 2
