"""Versions of steps' code, for rules' params and the keys of work folders.

`versions.lock` names every step that a rule runs, its version, and the digest of the code that the version was recorded
at. Code that changes no output byte is recorded under the same version, and nothing runs again. Code that is not
recorded has a version of its own, made of its digest.
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
# A step as the rules name it; a setting may stand for a part of it.
NAMED = re.compile(r'step_version\(\s*f?"([^"]+)"')
SETTING = re.compile(r"\{[^}]*\}")


@dataclass(frozen=True)
class Recorded:
    """A step's line in the lock file."""

    version: int
    code: str


@cache
def step_version(step: str) -> str:
    """The version of the code that a step runs: a number where the code is the recorded code.

    Args:
        step: `stage.module`, or `evaluate.LAYOUT.module`.

    Raises:
        InputError: the lock file is damaged.
        ModuleNotFoundError: there is no such step.
    """
    code = code_digest(f"{PACKAGE}.{step}")
    recorded = read_lock(LOCK).get(step)
    if recorded is None:
        return f"unrecorded-{code}"
    return str(recorded.version) if code == recorded.code else f"{recorded.version}-{code}"


def versioned(step: str) -> dict[str, str]:
    """What the key of a step's work folder says of its code."""
    return {"step": step, "version": step_version(step)}


@cache
def read_lock(path: Path) -> dict[str, Recorded]:
    """The recorded steps.

    Raises:
        InputError: a line is none, or a step has two.
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
    """The steps whose versions the rules name.

    Where a setting picks a module (`catalog.{reader}`) or a package (`evaluate.{layout}.score`), these are all commands
    of that place.
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
    """The steps whose code is not the recorded one, sorted."""
    recorded = read_lock(LOCK)
    changed = (
        step for step in steps if (line := recorded.get(step)) is None or line.code != code_digest(f"{PACKAGE}.{step}")
    )
    return sorted(changed)
