"""One recipe at several sites: a cluster, a site without internet, a container image."""

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.messages import says
from tests.workflow.commands import snakemake

ROOT = Path(__file__).resolve().parents[2]
RULES = "\n".join(file.read_text() for file in sorted((ROOT / "rules").glob("*.smk")))
SLURM = ("--profile", "profiles/slurm", "--configfile", "config/config.yaml", "tests/workflow/micro.yaml")
SITE = """\
contact: me@institute.example
slurm: {partition: cpu, gpu_partition: gpu, account: lab}
"""
# Prints what each rule has.
CHECK = """
include: "Snakefile"
for one in workflow.rules:
    print(json.dumps({"rule": one.name, "shell": bool(one.shellcmd), "output": len(one.output), "log": len(one.log),
        "benchmark": bool(one.benchmark),
        "mem_mb": bool({"mem", "mem_mb"} & set(one.resources)), "cores": one.resources["_cores"].value}))
"""
TARGETS = {"all", "fetch", "data", "train", "evaluate", "report"}


def files(name: str) -> list[Path]:
    """A text file of the project, or those of a folder."""
    path = ROOT / name
    texts = [file for file in path.rglob("*") if file.is_file() and "__pycache__" not in file.parts]
    return texts if path.is_dir() else [path]


def jobs(text: str) -> dict[str, dict[str, str]]:
    """The jobs of a dry run: by rule, the resources of the last one of it."""
    found = {}
    for block in text.split("\n["):
        if (name := re.search(r"^rule (\w+):", block, re.M)) and name[1] not in TARGETS:
            asked = re.search(r"^    resources: (.*)$", block, re.M)
            pairs = dict(re.findall(r"(\w+)=([^,]*)", asked[1] if asked else ""))
            threads = re.search(r"^    threads: (\d+)$", block, re.M)
            found[name[1]] = pairs | {"threads": threads[1] if threads else "1"}
    return found


def test_a_cluster_that_nobody_described_is_one_line(fresh: Any) -> None:
    for site in (None, "contact: me@institute.example\n", "slurm: {partition: cpu}\n"):
        if site is not None:
            fresh.path("config/site.yaml").write_text(site)
        done = snakemake(fresh.folder, *SLURM, "-n", "all")
        assert done.returncode != 0
        (line,) = [line for line in done.stderr.splitlines() if not line.startswith("Using profile")]
        assert line.startswith("error: config/site.yaml: --profile profiles/slurm needs `slurm`")
        assert "config/site.example.yaml" in line and "`contact`" in line


def test_a_training_that_no_node_can_hold_is_one_line_in_the_dry_run(fresh: Any) -> None:
    fresh.path("config/site.yaml").write_text(SITE.replace("}", ", limits: {gpu: {gpus: 2}}}"))
    limits = "limits={train: {processes: 4}, jobs: {train_run: {gpus: 4}}}"
    done = snakemake(fresh.folder, *SLURM, "-n", "all", "--config", limits)
    assert done.returncode != 0
    (line,) = [line for line in (done.stderr + done.stdout).splitlines() if line.startswith("error: ")]
    assert all(part in line for part in ("train_run", "4 GPUs", "slurm.limits.gpu.gpus", "limits.train.processes"))
    assert "Traceback" not in done.stdout + done.stderr and 'File "' not in done.stdout


def test_every_job_says_what_it_asks_for_and_where_it_goes(fresh: Any) -> None:
    fresh.path("config/site.yaml").write_text(SITE)
    limits = "limits={jobs: {shards_write: {cores: 8, memory_mb: 9000, minutes: 90}}, train: {nodes: 3}}"
    planned = jobs(snakemake(fresh.folder, *SLURM, "-np", "all", "--config", limits).stdout)
    assert len(planned) > 25
    # No partition reaches the internet: what needs it is sent to none, and runs beside Snakemake, on the login node.
    networked = {rule for rule, asked in planned.items() if asked.get("internet") == "1"}
    assert {"download", "replay_download"} <= networked
    assert not any("slurm_partition" in planned[rule] for rule in networked)
    for rule in set(planned) - networked:
        assert {"mem_mb", "runtime", "slurm_partition"} <= set(planned[rule]), rule
        assert planned[rule]["slurm_account"] == "lab", rule
    assert {key: planned["shards_write"][key] for key in ("threads", "mem_mb", "runtime")} == {
        "threads": "8",
        "mem_mb": "9000",
        "runtime": "90",
    }
    assert planned["train_run"]["nodes"] == "3"


def test_sbatch_options_of_a_person_add_to_those_that_a_training_cannot_do_without(fresh: Any) -> None:
    fresh.path("config/site.yaml").write_text(SITE)
    warned = "--signal=USR1@600 --open-mode=append"
    for given, asked in (((), warned), (("train_run:slurm_extra='--reservation=r1'",), f"--reservation=r1 {warned}")):
        words = ["--set-resources", *given] if given else []
        planned = jobs(snakemake(fresh.folder, *SLURM, "-np", "train_run", *words).stdout)
        assert planned["train_run"]["slurm_extra"] == asked
        assert "slurm_extra" not in planned["curate"]


