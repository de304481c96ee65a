"""Dry runs of the configs that the project ships."""

import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.messages import says
from tests.workflow.commands import snakemake
from tests.workflow.conftest import jobs_of
from workflow_scripts.common.config.root import load_config, read_yaml
from workflow_scripts.common.config.site import SiteSettings

ROOT = Path(__file__).resolve().parents[2]


def plan(folder: Path, *words: str) -> str:
    done = snakemake(folder, *words)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def place_what_a_person_gives(folder: Path, config: str) -> None:
    for given in load_config(read_yaml(folder / config), config, SiteSettings()).given_files().values():
        path = folder / given
        if Path(given).suffix:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        else:
            path.mkdir(parents=True, exist_ok=True)


SLOW = pytest.mark.slow
BENCHMARKS = {
    *("nabirds", "plankton", "insects", "insects2", "plantnet", "fungi", "plantvillage", "med_leaf", "plantdoc_meta"),
    *("rare_species", "camera_trap", "birds525", "newt", "fishnet", "awa2", "herbarium19", "plantdoc"),
}


@pytest.mark.parametrize(
    "recipe", ["bioclip", pytest.param("bioclip2", marks=SLOW), pytest.param("bioclip25", marks=SLOW)]
)
def test_a_recipe_plans_its_whole_run_on_a_machine_with_no_data(fresh: Any, recipe: str) -> None:
    fresh.path("config/site.yaml").write_text(f"data: {fresh.folder}/data\n")
    if recipe == "bioclip25":
        # As many parts as bioclip2, whose plan has all of them.
        fresh.edit("config/bioclip25.yaml", "parts: 2000", "parts: 20")
    text = plan(fresh.folder, "all", "-n", "-c1", "--configfile", f"config/{recipe}.yaml")
    assert "double '/'" not in text
    jobs = {line.split()[0]: line.split()[1] for line in text.split("Job stats:")[-1].splitlines() if line.split()[1:2]}
    assert {f"eval_{name}" for name in BENCHMARKS} <= set(jobs)
    assert int(jobs["total"]) < 4000
    assert "given_by_a_person" in jobs
    assert "world" not in jobs
    assert ("replay_write" in jobs) == (recipe != "bioclip")
    # The tars that both papers were validated on.
    assert jobs["index_tars"] == "1"
    assert not list(fresh.folder.glob("data/**/*"))


def test_finetuning_plans_without_data_and_tunes_what_its_recipe_says(fresh: Any) -> None:
    text = plan(fresh.folder, "all", "-np", "-c1", "--configfile", "config/finetune.yaml")
    (command,) = [line for line in text.splitlines() if "workflow_scripts.train.run " in line]
    assert "--start results/shared/models/start-" in command
    assert '"tune_blocks":6' in command
    # As many pairs at once as the GPU takes.
    assert "max_batch" not in command
    (export,) = [line for line in text.splitlines() if "workflow_scripts.train.export " in line]
    assert '"start_share":0.3' in export


@pytest.mark.parametrize("recipe", ["bioclip", "bioclip2", "bioclip25", "beetles", "finetune", "photos"])
def test_recipes_name_no_path_of_a_place(recipe: str) -> None:
    name = f"config/{recipe}.yaml"
    config = load_config(read_yaml(ROOT / name), name, SiteSettings(results="RESULTS", data="DATA"))
    assert not [path for path in config.given_files().values() if Path(path).is_absolute()]


