"""Commands that messages name work as printed."""

import html
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.messages import says
from tests.workflow.conftest import CONFIG_FILES
from workflow_scripts.common.tables import read_rows
from workflow_scripts.contracts import DOWNLOADS

pytestmark = pytest.mark.slow

CORPUS = "results/corpora/micro"
COMMAND = re.compile(r"`(snakemake [^`]+)`")


def typed(project: Any, command: str) -> str:
    """Run a command as it is printed; what it printed."""
    done = project.typed(command)
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout + done.stderr


def test_commands_printed_by_verify_restore_everything(copy: Any) -> None:
    assert says(copy.run("verify"), "all shards and download tars are complete", "images", "replay pairs")
    shards = [f"{CORPUS}/shards/g000/train/shard-000000.tar", f"{CORPUS}/shards/g000/train_small/shard-000000.tar"]
    lost = [*shards, f"{CORPUS}/replay/train/shard-000000.tar", f"{CORPUS}/curate/g000/leakage.parquet"]
    before = {name: copy.path(name).read_bytes() for name in lost}
    for name in lost:
        copy.path(name).unlink()
    # The same file as in the work folder: its images have to be fetched again.
    (tar,) = copy.path(f"{CORPUS}/download/part-0001").glob("images-00000.tar")
    tar.write_bytes(tar.read_bytes()[:1024])
    done = copy.snakemake("verify")
    assert done.returncode != 0
    said = done.stdout + done.stderr
    assert all(re.search(rf"^{re.escape(name)}: missing; ", said, re.M) for name in lost)
    for command in dict.fromkeys(COMMAND.findall(said.split("problems found")[0])):
        typed(copy, command)
    assert {name: copy.path(name).read_bytes() for name in lost} == before
    assert "all shards and download tars are complete" in copy.run("verify")


def asked(project: Any, module: str, *words: str) -> str:
    """The Snakemake command that a command of the person's own asks for; it leaves the config to be named."""
    command = [sys.executable, "-m", f"workflow_scripts.report.{module}", *words]
    done = subprocess.run(
        command, cwd=project.folder, env=project.environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    (named,) = COMMAND.findall(done.stderr)
    return str(named).replace("CONFIG", " ".join(CONFIG_FILES))


def test_remedies_in_messages_make_the_report_and_publish(copy: Any) -> None:
    shutil.rmtree(copy.path("results/runs/micro/report"))
    command = asked(copy, "compare", "--runs", "micro", "other")
    assert typed(copy, command).splitlines()[-1] == "result: results/runs/micro/report/index.html"
    command = asked(copy, "upload", "--folder", "results/runs/micro/publish/model", "--repo", "a/b", "--kind", "model")
    assert typed(copy, command).splitlines()[-1] == "result: results/runs/micro/publish"
    assert copy.path("results/runs/micro/publish/model/README.md").exists()


def test_the_report_s_config_run_again_loses_no_image(finished: Any, fresh: Any) -> None:
    page = html.unescape(finished.path("results/runs/micro/report/index.html").read_text())
    (config,) = re.findall(r'<pre id="config">(.*?)</pre>', page, re.S)
    recipe = yaml.safe_load(config)
    # Beside the Snakefile, with this machine's limits.
    recipe["limits"] = {"download": {"default_host": {"connections": 16, "rate": 1000}, "wait": 0.5}}
    fresh.path("config.yaml").write_text(yaml.safe_dump(recipe))
    (command,) = re.findall(r"snakemake all .*--configfile config\.yaml", page)
    part = f"{CORPUS}/download/part-0000/manifest.parquet"
    typed(fresh, command.replace(" all ", f" {part} "))
    then, again = (read_rows(Path(project.path(part)), DOWNLOADS) for project in (finished, fresh))
    assert again["status"].to_pylist() == then["status"].to_pylist()