def test_rules_that_need_the_internet_are_the_guides() -> None:
    marked = set(re.findall(r'\bjob\("(\w+)", .*internet=True\)|\*\*asks\("(\w+)", internet=True\)', RULES))
    marked = {one or other for one, other in marked}
    listed = re.search(r"only these rules need it:(.*?)\.\s", (ROOT / "docs/cluster.md").read_text(), re.S)
    assert listed and set(re.findall(r"`(\w+)`", listed[1])) == marked
    # Only their commands go online, and only they may run on the login node.
    assert RULES.count("localrule: INTERNET_HERE") == len(marked)


def test_no_documented_command_puts_a_target_after_configfile() -> None:
    # `--configfile` takes all words up to the next option.
    swallowed = re.compile(r"--configfile(?: \S+\.yaml)+ [a-z_]+(?![\w./-])")
    places = [
        file
        for name in ("README.md", "docs", "config", "profiles", "rules", "workflow_scripts")
        for file in files(name)
    ]
    assert len(places) > 100
    assert {str(file): found for file in places if (found := swallowed.findall(file.read_text(errors="replace")))} == {}
    assert swallowed.search("snakemake --configfile config/a.yaml all")


def test_every_rule_takes_cores_log_and_benchmark_from_its_job(fresh: Any) -> None:
    fresh.path("check.smk").write_text(CHECK)
    done = snakemake(fresh.folder, "-s", "check.smk", "-n", "all", "-c2", *SLURM[2:])
    assert done.returncode == 0, done.stderr
    rules = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"rule"')]
    running = [rule for rule in rules if rule["shell"] and rule["rule"] not in ("given_by_a_person", "compare")]
    assert len(running) > 40
    # Threads that nobody sets are 1; limits.jobs sets another number for all.
    assert [rule["rule"] for rule in running if not rule["mem_mb"]] == []
    assert [rule["rule"] for rule in running if not rule["log"]] == []
    # A benchmark would count as the output of a rule that has none.
    assert [rule["rule"] for rule in running if not rule["benchmark"] and rule["output"]] == []
    named = set(re.findall(r'\bjob\(\s*"(\w+)"', RULES))
    limits = "limits={jobs: {" + ", ".join(f"{name}: {{cores: 7}}" for name in sorted(named)) + "}}"
    done = snakemake(fresh.folder, "-s", "check.smk", "-n", "all", "-c8", *SLURM[2:], "--config", limits)
    rules = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"rule"')]
    running = [rule for rule in rules if rule["shell"] and rule["rule"] not in ("given_by_a_person", "compare")]
    assert [rule["rule"] for rule in running if rule["cores"] != 7] == []


def test_offline_runs_list_missing_files_with_the_fetch_command(fresh: Any) -> None:
    given = ("backbone.zip", "beetles/images.csv", "beetles/test.csv")
    for name in (*given, "bioclip/open_clip_config.json", "bioclip/open_clip_model.safetensors", "beetles/test/x"):
        fresh.path(name).parent.mkdir(parents=True, exist_ok=True)
        fresh.path(name).touch()
    fresh.path("config/site.yaml").write_text("offline: true\n")
    words = ("-n", "all", "--profile", "profiles/local", "--configfile", "config/beetles.yaml")
    lines = snakemake(fresh.folder, *words).stderr.splitlines()
    missing = [line.removeprefix("missing: ") for line in lines if line.startswith("missing: results/")]
    assert missing[0] == "results/corpora/beetles/download/g000.parquet" and len(missing) == 2
    assert says(lines[-1], "error: config/site.yaml", "offline", "2 files")
    assert lines[-1].endswith("snakemake fetch --profile profiles/local --configfile config/beetles.yaml")
    for name in missing:
        fresh.path(name).parent.mkdir(parents=True, exist_ok=True)
        fresh.path(name).touch()
    assert snakemake(fresh.folder, *words).returncode == 0


@pytest.mark.slow
def test_steps_run_in_the_image_that_the_site_names(fresh: Any) -> None:
    fresh.path("bin").mkdir()
    apptainer = fresh.path("bin/apptainer")
    # Stands for Apptainer: writes down what is to run in the image, and runs it here.
    apptainer.write_text(
        f"""#!/usr/bin/env bash
if [ "$1" = --version ]; then echo apptainer version 1.3.0; exit; fi
echo "$@" >> {fresh.path("entered.txt")}
export PATH={Path(sys.executable).parent}:$PATH
while [ "${{1##*/}}" != steps.sif ]; do shift; done
shift
exec "$@"
"""
    )
    apptainer.chmod(0o755)
    fresh.path("steps.sif").touch()
    fresh.path("config/site.yaml").write_text("image: steps.sif\n")
    words = ["world", *SLURM[2:], "--profile", "profiles/local", "--software-deployment-method", "apptainer"]
    done = snakemake(fresh.folder, *words, PATH=f"{apptainer.parent}:/usr/bin:/bin")
    assert done.returncode == 0, done.stderr
    entered = fresh.path("entered.txt").read_text()
    assert "steps.sif" in entered and "workflow_scripts.world.make" in entered
    assert str(Path(sys.executable).parent) not in entered