def test_ablations_train_each_variant_and_test_it_under_each_text_type(plan_of: Callable[..., str]) -> None:
    text = plan_of("ablations", "--config", "ablations={seeds: [1, 2, 3]}")
    planned = jobs_of(text)
    # Replay in three ways for three seeds, and five text types; the starting point is embedded besides.
    assert planned["ablation_train"] == planned["ablation_export"] == 3 * 3 + 5
    assert planned["ablation_embed"] == 3 * 15
    assert planned["ablation_rare_species_taxon_com"] == planned["ablation_replay_captions"] == 1
    assert "train_run" not in planned
    trained = [line for line in text.splitlines() if "workflow_scripts.train.run" in line and "ablations/" in line]
    (without,) = [line for line in trained if "no_replay.2/train" in line]
    assert '"seed":2' in without
    assert "--replay" not in without
    (shared,) = [line for line in trained if "one_projector.3/train" in line]
    assert '"second_projector":false,' in shared
    (single,) = [line for line in trained if "/sci.1/train" in line]
    assert '"text_types":["sci"]' in single


def test_a_mixture_indexes_foreign_tars_and_only_reads_a_foreign_corpus(fresh: Any) -> None:
    elsewhere = fresh.folder / "elsewhere"
    (elsewhere / "shards" / "g000").mkdir(parents=True)
    (elsewhere / "curate/g000").mkdir(parents=True)
    (elsewhere / "curate/g000/attribution.parquet").touch()
    mix = (
        "mix=[{corpus: micro, weight: 2}, {tars: 'tol10m/*.tar', val_tars: 'held_out/*.tar', weight: 1}, "
        "{corpus: ./elsewhere, weight: 1, digest: abcd}]"
    )
    validation = "validation={tol10m: 'val10m/shard-*.tar'}"
    done = fresh.snakemake("-np", "model_card", "--config", mix, validation)
    assert says(done.stderr, "validation.tol10m", "val10m/shard-*.tar")
    printed = done.stdout
    planned = jobs_of(printed)
    assert (planned["index_tars"], planned["shards_gather"]) == (3, 1)
    indexed = [line for line in printed.splitlines() if "train.index_tars " in line]
    assert [("held_out/" in line, "/val " in line) for line in indexed].count((True, True)) == 1
    assert [("tol10m/" in line, "/train " in line) for line in indexed].count((True, True)) == 1
    assert [("val10m/" in line, "/val " in line) for line in indexed].count((True, True)) == 1
    command = printed.split("workflow_scripts.train.run ")[-1]
    assert says(command, "--validation", '"name":"tol10m"', "results/shared/indexed/")
    assert '"shards":["elsewhere/shards/g000"],"labels":"./elsewhere/taxonomy/labels.parquet"' in command
    assert '"digest":"abcd"' in command
    cited = "curate/g000/attribution.parquet"
    assert f"--attributions results/corpora/micro/{cited} elsewhere/{cited} --indexes" in printed
    done = fresh.snakemake("-n", "--config", "mix=[{corpus: micro, weight: 2}, {tars: 'x/*.tar'}]")
    assert says(done.stderr, "mix: ", "weight")


def test_seen_species_are_separated_only_if_the_corpus_is_the_only_training_data(fresh: Any) -> None:
    """What else a mixture holds, and what a tenth of the corpus lacks, its list of species does not say."""

    def scored(*config: str) -> str:
        text = fresh.run("-np", "eval_rare_species", "--config", *config)
        (command,) = [line for line in text.splitlines() if "evaluate.csv.score --benchmark rare_species" in line]
        return command

    (fresh.folder / "elsewhere/shards/g000").mkdir(parents=True)
    assert "--seen results/corpora/micro/curate/seen_species.parquet" in scored("mix=[{corpus: micro}]")
    assert "--seen" not in scored("mix=[{corpus: micro}, {corpus: ./elsewhere}]")
    assert "--seen" not in scored("train={split: train_small}")


