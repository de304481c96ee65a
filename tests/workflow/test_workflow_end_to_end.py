"""A run of the micro world from metadata to report."""

import json
from typing import Any

import pyarrow.parquet as pq
import pytest

from workflow_scripts.common.accounts import Account, read_account
from workflow_scripts.common.tables import read_rows
from workflow_scripts.contracts import (
    BENCHMARK_IMAGES,
    CATALOG,
    GATHERED_DOWNLOADS,
    LEAKAGE,
    SHARD_INDEX,
    SHARD_MANIFEST,
    VERDICTS,
)

pytestmark = pytest.mark.slow

CORPUS = "results/corpora/micro"


def score(project: Any, model: str, benchmark: str) -> dict[str, float]:
    return json.loads(project.path(f"results/runs/micro/scores/{model}/{benchmark}.json").read_text())["metrics"]


def account(project: Any, name: str) -> Account:
    return read_account(project.path(f"{CORPUS}/{name}"))


def test_the_trained_model_knows_what_it_saw(finished: Any) -> None:
    seen, start = score(finished, "micro", "seen_species"), score(finished, "start", "seen_species")
    assert seen["zero_shot/top1"] >= 0.5
    assert start["zero_shot/top1"] <= 5 * start["chance"]


def test_the_trained_model_knows_species_it_never_saw_by_their_names(finished: Any) -> None:
    unseen = score(finished, "micro", "rare_species")
    assert unseen["zero_shot/top1"] >= 0.4


def test_replay_keeps_what_the_starting_point_knew(finished: Any) -> None:
    before, after = (score(finished, model, "replay")["zero_shot/top1"] for model in ("start", "micro"))
    assert after >= before - 0.10


def test_costs_tell_the_run_its_corpus_and_shared_inputs_apart(finished: Any) -> None:
    costs = json.loads(finished.path("results/runs/micro/report/run.json").read_text())["costs"]
    owners = {(cost["step"], cost["owner"]) for cost in costs}
    assert owners >= {
        ("train/run", "run"),
        ("evaluate/embed", "run"),
        ("download", "corpus"),
        ("shards", "corpus"),
        ("benchmarks", "shared"),
        ("train/pretrained.pretrain", "shared"),
    }
    for cost in costs:
        assert 0 < cost["started"] <= cost["ended"], cost
        assert cost["machines"] and cost["cpu_seconds"] is not None and cost["gpu_seconds"] == 0, cost
        assert cost["adopted"] == 0, "nothing was there before"
    page = finished.path("results/runs/micro/report/index.html").read_text()
    assert all(machine in page for cost in costs for machine in cost["machines"])


def test_rows_in_are_rows_out_at_every_stage(finished: Any) -> None:
    parts = [finished.path(f"{CORPUS}/catalog/g000/part-000{part}.parquet") for part in range(2)]
    catalog = {row["uuid"] for row in read_rows(parts, CATALOG).to_pylist()}
    downloads = read_rows(finished.path(f"{CORPUS}/download/g000.parquet"), GATHERED_DOWNLOADS).to_pylist()
    verdicts = read_rows(finished.path(f"{CORPUS}/curate/g000/verdicts.parquet"), VERDICTS).to_pylist()
    assert {row["uuid"] for row in downloads} == catalog == {row["uuid"] for row in verdicts}
    kept = {row["uuid"] for row in verdicts if row["keep"]}
    assert 0 < len(kept) < len(catalog)
    samples: list[str] = []
    for split in ("train", "val"):
        folder = finished.path(f"{CORPUS}/shards/g000/{split}")
        index = read_rows(folder / "index.parquet", SHARD_INDEX).to_pylist()
        shards = read_rows(folder / "manifest.parquet", SHARD_MANIFEST).num_rows
        assert pq.ParquetFile(folder / "index.parquet").num_row_groups == shards
        manifest = read_rows(folder / "manifest.parquet", SHARD_MANIFEST).to_pylist()
        assert sum(row["samples"] for row in manifest) == len(index)
        samples += [row["uuid"] for row in index]
    assert len(samples) == len(set(samples))
    assert set(samples) == kept


def test_accounts_follow_one_another(finished: Any) -> None:
    catalog, downloads = account(finished, "catalog/g000/account.json"), account(finished, "download/g000.account.json")
    verdicts, shards = account(finished, "curate/g000/account.json"), account(finished, "shards/g000/account.json")
    assert catalog.kept == downloads.rows_in == verdicts.rows_in
    assert verdicts.kept == shards.rows_in == shards.kept
    assert downloads.dropped
    assert {"duplicate", "unresolved", "download_failed", "leakage"} <= set(verdicts.dropped)


def test_no_image_of_a_benchmark_is_in_the_corpus(finished: Any) -> None:
    leaks = read_rows(finished.path(f"{CORPUS}/curate/g000/leakage.parquet"), LEAKAGE).to_pylist()
    verdicts = read_rows(finished.path(f"{CORPUS}/curate/g000/verdicts.parquet"), VERDICTS).to_pylist()
    assert {row["same_bytes"] for row in leaks} == {True, False}
    assert not {row["uuid"] for row in leaks} & {row["uuid"] for row in verdicts if row["keep"]}
    tables = [*finished.path("results/shared/benchmarks").glob("*_species-*/images.parquet")]
    benchmark = {row["md5"] for table in tables for row in read_rows(table, BENCHMARK_IMAGES).to_pylist()}
    assert len(tables) == 2
    assert not benchmark & {row["md5"] for row in verdicts if row["keep"]}
    page = finished.path("results/runs/micro/report/index.html").read_text()
    section = page.partition('<section id="leakage">')[2].partition("</section>")[0]
    assert section.count("data:image/jpeg") >= 2, "thumbnails of a pair"


def test_metrics_hold_every_step_once(finished: Any) -> None:
    lines = finished.path("results/runs/micro/train/metrics.jsonl").read_text().splitlines()
    steps = [entry["step"] for entry in map(json.loads, lines) if "loss" in entry]
    assert steps == sorted(set(steps))
    assert len(steps) == steps[-1] - steps[0] + 1


def test_the_report_is_one_file_with_every_score(finished: Any) -> None:
    page = finished.path("results/runs/micro/report/index.html").read_text()
    for benchmark in ("rare_species", "seen_species", "insects", "replay"):
        assert benchmark in page
    table = pq.read_table(finished.path("results/runs/micro/report/scores.parquet")).to_pylist()
    assert {"micro", "start"} == {row["model"] for row in table}


def test_snakemakes_own_report_holds_page_and_scores(finished: Any) -> None:
    text = finished.run("all", "--report", "workflow.html")
    assert "Adding index.html" in text
    assert "Adding scores.csv" in text
    report = finished.path("workflow.html").read_text()
    for rule in ("download", "train_run", "eval_rare_species"):
        assert f'"{rule}"' in report
