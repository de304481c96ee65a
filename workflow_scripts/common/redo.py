"""Protect finished costly work: it is redone only on request.

A run whose plan redoes finished downloads, shards, replay or trainings stops before its first job, while the outputs
still exist. `--config redo=STEP` allows it. `--config keep=STEP` continues with the existing outputs of that step: they
are then plain files that no rule makes. Both apply to one command only.
"""

import ast
import json
import shlex
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from workflow_scripts.common.accounts import read_account
from workflow_scripts.common.config.download import keeps_images
from workflow_scripts.common.errors import InputError
from workflow_scripts.common.layout import Corpus


@dataclass(frozen=True)
class Costly:
    """A step whose finished work is protected.

    Attributes:
        guarded: the rules that do the costly work.
        others: rules before and after them that belong to the step and are kept with it.
        adopts: folders of the corpus whose changes leave finished work valid: only new items are processed.
    """

    guarded: tuple[str, ...]
    others: tuple[str, ...] = ()
    adopts: tuple[str, ...] = ()


STEPS = {
    "download": Costly(("download",)),
    "screen": Costly(("screen",), ("screen_classes", "screen_gather"), adopts=("catalog", "download")),
    "replay": Costly(("replay_download", "replay_write"), ("replay_select",)),
    "shards": Costly(("shards_write",), ("shards_plan", "shards_gather")),
    "pretrain": Costly(("pretrain",)),
    "train": Costly(("train_run", "ablation_train")),
}
# Rules that download images, whose work is kept per image.
DOWNLOADS = ("download", "replay_download")
# Prefix of the rules that merge the sources of a generation.
MERGE = "catalog_merge_"
GUARDED = {rule: step for step, costly in STEPS.items() for rule in costly.guarded}
KEPT = GUARDED | {rule: step for step, costly in STEPS.items() for rule in costly.others}


@dataclass(frozen=True)
class Words:
    """Steps to redo and steps to keep, from the command line."""

    redo: frozenset[str]
    keep: frozenset[str]


def take_words(config: MutableMapping[str, Any], command_line: Mapping[str, Any]) -> Words:
    """Remove `redo` and `keep` from a config and return them.

    Args:
        config: the config as merged by Snakemake.
        command_line: the values of `--config`.

    Raises:
        InputError: a step is unknown or in both, or `redo` or `keep` is in a config file.
    """
    found: dict[str, frozenset[str]] = {}
    for word in ("redo", "keep"):
        value = config.pop(word, [])
        if value and word not in command_line:
            raise InputError(f"{word}: allowed only on the command line (--config {word}=STEP), not in a config file")
        steps = [value] if isinstance(value, str) else value
        if not isinstance(steps, list) or (unknown := [step for step in steps if step not in STEPS]):
            wrong = unknown[0] if isinstance(steps, list) else steps
            raise InputError(f"--config {word}={wrong}: no such step; choose from {', '.join(STEPS)}")
        found[word] = frozenset(steps)
    if both := found["redo"] & found["keep"]:
        raise InputError(f"--config: {sorted(both)[0]} is in both redo and keep; choose one")
    return Words(**found)


def keep_made(rules: Iterable[Any], keep: frozenset[str]) -> None:
    """Make the rules of kept steps produce only outputs that do not exist yet.

    Args:
        rules: all of Snakemake's rules.
        keep: the kept steps.
    """
    for rule in rules:
        if KEPT.get(rule.name) in keep:
            rule.is_producer = _only_missing(rule, rule.is_producer)


def _only_missing(rule: Any, produces: Callable[[str], bool]) -> Callable[[str], bool]:
    def is_producer(file: str) -> bool:
        if not produces(file):
            return False
        outputs, _ = rule.expand_output(rule.get_wildcards(file))
        return not all(Path(output).exists() for output in outputs)

    return is_producer


@dataclass(frozen=True)
class Redone:
    """Finished work of one step that a plan redoes.

    Attributes:
        step: the step.
        jobs: number of finished jobs.
        cost: images or hours that the jobs took.
        why: the distinct causes.
    """

    step: str
    jobs: int
    cost: str
    why: tuple[str, ...]

    def sentence(self, explained: Collection[str]) -> str:
        """The step with its cost and causes; causes that are `explained` already are not repeated."""
        jobs = f"{self.jobs} finished job{'s' if self.jobs > 1 else ''}"
        new = [cause for cause in self.why if cause not in explained]
        same = ["the same cause"] if len(new) < len(self.why) else []
        return f"{self.step} ({', '.join(filter(None, [jobs, self.cost]))}; {'; '.join(same + new)})"


@dataclass(frozen=True)
class Cause:
    """Why a job runs.

    Attributes:
        rule: the rule, or "" for the protected job itself.
        text: the reason.
        files: changed input files.
        is_new: whether an output is made for the first time, or from more input files.
        keys: changed settings, if nothing else changed.
    """

    rule: str
    text: str
    files: frozenset[str] = frozenset()
    is_new: bool = False
    keys: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.rule} runs: {self.text}" if self.rule else self.text