def test_what_a_run_fetched_for_itself_is_among_its_costs(fresh: Any) -> None:
    fetched = "benchmarks={fetched: {layout: awa2, fetch: [{url: 'https://example.org/a.zip'}], folder: '{fetched}/a'}}"
    text = fresh.run("-np", "report", "--config", fetched, "baselines={clip: 'ViT-B-32:laion2b_s34b_b79k'}")
    logged = set(re.findall(r"benchmark: logs/shared/\w+/(.*)\.tsv", text))
    (command,) = [line for line in text.splitlines() if "workflow_scripts.report.build " in line]
    named = shlex.split(command.partition(" --shared ")[2])
    shared = named[: named.index("--out")]
    assert any(name.startswith("fetch-fetched-") for name in logged)
    assert any(name.startswith("fetched-") for name in logged)
    assert not [name for name in logged if not name.removeprefix("fetch-").startswith(tuple(shared))]


def test_beetles_plan_has_no_world_no_replay_and_no_pretraining(fresh: Any) -> None:
    place_what_a_person_gives(fresh.folder, "config/beetles.yaml")
    text = plan(fresh.folder, "all", "-n", "-c2", "--configfile", "config/beetles.yaml")
    planned = {line.split()[0] for line in text.split("Job stats:")[-1].splitlines() if line.split()[1:2]}
    assert {"download", "train_run", "eval_beetles_test"} <= planned
    assert not planned & {"world", "replay_select", "replay_download", "replay_write", "pretrain", "pretrain_export"}
    assert "results/corpora/beetles/download/part-0019/manifest.parquet" in text


def test_every_target_can_be_planned(plan_of: Callable[..., str]) -> None:
    targets = ("fetch", "data", "train", "evaluate", "report", "all")
    planned = {target: set(jobs_of(plan_of(target))) for target in targets}
    assert {"download", "replay_download", "model_fetch"} <= planned["fetch"]
    assert not planned["fetch"] & {"train_run", "curate", "embed"}
    assert "shards_gather" in planned["data"]
    assert "train_run" not in planned["data"]
    assert "embed" not in planned["train"]
    assert "report_build" not in planned["evaluate"]
    beside = {"curate_attribution", "species_texts", "model_card"}
    assert planned["all"] == planned["report"] - {"report"} | beside


def test_replay_is_downloaded_before_the_first_generation(fresh: Any) -> None:
    replay = fresh.planned("results/corpora/micro/replay/download/part-0000/manifest.parquet")
    assert set(replay) == {"world", "replay_select", "replay_download"}
    assert "replay_download" in fresh.planned("results/corpora/micro/download/part-0000/manifest.parquet")


def test_commands_are_printed_as_they_would_run(plan_of: Callable[..., str]) -> None:
    text = plan_of("all")
    for stage in ("world.make", "catalog.table", "download.fetch", "taxonomy.resolve", "curate.decide", "shards.write"):
        assert f"python -m workflow_scripts.{stage} --" in text
    assert (
        "python -m workflow_scripts.train.launch --restarts 2 --standalone --nproc-per-node 2 "
        "-m workflow_scripts.train.run --" in text
    )


def test_only_rules_marked_for_the_internet_leave_offline_mode(plan_of: Callable[..., str]) -> None:
    commands = [line for line in plan_of("all").splitlines() if line.startswith("Shell command: ")]
    online = {line.split("workflow_scripts.")[-1].split()[0] for line in commands if "HF_HUB_OFFLINE=0" in line}
    assert online == {"download.fetch", "models.fetch"}


def test_the_plan_does_not_depend_on_the_number_of_cores(plan_of: Callable[..., str]) -> None:
    assert jobs_of(plan_of("all", "--cores", "1")) == jobs_of(plan_of("all"))


def test_a_layout_of_its_own_is_planned_by_config_alone(fresh: Any) -> None:
    for folder in ("plants/train", "plants/test"):
        (fresh.folder / folder).mkdir(parents=True)
    plants = "benchmarks={plantdoc: {layout: plantdoc, folder: plants}}"
    text = fresh.run("-np", "eval_plantdoc", "--config", plants)
    assert "python -m workflow_scripts.evaluate.plantdoc.index --name plantdoc" in text
    assert "plantdoc.predictions.parquet" not in text
    assert "report_build" in fresh.planned("all", "--config", plants)
