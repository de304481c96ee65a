"""Versions of the steps' code, for params of rules and keys of work folders.

`versions.lock` lists each step that a rule runs, with its version and the digest of the code at which the version was
recorded. Code that changes no output byte is recorded under the same version, so that nothing reruns. Unrecorded code
has a version of its own, made from its digest.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from workflow_scripts.common.code_digest import PACKAGE, ROOT, code_digest
from workflow_scripts.common.errors import InputError

LOCK = ROOT / PACKAGE / "versions.lock"
HEADER = """\
# Each step: its version, and the digest of the code that the version was recorded at.
"""
LINE = re.compile(r"(\w+(?:\.\w+)+) (\d+) ([0-9a-f]{16})")
# A step in a rule file; a part of it may be a setting.
NAMED = re.compile(r'step_version\(\s*f?"([^"]+)"')
SETTING = re.compile(r"\{[^}]*\}")


@dataclass(frozen=True)
class Recorded:
    """A step's line in the lock file."""

    version: int
    code: str


@cache
def step_version(step: str) -> str:
    """Version of a step's code: the recorded number, followed by the code's digest if it is not the recorded code.

    Args:
        step: `stage.module`, or `evaluate.LAYOUT.module`.

    Raises:
        InputError: the lock file is invalid.
        ModuleNotFoundError: the step does not exist.
    """
    code = code_digest(f"{PACKAGE}.{step}")
    recorded = read_lock(LOCK).get(step)
    if recorded is None:
        return f"unrecorded-{code}"
    return str(recorded.version) if code == recorded.code else f"{recorded.version}-{code}"


def versioned(step: str) -> dict[str, str]:
    """The entries for a step's code in the key of its work folder."""
    return {"step": step, "version": step_version(step)}


@cache
def read_lock(path: Path) -> dict[str, Recorded]:
    """Read the lock file.

    Raises:
        InputError: a line is invalid, or a step has two lines.
    """
    steps: dict[str, Recorded] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if line.startswith("#") or not line.strip():
            continue
        found = LINE.fullmatch(line)
        if found is None:
            raise InputError(f"{path}:{number}: expected `stage.module version digest`, found {line!r}")
        if found[1] in steps:
            raise InputError(f"{path}:{number}: {found[1]} has two lines; keep one")
        steps[found[1]] = Recorded(int(found[2]), found[3])
    return steps


def write_lock(steps: Mapping[str, Recorded], path: Path) -> None:
    """Write the lock file, sorted by step."""
    lines = [f"{step} {one.version} {one.code}\n" for step, one in sorted(steps.items())]
    path.write_text(HEADER + "".join(lines), encoding="utf-8")
    read_lock.cache_clear()
    step_version.cache_clear()


def steps_of_rules(rule_files: Iterable[Path], root: Path = ROOT) -> set[str]:
    """The steps whose versions are used in rule files.

    If a setting selects a module (`catalog.{reader}`) or a package (`evaluate.{layout}.score`), these are all matching
    commands.
    """
    package = root / PACKAGE
    steps: set[str] = set()
    for file in rule_files:
        for named in NAMED.findall(file.read_text(encoding="utf-8")):
            if SETTING.search(named) is None:
                steps.add(named)
                continue
            found = sorted(package.glob(SETTING.sub("*", named).replace(".", "/") + ".py"))
            steps |= {
                ".".join(path.relative_to(package).with_suffix("").parts)
                for path in found
                if '__name__ == "__main__"' in path.read_text("utf-8")
            }
    return steps


def unrecorded(steps: Iterable[str]) -> list[str]:
    """The steps whose code differs from the recorded code, sorted."""
    recorded = read_lock(LOCK)
    changed = (
        step for step in steps if (line := recorded.get(step)) is None or line.code != code_digest(f"{PACKAGE}.{step}")
    )
    return sorted(changed)
