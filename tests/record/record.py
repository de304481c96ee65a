"""`make record`: record steps whose code has changed, once the micro world shows that their outputs have not.

The recorded code is taken from git, by the commit whose code has the recorded digest. It runs the micro world twice,
and the code of the working tree runs it once, in the same folder and on the same machine. What differs between the two
runs of the recorded code (times, rates) is left out of the comparison. A step whose outputs are the same keeps its
version. A step whose outputs differ, or that the micro world does not run, needs `NEXT=1`: it takes the next version.
"""

import argparse
import csv
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Mapping
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import pyarrow.parquet as pq

from workflow_scripts.common.code_digest import PACKAGE, ROOT, code_digest
from workflow_scripts.common.errors import InputError
from workflow_scripts.common.files import digest, sha256_file
from workflow_scripts.common.step_versions import LOCK, Recorded, read_lock, steps_of_rules, unrecorded, write_lock

if TYPE_CHECKING:
    from conftest import Project

# With a port of its own, so that tests may run meanwhile.
ASKED = ("all", "publish", "crate", "--config", "world={port: 18947}")
TEXTS = {".csv", ".html", ".json", ".jsonl", ".md", ".rst", ".tsv", ".txt"}
TOKEN = re.compile(r"[\w.+-]+|\s+|.", re.DOTALL)
STEP = re.compile(r"-m workflow_scripts\.([\w.]+) ")

# The files that a step made, each as a list of pieces that are compared one by one.
Made = dict[str, list[str]]


def record(steps: Iterable[str], *, take_next: bool) -> list[str]:
    """Record the code of steps.

    Args:
        steps: which; none stands for all whose code is not recorded.
        take_next: record them under their next version, without a comparison.

    Returns:
        A line for each step that could not be recorded.

    Raises:
        InputError: no rule runs a step of that name, or git has no code with its recorded digest.
    """
    known = steps_of_rules((ROOT / "rules").glob("*.smk"))
    if strangers := sorted(set(steps) - known):
        raise InputError(f"STEP={' '.join(strangers)}: no rule runs such a step; {LOCK} lists all")
    lock = {step: line for step, line in read_lock(LOCK).items() if step in known}
    now = {step: code_digest(f"{PACKAGE}.{step}") for step in known}
    for step in known - set(lock):
        lock[step] = Recorded(1, now[step])
        print(f"{step}: new, version 1")
    changed = sorted(set(unrecorded(known)) & set(lock))
    changed = [step for step in changed if lock[step].code != now[step] and (not steps or step in steps)]
    refused = [] if take_next or not changed else compared(changed, lock)
    left = {line.partition(":")[0] for line in refused}
    for step in changed:
        if step not in left:
            lock[step] = Recorded(lock[step].version + take_next, now[step])
            print(f"{step}: version {lock[step].version}")
    write_lock(lock, LOCK)
    return refused


def compared(steps: list[str], lock: Mapping[str, Recorded]) -> list[str]:
    """A line for each of the steps that cannot keep its version."""
    # Here, for pytest has conftests of its own.
    from conftest import PARTS_OF_PROJECT

    refused = []
    with tempfile.TemporaryDirectory(prefix="record-") as temporary:
        folder = Path(temporary)
        for name in PARTS_OF_PROJECT:
            copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
            (folder / "new" / name).parent.mkdir(parents=True, exist_ok=True)
            copy(ROOT / name, folder / "new" / name)
        new = run(folder, "new", "new")
        for commit, some in by_commit(steps, lock).items():
            archived = subprocess.run(
                ["git", "archive", commit, *PARTS_OF_PROJECT], cwd=ROOT, capture_output=True, check=True
            )
            with tarfile.open(fileobj=BytesIO(archived.stdout)) as tar:
                tar.extractall(folder / commit, filter="data")
            before, again = run(folder, commit, "before"), run(folder, commit, "again")
            refused += [f"{step}: {why}" for step in some if (why := difference(step, before, again, new))]
    return refused


