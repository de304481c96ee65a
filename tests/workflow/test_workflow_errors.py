"""Bad input ends with one line that says what is wrong and where, a nonzero exit status, and all earlier results."""

import os
import re
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.messages import says
from tests.workflow.commands import snakemake
from workflow_scripts.common.errors import InputError
from workflow_scripts.common.snakemake_errors import check_writable

ROOT = Path(__file__).resolve().parents[2]


def complaint(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    return line


def test_misspelt_key(fresh: Any) -> None:
    fresh.edit("tests/workflow/micro.yaml", "shards: {samples_per_shard", "shards: {sample_per_shard")
    assert complaint(fresh.snakemake("-n")) == (
        "error: config/config.yaml + tests/workflow/micro.yaml: shards.sample_per_shard: unknown key; "
        "did you mean samples_per_shard?"
    )


def test_misspelt_key_on_the_command_line(fresh: Any) -> None:
    done = fresh.snakemake("-n", "--config", "train={epoch: 3}")
    files = "config/config.yaml + tests/workflow/micro.yaml"
    assert complaint(done) == f"error: {files} + --config: train.epoch: unknown key; did you mean epochs?"


def test_missing_input(fresh: Any) -> None:
    fresh.path("species.csv").unlink()
    missing = "config/config.yaml + tests/workflow/micro.yaml: world.species: species.csv: no such file or folder"
    assert complaint(fresh.snakemake("all")) == f"error: {missing}"
    assert not fresh.path("species.csv").exists()
    planned = fresh.snakemake("-n", "all")
    assert planned.returncode == 0
    # Behind Snakemake's thousands of lines, with what the plan takes.
    lines = planned.stderr.splitlines()
    ends = [line.split(":")[0] for line in lines[lines.index(f"missing: {missing}") :]]
    assert ends == ["missing", "plan", "images"]


def test_a_column_that_a_table_lacks_is_refused_by_the_dry_run(fresh: Any) -> None:
    fresh.path("mine.csv").write_text("url;Art\nhttps://a.org/1.jpg;Aus bus\n")
    source = "{name: mine, reader: table, table: mine.csv, columns: {species: Gattung}}"
    said = complaint(fresh.snakemake("-n", "--config", f"generations=[{{sources: [{source}]}}]"))
    assert all(part in said for part in ("generations.0.sources.mine", "mine.csv", "Gattung", "columns.species", "Art"))


def test_many_missing_inputs_are_counted_and_listed_by_the_printed_command(fresh: Any) -> None:
    line = complaint(snakemake(fresh.folder, "all", "-c2", "--configfile", "config/beetles.yaml"))
    found = re.search(
        r"my_beetles\.table: beetles/images\.csv: .*\(and (\d+) more: `snakemake (.+)` names them\)$", line
    )
    assert found
    lines = [line for line in fresh.typed(f"snakemake {found[2]}").stderr.splitlines() if line.startswith("missing: ")]
    assert len(lines) == 1 + int(found[1])


@pytest.mark.slow
def test_downloads_are_estimated_before_benchmarks_exist(fresh: Any) -> None:
    mine = ("--config", "benchmarks={mine: {layout: csv, labels: mine.csv, images: mine}}")
    said = complaint(fresh.snakemake("all", *mine))
    assert says(said, "benchmarks.mine.labels: mine.csv: ", "1 more")
    assert not fresh.path("results").exists()
    fresh.run("estimate", *mine)
    assert fresh.path("results/corpora/micro/catalog/g000/part-0001.parquet").exists()


def test_a_mix_with_a_missing_corpus_is_refused_before_anything_runs(fresh: Any) -> None:
    mix = ("--config", "mix=[{corpus: micro}, {corpus: other}]")
    missing = "mix.1.corpus: results/corpora/other: no such file or folder"
    assert complaint(fresh.snakemake("data", *mix)).endswith(f" + --config: {missing}")
    assert missing in fresh.snakemake("-n", "data", *mix).stderr


def test_a_misspelt_target_is_named_with_the_nearest_one(fresh: Any) -> None:
    done = fresh.snakemake("-n", "eval_rare_specis")
    assert says(complaint(done), "eval_rare_specis", "eval_rare_species?")
    assert done.stderr.splitlines()[-1].startswith("error: ")


def test_results_that_cannot_be_written_are_refused_before_anything_runs(fresh: Any) -> None:
    fresh.path("results").write_text("")
    assert says(complaint(fresh.snakemake("data")), "results", "is a file", "config/site.yaml")
    fresh.path("results").unlink()
    for nowhere in ("/proc/results", "/sys/results"):
        with pytest.raises(InputError, match=rf"^{nowhere}: cannot write to .*config/site\.yaml"):
            check_writable(Path(nowhere))
    if os.getuid() == 0:
        pytest.skip("root may write anywhere")
    fresh.path("results").mkdir(mode=0o500)
    assert says(complaint(fresh.snakemake("data")), "denied", "config/site.yaml")


def test_a_second_run_names_the_first_and_how_to_remove_a_stale_lock(fresh: Any) -> None:
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    first = subprocess.Popen(fresh.command("data"), cwd=fresh.folder, env=fresh.environment(), **quiet)
    try:
        deadline = time.monotonic() + 120
        while not list(fresh.path(".snakemake/running").glob("*")):
            assert first.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.1)
        said = complaint(fresh.snakemake("data"))
        assert says(said, f"process {first.pid}", f"kill -INT {first.pid}")
    finally:
        first.kill()
        first.wait()
    said = complaint(fresh.snakemake("data"))
    assert says(said, "killed", "`snakemake --unlock ")
    assert "--cleanup-metadata" not in said
    fresh.run("--unlock")
    assert fresh.planned("data")


def test_broken_config_file(fresh: Any) -> None:
    fresh.path("config/site.yaml").write_text("results: [")
    assert "config/site.yaml: line" in complaint(fresh.snakemake("-n"))


def test_the_first_line_names_config_corpus_and_run(fresh: Any) -> None:
    # With a profile, Snakemake's own line about it comes before anything that a workflow can print.
    about_profile, first, *_ = fresh.snakemake("-n").stderr.splitlines()
    assert about_profile.startswith("Using profile profiles/local")
    assert first == "config config/config.yaml + tests/workflow/micro.yaml, corpus micro, run micro"


def test_the_default_config_does_not_leak_into_another(fresh: Any) -> None:
    fresh.path("mine.yaml").write_text("run: mine\ncorpus: mine\n")
    done = snakemake(fresh.folder, "-n", "-c2", "--configfile", "mine.yaml")
    assert says(complaint(done), "mine.yaml", "model", "missing")


@pytest.mark.slow
def test_a_table_without_its_columns_is_named_and_nothing_is_lost(copy: Any) -> None:
    manifest = copy.path("results/corpora/micro/shards/g000/train/manifest.parquet")
    kept = manifest.read_bytes()
    copy.path("mine.csv").write_text("picture,genus,species\na.jpg,Pica,hudsonia\n")
    copy.edit("tests/workflow/micro.yaml", '"{world}/table.csv"', "mine.csv")
    redo = ("--config", "redo=[download,shards]")
    assert "mine.csv" in complaint(copy.snakemake("all", *redo))
    assert manifest.read_bytes() == kept
    copy.edit("tests/workflow/micro.yaml", "mine.csv", '"{world}/table.csv"')
    copy.run("data")
    assert manifest.read_bytes() == kept