def redone(dag: Any, words: Words, corpus: Corpus, ledger: str) -> list[Redone]:
    """The finished costly work that a plan redoes without being asked to, by step.

    Growth of the corpus and takedowns do not count: they leave finished work valid, so that it is adopted.

    Args:
        dag: Snakemake's plan.
        words: steps to redo and keep.
        corpus: the config's corpus.
        ledger: path of the corpus's takedown ledger.
    """
    jobs: dict[str, list[tuple[Any, list[Cause]]]] = {}
    # At the end of a dry run Snakemake counts all jobs as finished.
    planned = list(dag.needrun_jobs(exclude_finished=False))
    own_causes = cache(lambda job: tuple(_own_causes(dag, job)))
    taken_down = any(_is_older(job, ledger) for job in planned)
    for job in planned:
        step = GUARDED.get(job.rule.name)
        if step is None or step in words.redo or dag.reason(job).forced:
            continue
        finished = job.output and all(Path(file).exists() for file in job.output)
        found = _relevant(causes(dag, job, own_causes), STEPS[step], corpus, ledger, taken_down) if finished else []
        if job.rule.name in DOWNLOADS and all(map(_fetches_nothing_again, found)):
            continue
        if found:
            jobs.setdefault(step, []).append((job, found))
    return [
        Redone(
            step,
            len(found),
            cost_of(sorted(Path(file) for job, _ in found for file in job.output)),
            tuple(dict.fromkeys(str(cause) for _, of_job in found for cause in of_job))[:3],
        )
        for step, found in sorted(jobs.items(), key=lambda entry: list(STEPS).index(entry[0]))
    ]


def _is_older(job: Any, ledger: str) -> bool:
    """Whether a job's outputs predate the takedown ledger, which it reads directly or (shards) indirectly."""
    if ledger not in map(str, job.input) and not (KEPT.get(job.rule.name) == "shards" and Path(ledger).exists()):
        return False
    made = [Path(file).stat().st_mtime_ns for file in job.output if Path(file).exists()]
    return bool(made) and Path(ledger).stat().st_mtime_ns > min(made)


def _relevant(found: Iterable[Cause], costly: Costly, corpus: Corpus, ledger: str, taken_down: bool) -> list[Cause]:
    """The causes other than growth and, after a takedown, other than files that it rewrote."""

    def is_known(file: str) -> bool:
        is_adopted = any(file.startswith(f"{corpus}/{folder}/") for folder in costly.adopts)
        return file == ledger or is_adopted or (taken_down and file.startswith(f"{corpus}/"))

    return [
        cause
        for cause in found
        if not (cause.rule and cause.is_new) and not (cause.files and all(map(is_known, cause.files)))
    ]


def refusal(found: list[Redone]) -> str:
    """The message that says what would be redone and how to continue. Each cause is named once."""
    explained: set[str] = set()
    sentences = []
    for one in found:
        sentences.append(one.sentence(explained))
        # For later steps, the own causes of a job are those of the rule that runs before them.
        explained |= {*one.why, *(f"{rule} runs: {cause}" for rule in STEPS[one.step].guarded for cause in one.why)}
    steps = [one.step for one in found]
    words = steps[0] if len(steps) == 1 else f"[{','.join(steps)}]"
    quote = "'" if len(steps) > 1 else ""
    return (
        f"this plan redoes finished work: {', '.join(sentences)}. "
        f"To redo it, add --config {quote}redo={words}{quote}; "
        f"to keep the existing results, add --config {quote}keep={words}{quote}"
    )


def causes(dag: Any, job: Any, own_causes: Callable[[Any], Iterable[Cause]]) -> Iterator[Cause]:
    """The causes of a job's run: its own, and those of the jobs that run before it.

    Args:
        dag: Snakemake's plan.
        job: a job of the plan.
        own_causes: the causes of a job's run that are its own.
    """
    seen = {job}
    waiting = [job]
    while waiting:
        one = waiting.pop(0)
        own = own_causes(one)
        yield from (replace(cause, rule="") for cause in own) if one is job else own
        # A job with new input files may also depend on changed ones, and a changed job on another that is.
        if one is job or all(cause.is_new for cause in own):
            earlier = [other for other in dag.dependencies[one] if dag.needrun(other) and other not in seen]
            seen |= set(earlier)
            waiting += sorted(earlier, key=str)


def _was_made(dag: Any, job: Any) -> bool:
    """Whether a job was ever finished; Snakemake's record of it survives a purge of its outputs."""
    return any(Path(file).exists() or dag.workflow.persistence.metadata(file) is not None for file in job.output)


