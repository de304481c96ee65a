"""Version and commit of the workflow, for records of runs."""

import subprocess
import tomllib
from contextlib import suppress
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# Fails if this folder is not part of a git checkout of the project.
IS_TRACKED = ("git", "ls-files", "--error-unmatch", "pyproject.toml")
# The full commit hash, ignoring tags, with `-dirty` if files differ from the commit.
DESCRIBE = ("git", "describe", "--always", "--exclude=*", "--abbrev=40", "--dirty")


def workflow_version(root: Path = ROOT) -> dict[str, str]:
    """The workflow's version and, if it is a git checkout and git is installed, its commit."""
    found = {"workflow": tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]}
    with suppress(OSError, subprocess.CalledProcessError):
        # A copy inside another repository must not report that repository's commit.
        subprocess.run(IS_TRACKED, cwd=root, capture_output=True, check=True)
        described = subprocess.run(DESCRIBE, cwd=root, capture_output=True, text=True, check=True)
        found["commit"] = described.stdout.strip()
    return found
