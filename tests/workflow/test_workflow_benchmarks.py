"""A given benchmark folder survives, whatever happens to the job that reads it."""

import csv
import hashlib
import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.messages import says
from workflow_scripts.common.config.curate import CurateSettings
from workflow_scripts.common.config.evaluate import BenchmarkSettings, CarvedBenchmark, PlantdocBenchmark, as_read
from workflow_scripts.common.config.root import load_config, read_yaml
from workflow_scripts.common.config.site import SiteSettings
from workflow_scripts.common.errors import InputError
from workflow_scripts.common.files import digest
from workflow_scripts.common.tables import read_rows
from workflow_scripts.contracts import BENCHMARK_IMAGES, LABELS, VERDICTS
from workflow_scripts.curate.decide import decide
from workflow_scripts.evaluate.carved.score import score_model
from workflow_scripts.evaluate.scoring import score

ROOT = Path(__file__).resolve().parents[2]


def contents(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        + str(path.stat().st_mtime_ns)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_forced_and_failing_runs_leave_a_persons_folder_alone(fresh: Any) -> None:
    plants = fresh.folder / "plants"
    spec = PlantdocBenchmark(layout="plantdoc", folder="plants")
    table = f"results/shared/benchmarks/plantdoc-{digest([as_read(spec), ''])[:8]}/images.parquet"
    words = (table, "--config", "benchmarks={plantdoc: {layout: plantdoc, folder: plants}}")
    missing = fresh.snakemake(*words)
    assert missing.returncode != 0
    assert says(missing.stderr, "benchmarks.plantdoc.folder (train): plants/train: ", "https://")
    assert not plants.exists()
    for split in ("train", "test"):
        (plants / split / "Apple leaf").mkdir(parents=True)
        (plants / split / "Apple leaf" / "1.jpg").write_bytes(b"no picture")
    before = contents(plants)
    failed = fresh.snakemake(*words)
    assert failed.returncode != 0
    assert says(failed.stdout + failed.stderr, "benchmark plantdoc: ", "2 images")
    assert contents(plants) == before
    Image.effect_noise((64, 64), 90).convert("RGB").save(plants / "train" / "Apple leaf" / "1.jpg")
    before = contents(plants)
    fresh.run(*words)
    fresh.run(*words, "--forcerun", "benchmark_index")
    assert fresh.path(table).exists()
    assert contents(plants) == before


def test_what_is_carved_is_held_out_before_anything_is_curated(fresh: Any) -> None:
    carved = "benchmarks={carved: {layout: carved, species: 4, images: 8}}"
    text = fresh.run("-np", "data", "--config", carved, "curate={hold_out_species_of: [carved]}")
    assert "python -m workflow_scripts.evaluate.carved.index --name carved" in text
    (decide,) = [line for line in text.splitlines() if "workflow_scripts.curate.decide" in line]
    assert "--held-out results/shared/benchmarks/carved-" in decide


@pytest.mark.slow
def test_a_benchmark_is_carved_of_a_corpus_and_training_then_lacks_its_species(finished: Any, tmp_path: Path) -> None:
    spec = CarvedBenchmark(layout="carved", species=3, images=6)
    table = finished.path(f"results/shared/benchmarks/carved-{digest([as_read(spec), 'micro'])[:8]}/images.parquet")
    features = finished.path("results/runs/micro/features/start/carved.safetensors")
    config = "benchmarks={carved: {layout: carved, species: 3, images: 6}}", "curate={hold_out_species_of: [carved]}"
    words = (str(features.relative_to(finished.folder)), "--config", *config)
    assert finished.planned(*words) == {"benchmark_carve": 1, "embed": 1}
    # A finished training keeps its data until it is asked to train again.
    planned = finished.planned("eval_carved", *words[1:]).keys()
    assert {"benchmark_carve", "curate", "eval_carved"} <= planned
    assert "train_run" not in planned
    assert "train_run" in finished.planned("eval_carved", *words[1:], "redo=train")
    finished.run(*words)
    rows = read_rows(table, BENCHMARK_IMAGES).to_pylist()
    carved = {(row["taxon_genus"], row["taxon_species"]) for row in rows}
    assert (len(rows), len(carved)) == (18, 3)

    corpus = finished.path("results/corpora/micro")
    before = read_rows(corpus / "curate/g000/verdicts.parquet", VERDICTS).to_pylist()
    decide(
        catalog=tuple(sorted(corpus.glob("catalog/g000/part-*.parquet"))),
        downloads=corpus / "download/g000.parquet",
        labels=corpus / "taxonomy/labels.parquet",
        settings=CurateSettings(hold_out_species_of=["carved"]),
        leakage=(corpus / "curate/g000/leakage.parquet",),
        held_out=(table,),
        out=tmp_path / "verdicts.parquet",
        account=tmp_path / "account.json",
    )
    after = read_rows(tmp_path / "verdicts.parquet", VERDICTS).to_pylist()
    labels = read_rows(corpus / "taxonomy/labels.parquet", LABELS).to_pylist()
    species = {label["label_id"]: (label["genus"], label["species"]) for label in labels}
    assert {species[row["label_id"]] for row in before if row["keep"]} >= carved
    assert not {species[row["label_id"]] for row in after if row["keep"]} & carved
    assert {row["image"] for row in rows} <= {row["uuid"] for row in after if row["reason"] == "held_out_species"}

    (start,) = finished.path("results/shared/models").glob("pretrained-*")
    score(
        score_model,
        benchmark="carved",
        settings=BenchmarkSettings(spec=spec),
        images=table,
        models={"start": f"local-dir:{start}"},
        features={"start": features},
        out_dir=tmp_path,
    )
    scores = json.loads((tmp_path / "start/carved.json").read_text())
    assert (scores["n_images"], scores["n_classes"]) == (18, 3)
    assert {"zero_shot/top1", "few_shot/1", "few_shot/5"} <= set(scores["metrics"])


@pytest.mark.parametrize(
    ("settings", "held_out", "message"),
    [
        ({"images": 8}, [], "benchmarks.carved: .*curate.hold_out_species_of"),
        ({"images": 5}, ["carved"], "benchmarks.carved.images: 5 .* 5 shots; .* 6"),
    ],
)
def test_a_carved_benchmark_that_would_test_nothing_is_refused(
    settings: dict[str, int], held_out: list[str], message: str
) -> None:
    values = read_yaml(ROOT / "config/config.yaml")
    values["benchmarks"]["carved"] = {"layout": "carved", "species": 4, **settings}
    values["curate"]["hold_out_species_of"] = held_out
    with pytest.raises(InputError, match=message):
        load_config(values, "config", SiteSettings())


def test_baselines_are_fetched_once_and_vision_models_are_scored_without_text(fresh: Any) -> None:
    dino = f"dino: 'timm:hf-hub:timm/vit_base_patch14_dinov2.lvd142m@{'0' * 40}'"
    baselines = f"baselines={{clip: 'ViT-B-16-quickgelu:openai', {dino}}}"
    commands = [
        line for line in fresh.run("-np", "evaluate", "--config", baselines).splitlines() if "python -m" in line
    ]
    assert sum("models.fetch" in line and "HF_HUB_OFFLINE=0" in line for line in commands) == 3
    embedded = [line for line in commands if "evaluate.embed" in line]
    assert len(embedded) == 4 * 4 - 1
    (insects,) = [line for line in commands if "--benchmark insects " in line]
    (replay,) = [line for line in commands if "--benchmark replay " in line]
    assert "dino timm:local-dir:results/shared/models/fetched-" in insects
    assert "dino" not in replay


def test_newts_scores_are_one_job_and_its_scattered_searches_are_kept(fresh: Any) -> None:
    words = ("eval_newt", "--configfile", "config/config.yaml", "tests/workflow/micro.yaml", "config/miniatures.yaml")
    pretend_made(fresh, *words)
    run = fresh.path("results/runs/micro")
    searches = sorted(run.glob("searches/*/newt/of-2/part-*.parquet"))
    assert len(searches) == 2 * 2
    for scores in run.glob("scores/*/newt.json"):
        scores.unlink()
    assert fresh.planned(*words) == {"eval_newt": 1}
    searches[0].unlink()
    assert fresh.planned(*words) == {"eval_newt": 1, "newt_search": 1}


RECORD = json.dumps({"digests": {"data": {"biology": [], "replay": None}, "start": []}})


def pretend_made(project: Any, *words: str) -> None:
    """Every file of a plan, empty, all of one age."""
    now = time.time()
    for line in csv.DictReader(project.run("--summary", *words).splitlines(), delimiter="\t"):
        if line["status"] == "missing":
            path = project.path(line["output_file"])
            path.parent.mkdir(parents=True, exist_ok=True)
            # A finished training's record says what it was trained on.
            path.write_text(RECORD if path.match("train/summary.json") else "")
            os.utime(path, (now, now))