def _own_causes(dag: Any, job: Any) -> Iterator[Cause]:
    """The causes of a job's run other than those of earlier jobs.

    Snakemake compares a job with its record only if no earlier job runs and no input file is newer, so the plan's
    reason may lack a changed setting. Therefore the record itself is compared here.
    """
    rule, reason, records = job.rule.name, dag.reason(job), dag.workflow.persistence
    if reason.forced:
        yield Cause(rule, "forced")
    if changed := records.params_changed(job):
        yield Cause(
            rule,
            changed_params(changed.only_old, changed.only_new),
            keys=_changed_settings(changed.only_old, changed.only_new),
        )
    files = set(map(str, set(reason.updated_input) - set(reason.updated_input_run)))
    # Photos of a new generation are newer than existing outputs without changing them.
    if files and (not reason.missing_output or _was_made(dag, job)):
        yield Cause(rule, f"changed input {_first_of(files)}", frozenset(files))
    if any(records.input_changed(job)):
        # More input files mean growth, except for a merge: other sources change an existing generation.
        yield Cause(rule, "the set of input files changed", is_new=not rule.startswith(MERGE))
    if any(records.code_changed(job)):
        yield Cause(rule, "the command of its rule changed")
    if any(records.software_stack_changed(job)):
        yield Cause(rule, "its software environment changed")
    if reason.missing_output:
        yield Cause(rule, f"missing {_first_of(set(reason.missing_output))}", is_new=True)


def _first_of(files: Iterable[str]) -> str:
    first, *others = sorted(map(str, files))
    return first + (f" and {len(others)} more" if others else "")


def changed_params(old: Iterable[str], new: Iterable[str]) -> str:
    """Description of a job's changed params: settings with both values, the code version, or the texts.

    Args:
        old: params that only the recorded job had, as Snakemake writes them (Python literals).
        new: params that only the planned job has.
    """
    before, after = [sorted(map(_value, some), key=str) for some in (old, new)]
    keys = _changed_keys(before, after)
    changes = [f"{key} {_short(one)} -> {_short(other)}" for key, one, other in keys]
    plain = [[one for one in some if not isinstance(one, dict)] for some in (before, after)]
    versions = [next((one for one in some if _is_version(one)), None) for some in plain]
    if all(versions):
        changes.append(f"code version {versions[0]} -> {versions[1]}")
    values = [(one, other) for _, one, other in keys]
    for one, other in zip(*([one for one in some if not _is_version(one)] for some in plain), strict=False):
        # Options of a command whose values are settings, too.
        if all(pair in values for pair in _changed_words(one, other)):
            continue
        changes.append(f"{_short(one)} -> {_short(other)}")
    return "changed settings: " + ", ".join(changes) if changes else "changed settings"


def _changed_words(before: Any, after: Any) -> list[tuple[str, str]]:
    """The words in which two command lines differ; all of the text if they differ in more than words."""
    try:
        one, other = shlex.split(str(before)), shlex.split(str(after))
    except ValueError:
        return [(before, after)]
    pairs = list(zip(one, other, strict=False))
    return [pair for pair in pairs if len(set(pair)) > 1] if len(one) == len(other) else [(before, after)]


def _changed_settings(old: Iterable[str], new: Iterable[str]) -> tuple[str, ...]:
    """Keys of the settings that differ; empty if other params differ too."""
    before, after = [list(map(_value, some)) for some in (old, new)]
    if not all(isinstance(value, dict) for value in (*before, *after)):
        return ()
    return tuple(key for key, *_ in _changed_keys(before, after))


def _changed_keys(before: Iterable[Any], after: Iterable[Any]) -> list[tuple[str, Any, Any]]:
    """Keys of the settings that differ, each with the old and new value."""
    one, other = (_flat(next((value for value in some if isinstance(value, dict)), {})) for some in (before, after))
    both = ((key, one.get(key, "default"), other.get(key, "default")) for key in sorted({*one, *other}))
    return [(key, old, new) for key, old, new in both if old != new]


def _fetches_nothing_again(cause: Cause) -> bool:
    """Whether the cause is a changed download setting for which only refused images are requested again."""
    return bool(cause.keys) and keeps_images(cause.keys)


def _value(text: str) -> Any:
    """A param's value; JSON text is parsed as a section of the config."""
    value = ast.literal_eval(text) if isinstance(text, str) else text
    if isinstance(value, str) and value.startswith("{"):
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value


def _is_version(value: Any) -> bool:
    number, _, code = str(value).partition("-")
    return isinstance(value, str) and (number.isdigit() or number == "unrecorded") and len(code) in (0, 16)


def _flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return text if len(text) <= 60 else f"{text[:57]}..."


def cost_of(outputs: Sequence[Path]) -> str:
    """Cost of finished jobs: images by their accounts and manifests, device hours by training summaries."""
    images, hours, devices = 0, 0.0, set()
    manifests = [path for path in outputs if path.name.endswith(".manifest.parquet")]
    if manifests:
        # Imported here because every job of a workflow imports this module and few get here.
        from workflow_scripts.common import tables

        with tables.connect() as connection:
            query = f"SELECT coalesce(sum(samples), 0)::BIGINT FROM {tables.scan(manifests)}"
            images += connection.execute(query).fetchall()[0][0]
    for path in outputs:
        if path.name.endswith("account.json"):
            images += read_account(path).kept
        elif path.name == "summary.json":
            summary = json.loads(path.read_text(encoding="utf-8"))
            hours += summary["seconds"] * summary["processes"] / 3600
            devices.add(summary["device"])
    costs = [f"{images:,} images"] if images else []
    costs += [f"{hours:,.2g} device hours on {', '.join(sorted(devices))}"] if devices else []
    return ", ".join(costs)
