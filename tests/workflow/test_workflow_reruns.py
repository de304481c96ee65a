"""`snakemake -n` after each kind of change to a finished project: what would run again, and why."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tests.messages import says
from tests.workflow.conftest import jobs_of
from workflow_scripts.common.job_costs import read_attempts
from workflow_scripts.contracts import RANKS
from workflow_scripts.report.costs import read_costs

pytestmark = pytest.mark.slow

INTRINSIC = {"tsne", "intrinsic_rare_species", "intrinsic_seen_species"}
EVALUATION = {
    "species_texts",
    "model_card",
    "embed",
    "eval_rare_species",
    "eval_seen_species",
    "eval_insects",
    "eval_replay",
    "report_build",
} | INTRINSIC
# A finished training keeps the names that it was trained on.
AFTER_TAXONOMY = {
    "curate",
    "curate_loss",
    "curate_attribution",
    "taxonomy_stats",
    "seen_species",
    "shards_plan",
    "shards_write",
    "shards_gather",
    "report_corpus",
} | (EVALUATION - INTRINSIC - {"embed"})


def test_nothing_changed(finished: Any) -> None:
    assert finished.planned("all") == {}


def test_comments_and_docstrings_rerun_nothing(finished: Any) -> None:
    files = [file for file in sorted(finished.path("workflow_scripts").rglob("*.py")) if file.name != "__init__.py"]
    before = {file: file.read_text() for file in files}
    try:
        for file, text in before.items():
            assert text.startswith('"""')
            file.write_text(text.replace('"""', '"""Changed. ', 1) + "\n# Another comment.\n")
        for rules in finished.path("rules").glob("*.smk"):
            before[rules] = rules.read_text()
            rules.write_text(before[rules] + "\n# Another comment.\n")
        assert finished.planned("all") == {}
    finally:
        for file, text in before.items():
            file.write_text(text)


def test_one_benchmark_is_redone_alone(copy: Any) -> None:
    scores = copy.path("results/runs/micro/scores/micro/rare_species.json")
    kept = scores.read_text()
    scores.unlink()
    assert copy.planned("eval_rare_species") == {"eval_rare_species": 1}
    copy.run("eval_rare_species")
    assert scores.read_text() == kept


def test_a_retry_without_new_images_reruns_nothing(finished: Any) -> None:
    manifests = {path: path.stat().st_mtime_ns for path in finished.folder.rglob("part-*/manifest.parquet")}
    files = sorted(finished.path("results/corpora/micro").rglob("*"))
    finished.run("retry_failed")
    assert {path: path.stat().st_mtime_ns for path in manifests} == manifests
    left = {path.name for path in sorted(finished.path("results/corpora/micro").rglob("*")) if path not in files}
    assert left <= {".retry.lock", "stopped_hosts", "retried-corpus.json", "retried-replay.json"}
    assert finished.planned("all") == {}


def test_an_edited_resolver_reruns_taxonomy_and_later_steps(copy: Any) -> None:
    work = [*copy.path("results/corpora/micro/.work").rglob("done.json")]
    work += [*copy.path("results/runs/micro/.work").rglob("done.json")]
    finished_at = {file: file.stat().st_mtime_ns for file in work}
    assert finished_at
    cost = shards_cost(copy)
    main = '\nif __name__ == "__main__"'
    copy.edit("workflow_scripts/taxonomy/resolve.py", main, f"\nCHANGED = True\n{main}")
    text = copy.run("-n", "all")
    assert set(jobs_of(text)) == {"taxonomy_resolve"} | AFTER_TAXONOMY
    assert "Params have changed since last execution" in text
    copy.run("data", "--config", "redo=shards")
    # Resolving again gives the same names, so that shards are adopted.
    assert {file: file.stat().st_mtime_ns for file in finished_at} == finished_at
    assert "made before" in copy.path("logs/corpora/micro/shards/g000/group-000.log").read_text()
    attempts = [one.work for one in read_attempts(copy.path("logs/corpora/micro/shards/g000/group-000.costs.jsonl"))]
    assert attempts == ["done", "adopted"]
    assert shards_cost(copy) == cost, "adopting the work keeps its first measurement"
    assert copy.planned("train") == {}


def shards_cost(project: Any) -> dict[str, Any]:
    """What the corpus's shard jobs cost, without what only Snakemake measures of the last run."""
    costs = read_costs([("corpus", project.path("logs/corpora/micro"))])
    found = asdict(next(cost for cost in costs if cost.step == "shards"))
    return {name: value for name, value in found.items() if name not in ("read_mb", "written_mb", "memory_mb")}


def test_an_override_changes_names_and_rewrites_no_shard(copy: Any) -> None:
    labels = copy.path("results/corpora/micro/taxonomy/labels.parquet")
    species = [row for row in pq.read_table(labels).to_pylist() if row["resolved_rank"] == "species"]
    one, other = species[0], next(row for row in species if row["genus"] != species[0]["genus"])
    columns = [name for name in (*RANKS, "scientific_name") if one[f"provider_{name}"]]
    cells = [one[f"provider_{name}"] for name in columns]
    copy.path("overrides.csv").write_text(
        ",".join([*columns, "taxon_id"]) + "\n" + ",".join([*cells, other["accepted_id"]]) + "\n"
    )
    shards = [*copy.path("results/corpora/micro").rglob("shards/**/*.tar")]
    assert {".work", "g000"} <= {part for shard in shards for part in shard.parts}
    before = {shard: shard.stat().st_mtime_ns for shard in shards}
    override = ("--config", "taxonomy={overrides: overrides.csv}")
    assert {"taxonomy_resolve", "curate", "shards_plan"} <= set(copy.planned("data", *override))
    copy.run("data", *override, "redo=shards")
    renamed = {row["label_id"]: row["scientific_name"] for row in pq.read_table(labels).to_pylist()}
    assert renamed[one["label_id"]] == other["scientific_name"] != one["scientific_name"]
    assert {shard: shard.stat().st_mtime_ns for shard in before} == before


def test_shards_lost_from_view_are_published_again(copy: Any) -> None:
    folder = copy.path("results/corpora/micro/shards/g000")
    lost = [
        folder / name
        for name in ("train/shard-000000.tar", "train/manifest.parquet", "groups/group-000.manifest.parquet")
    ]
    kept = [file.read_bytes() for file in lost]
    for file in lost:
        file.unlink()
    copy.run("data")
    assert [file.read_bytes() for file in lost] == kept
    assert "3 of them made before" in copy.path("logs/corpora/micro/shards/g000/group-000.log").read_text()


def test_a_purged_download_is_named_and_not_fetched_again(finished: Any) -> None:
    corpus = finished.path("results/corpora/micro")
    places = [corpus / "download", corpus / ".work/download"]
    for place in places:
        place.rename(place.with_name("away"))
    try:
        assert finished.planned("all") == {}, "what was made of the downloads is there"
        done = finished.snakemake("verify")
        assert done.returncode != 0
        for part in ("part-0000", "part-0001"):
            manifest = f"results/corpora/micro/download/{part}/manifest.parquet"
            assert says(done.stdout + done.stderr, f"{manifest}: missing", "download")
        assert not places[0].exists()
    finally:
        for place in places:
            place.with_name("away").rename(place)


def test_every_log_names_its_command(finished: Any) -> None:
    logs = [*finished.path("logs").rglob("*.log")]
    assert len(logs) > 20
    for log in logs:
        assert "workflow_scripts" in Path(log).read_text(), log
