"""Jobs that failed with bad input are not retried; others are."""

import os
import subprocess
import sys
from pathlib import Path

from workflow_scripts.common import retries
from workflow_scripts.common.cli import BAD_INPUT

ROOT = Path(__file__).resolve().parents[2]
STEP = """
from workflow_scripts.common.cli import run
from workflow_scripts.common.errors import InputError

def step(*, bad: bool = False) -> None:
    with open("tries.txt", "a") as file:
        file.write(f"{bad}\\n")
    raise InputError("rows.csv: row 3 has no name") if bad else OSError("the network went away")

if __name__ == "__main__":
    run(step)
"""
RULES = f"""
from workflow_scripts.common.retries import never_retry_bad_input

if workflow.is_main_process:
    never_retry_bad_input()

rule all:
    input: "bad.txt", "passing.txt"

rule one:
    output: "{{kind}}.txt"
    log: "{{kind}}.log"
    params: lambda w: "--bad" if w.kind == "bad" else ""
    shell: "{sys.executable} step.py {{params}} --log {{log}}"
"""


def test_snakemake_retries_failures_but_not_bad_input(tmp_path: Path) -> None:
    (tmp_path / "step.py").write_text(STEP)
    (tmp_path / "Snakefile").write_text(RULES)
    snakemake = Path(sys.executable).with_name("snakemake")
    done = subprocess.run(
        [snakemake, "-c1", "--retries", "2", "--keep-going"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    tried = (tmp_path / "tries.txt").read_text().splitlines()
    assert (tried.count("True"), tried.count("False")) == (1, 3), done.stderr


def test_only_the_last_line_of_a_log_of_this_run_counts(tmp_path: Path) -> None:
    log = tmp_path / "step.log"
    assert not retries.is_bad_input([log])
    log.write_text(f"INFO cli: {BAD_INPUT}\nINFO cli: started again\n")
    assert not retries.is_bad_input([log])
    log.write_text(f"{'x' * 10_000}\nINFO cli: {BAD_INPUT}\n")
    assert retries.is_bad_input([tmp_path / "none.log", log])
    os.utime(log, (0, retries.STARTED - 60))
    assert not retries.is_bad_input([log])