def by_commit(steps: Iterable[str], lock: Mapping[str, Recorded]) -> dict[str, list[str]]:
    """The steps by the newest commit that touched the lock file and has their recorded code.

    Raises:
        InputError: no such commit is there.
    """
    said = subprocess.run(
        ["git", "log", "--format=%H", "--", str(LOCK)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    found: dict[str, list[str]] = defaultdict(list)
    left = set(steps)
    for commit in said.stdout.split():
        if not left:
            break
        with tempfile.TemporaryDirectory(prefix="record-") as temporary:
            archived = subprocess.run(["git", "archive", commit, PACKAGE], cwd=ROOT, capture_output=True, check=True)
            with tarfile.open(fileobj=BytesIO(archived.stdout)) as tar:
                tar.extractall(temporary, filter="data")
            for step in sorted(left):
                try:
                    same = code_digest(f"{PACKAGE}.{step}", Path(temporary)) == lock[step].code
                except ModuleNotFoundError:
                    continue
                if same:
                    found[commit].append(step)
                    left.remove(step)
    if left:
        raise InputError(f"{', '.join(sorted(left))}: git has no commit with the recorded code; record with NEXT=1")
    return dict(found)


def run(folder: Path, code: str, name: str) -> dict[str, Made]:
    """Run the micro world with some code, always at the same path; what each step made."""
    from conftest import Project, write_species

    world = folder / "world"
    shutil.copytree(folder / code, world)
    write_species(world)
    project = Project(world)
    print(f"running the micro world with {'the working tree' if code == 'new' else code[:12]} ({name})", flush=True)
    done = project.snakemake(*ASKED)
    if done.returncode:
        raise InputError(f"the micro world does not run with {code[:12]}:\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
    made = made_by_steps(project, folder / code)
    shutil.rmtree(world)
    return made


def made_by_steps(project: "Project", code: Path) -> dict[str, Made]:
    """The contents of what each step of a finished project made with some code, by step and path.

    Files that no rule declares (tars, weights) count for every step that made a file in their folder.
    """
    said = project.snakemake("--detailed-summary", *ASKED)
    if said.returncode:
        raise InputError(said.stderr[-2000:])
    declared: dict[str, set[str]] = {}
    for row in csv.DictReader(said.stdout.splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE):
        # The world's server and the launcher of trainings stand in front of the step that they start.
        if found := STEP.findall(row["shellcmd"]):
            declared.setdefault(row["output_file"], set()).add(found[-1])
    # A training's record names its code.
    digests = {code_digest(f"{PACKAGE}.{step}", code) for steps in declared.values() for step in steps}
    by_folder: dict[str, set[str]] = defaultdict(set)
    for file, steps in declared.items():
        by_folder[str(Path(file).parent)] |= steps
    made: dict[str, Made] = defaultdict(dict)
    for path in sorted(project.path("results").rglob("*")):
        name = str(path.relative_to(project.folder))
        if not path.is_file() or any(part.startswith(".") for part in Path(name).parts):
            continue
        pieces = ["code" if piece in digests else piece for piece in pieces_of(path)]
        for step in declared.get(name) or by_folder[str(Path(name).parent)]:
            made[step][name] = pieces
    return made


def pieces_of(path: Path) -> list[str]:
    """A file's contents: the words of a text, the columns of a table, the digest of anything else."""
    if path.suffix in TEXTS:
        return TOKEN.findall(path.read_text(encoding="utf-8"))
    if path.suffix == ".parquet":
        table = pq.read_table(path)
        return [str(table.schema), *(digest(column.to_pylist()) for column in table.columns)]
    if path.suffix == ".duckdb":
        with duckdb.connect(str(path), read_only=True) as connection:
            names = sorted(name for (name,) in connection.execute("SHOW TABLES").fetchall())
            return [*names, *(digest(connection.execute(f'FROM "{name}" ORDER BY ALL').fetchall()) for name in names)]
    return [sha256_file(path)]


def difference(step: str, before: Mapping[str, Made], again: Mapping[str, Made], new: Mapping[str, Made]) -> str:
    """Why a step cannot keep its version, or nothing when it can.

    Args:
        step: the step.
        before, again: what two runs of the recorded code made.
        new: what the code to be recorded made.
    """
    old, other, now = before.get(step, {}), again.get(step, {}), new.get(step, {})
    if not old or not now:
        return "the micro world does not run it; NEXT=1 takes the next version"
    if set(old) != set(now):
        return f"other files than before: {', '.join(sorted(set(old) ^ set(now))[:3])}; NEXT=1 takes the next version"
    shown = False
    for name, pieces in old.items():
        if pieces != other.get(name) and len(pieces) != len(other.get(name, [])):
            continue
        steady = [place for place, piece in enumerate(pieces) if piece == other[name][place]]
        shown = shown or bool(steady)
        if len(now[name]) != len(pieces) or any(pieces[place] != now[name][place] for place in steady):
            return f"{name} differs; if that is meant, NEXT=1 takes the next version"
    return (
        "" if shown else "nothing that it makes is the same in two runs of the same code; NEXT=1 takes the next version"
    )


def main() -> int:
    """Record, or check, from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("steps", nargs="*", help="steps (`stage.module`); default: all whose code is not recorded")
    parser.add_argument("--next", action="store_true", help="take the next version, without a comparison")
    parser.add_argument("--check", action="store_true", help="only say which steps are not recorded")
    options = parser.parse_args()
    try:
        if options.check:
            known = steps_of_rules((ROOT / "rules").glob("*.smk"))
            refused = [f"{step}: not recorded; make record STEP={step}" for step in unrecorded(known)]
            refused += [f"{step}: no rule runs it; make record" for step in sorted(set(read_lock(LOCK)) - known)]
        else:
            refused = record(options.steps, take_next=options.next)
    except InputError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    for line in refused:
        sys.stderr.write(f"{line}\n")
    return 2 if refused else 0


if __name__ == "__main__":
    sys.exit(main())
