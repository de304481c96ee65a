"""No shell command is built from data, and no secret is written to a file."""

import subprocess
from typing import Any

import pytest

from workflow_scripts.common.files import write_text

HOSTILE = "re sults'$(touch hacked)`touch hacked`; touch hacked"


def test_no_value_of_a_config_reaches_the_shell_as_code(fresh: Any) -> None:
    write_text(fresh.path("config/site.yaml"), f'results: "{HOSTILE}"\ncontact: "{HOSTILE}"\n')
    printed = fresh.run("-np", "all", "verify", "estimate")
    lines = [line.split("Shell command: ") for line in printed.splitlines()]
    commands = [line[1] for line in lines if line[0] == "" and line[1:] not in ([], ["None"])]
    assert sum("touch hacked" in command for command in commands) > 40
    script = "\n".join(["python() { :; }", "rm() { :; }", "touch() { echo RAN; }", *commands])
    done = subprocess.run(["bash", "-euc", script], cwd=fresh.folder, capture_output=True, text=True, check=False)
    assert done.stdout + done.stderr == ""
    assert done.returncode == 0


@pytest.mark.slow
def test_a_token_in_the_environment_is_written_nowhere(finished: Any) -> None:
    token = finished.environment()["HF_TOKEN"].encode()
    written = [path for top in ("results", "logs", ".snakemake") for path in finished.path(top).rglob("*")]
    files = [path for path in written if path.is_file()]
    assert len(files) > 100
    assert [path for path in files if token in path.read_bytes()] == []
