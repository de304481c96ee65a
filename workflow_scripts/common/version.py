"""Version and commit of the workflow, for records of a run."""

import subprocess
import tomllib
from contextlib import suppress
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# The commit's whole name, whatever tags there are, and `-dirty` behind it where files differ from it.
OURS = ("git", "ls-files", "--error-unmatch", "pyproject.toml")
DESCRIBE = ("git", "describe", "--always", "--exclude=*", "--abbrev=40", "--dirty")


def workflow_version(root: Path = ROOT) -> dict[str, str]:
    """The workflow's version and, where it lies in a git checkout and git is there to ask, its commit."""
    found = {"workflow": tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]}
    with suppress(OSError, subprocess.CalledProcessError):
        # Files that lie within somebody's repository are not of its commit.
        subprocess.run(OURS, cwd=root, capture_output=True, check=True)
        asked = subprocess.run(DESCRIBE, cwd=root, capture_output=True, text=True, check=True)
        found["commit"] = asked.stdout.strip()
    return found
