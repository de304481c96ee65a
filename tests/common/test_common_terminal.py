"""Terminal output of a run: one line per started job and per progress; any message is safe."""

import logging
import re
import subprocess
import sys
from pathlib import Path

import pytest
from snakemake_interface_logger_plugins.common import LogEvent

from workflow_scripts.common.cli import BAD_INPUT
from workflow_scripts.common.defined_rules import complete, literally
from workflow_scripts.common.terminal import ShortLines, shows

REPOSITORY = Path(__file__).parents[2]


def record(event: LogEvent | None, text: str | None = None, **said: object) -> logging.LogRecord:
    found = logging.LogRecord("snakemake.logging", logging.INFO, "", 0, text, None, None)
    found.__dict__.update(said | {"event": event})
    return found


def test_a_job_and_the_runs_progress_are_a_line_each() -> None:
    short = ShortLines(logging.Formatter("as ever: %(message)s"))
    assert short.format(record(LogEvent.JOB_INFO, rule_msg="download part 0003")).endswith("  download part 0003")
    assert short.format(record(LogEvent.PROGRESS, done=12, total=48)).endswith("  12 of 48 jobs done (25 %)")
    assert short.format(record(LogEvent.JOB_INFO, "rule x", rule_msg=None)) == "as ever: rule x"
    assert short.format(record(LogEvent.JOB_ERROR, "failed")) == "as ever: failed"


def test_bad_input_of_a_job_is_one_line_and_other_failures_have_their_log(tmp_path: Path) -> None:
    short = ShortLines(logging.Formatter())
    log = tmp_path / "curate.log"
    text = "Error in rule curate:\n    message: None\n    jobid: 1"
    failed = record(LogEvent.JOB_ERROR, text, rule_name="curate", log=[str(log)])
    assert short.format(failed) == "Error in rule curate:\n    jobid: 1"
    log.write_text(f"2026-11-30 06:00:00,123 ERROR a.b: x.csv: row 7 is bad\n2026-11-30 INFO a.b: {BAD_INPUT}\n")
    assert short.format(failed).endswith("  rule curate failed: x.csv: row 7 is bad")


def test_errors_and_whatever_is_not_known_are_shown() -> None:
    assert not shows(record(LogEvent.JOB_FINISHED))
    assert not shows(record(LogEvent.JOB_STARTED, "Execute 2 jobs..."))
    assert not shows(record(None, "Select jobs to execute..."))
    assert shows(record(LogEvent.JOB_ERROR, "failed"))
    assert shows(record(None, "Nothing to be done"))


class Rule:
    """The parts of a rule that messages use."""

    name = "one"
    wildcard_names = frozenset({"part"})

    def __init__(self, message: str | None) -> None:
        self.message = message
        self.params: dict[str, object] = {}
        self.resources: dict[str, object] = {}

    def set_params(self) -> None:
        """No params."""


@pytest.mark.parametrize("message", [None, "part {wildcards.generation}", "write {output}"])
def test_a_rule_without_a_message_or_with_one_that_cannot_be_filled_is_refused(message: str | None) -> None:
    with pytest.raises(ValueError, match="rule one"):
        complete(Rule(message), dry_run=True)  # type: ignore[arg-type]


def test_text_of_a_config_stays_as_it_is_in_a_message() -> None:
    hostile = "{part} {wildcards.part} } { $x `y`"
    rule = Rule(f"{literally(hostile)}: {{wildcards.part}}")
    complete(rule, dry_run=False)  # type: ignore[arg-type]
    assert rule.message is not None
    assert rule.message.format(wildcards=type("Wildcards", (), {"part": "0003"})) == f"{hostile}: 0003"
    complete(rule, dry_run=True)  # type: ignore[arg-type]
    assert rule.message is None


def test_a_run_shows_messages_and_another_message_reruns_nothing(tmp_path: Path) -> None:
    snakefile = tmp_path / "Snakefile"
    head = f"import sys\nsys.path.insert(0, {str(REPOSITORY)!r})\n"
    head += "from workflow_scripts.common.terminal import shorten_output\nshorten_output(workflow)\n"
    rule = "rule one:\n    output: 'out.txt'\n    message: 'MESSAGE'\n    shell: 'touch {output}'\n"
    snakemake = [str(Path(sys.executable).parent / "snakemake"), "-c1", "--snakefile", str(snakefile)]

    def run(message: str) -> str:
        snakefile.write_text(head + rule.replace("MESSAGE", message))
        return subprocess.run(snakemake, cwd=tmp_path, capture_output=True, text=True, check=True).stderr

    first = run("make it")
    assert "  make it\n" in first
    assert "  1 of 1 jobs done (100 %)\n" in first
    assert "Reason:" not in first and "Select jobs" not in first
    [log] = (tmp_path / ".snakemake/log").glob("*.log")
    assert "Reason: Missing output files" in log.read_text()
    assert "Nothing to be done" in run("make it anew")


@pytest.mark.parametrize("file", [REPOSITORY / "Snakefile", *sorted((REPOSITORY / "rules").glob("*.smk"))], ids=str)
def test_every_rule_has_a_message_in_whatever_config_it_is(file: Path) -> None:
    """Those that are taken over from another rule (`use rule`) have that one's, where its wildcards are theirs."""
    rules = re.split(r"^ *rule(?: \w+)?:\n", file.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    assert all(re.search(r"^ +message:$", rule, flags=re.MULTILINE) for rule in rules)
