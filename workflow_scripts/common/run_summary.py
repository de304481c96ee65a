"""The last lines of a run: rows in, kept and lost, the model's scores, and where the result is.

After a failure, the errors of the failed jobs are repeated with their logs. Errors in this module never fail a run.
"""

import atexit
import json
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from workflow_scripts.common.accounts import Account, read_account
from workflow_scripts.common.generations import Generations
from workflow_scripts.common.interruptions import stopped_by
from workflow_scripts.common.layout import Corpus, Run
from workflow_scripts.common.losses import lost_of, not_lost_before
from workflow_scripts.common.protocols import plain_metric
from workflow_scripts.common.remedies import redo, snakemake
from workflow_scripts.common.scoring import Scoring
from workflow_scripts.common.source_folders import changed_folders, record_folders

ERROR = re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d+ ERROR [\w.]+: (.*)$")
# What precedes the message of a log's line.
STAMP = re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d+ [A-Z]+ [\w.]+: ")
MAIN_METRIC = "zero_shot/top1"
MAX_ERRORS = 3
MAX_REASONS = 5


@dataclass(frozen=True)
class Places:
    """Locations of the files that the last lines are written from.

    Attributes:
        corpus: the run's corpus.
        run: the run.
        generations: the corpus's generations with their sources.
        scoring: the models scored on each benchmark.
        benchmarks: folder of each benchmark's table, by name.
    """

    corpus: Corpus
    run: Run
    generations: Generations
    scoring: Scoring
    benchmarks: Mapping[str, str]


def print_summary(workflow: Any, places: Places, *, failed: bool) -> None:
    """Write the last lines when the process exits, after all of Snakemake's output.

    Args:
        workflow: Snakemake's workflow.
        places: locations of the run's files.
        failed: whether a job failed.
    """
    failed_jobs = workflow.scheduler.failed if failed else ()
    if failed and stopped_by():
        lines = _safely(lambda: after_stop(failed_jobs, stopped_by()))
    else:
        lines = _safely(lambda: after_failure(failed_jobs) if failed else _at_the_end(workflow, places))
    if workflow.is_main_process:
        atexit.register(lambda: sys.stderr.write("".join(f"{line}\n" for line in lines)))


def print_when_nothing_ran(workflow: Any, places: Places) -> None:
    """Write the last lines after a run without jobs, for which Snakemake calls no hook."""

    def say() -> None:
        ran = workflow.scheduler is not None and not workflow.output_settings.dryrun and workflow.dag is not None
        if ran and not any(workflow.dag.needrun_jobs(exclude_finished=False)):
            lines = _safely(lambda: _at_the_end(workflow, places))
            sys.stderr.write("".join(f"{line}\n" for line in lines))

    if workflow.is_main_process:
        atexit.register(say)


def _at_the_end(workflow: Any, places: Places) -> Iterator[str]:
    yield from changed_folders(places.corpus, places.generations)
    record_folders(places.corpus, places.generations)
    yield from after_success(_targets(workflow), places)


def _targets(workflow: Any) -> list[str]:
    return sorted(workflow.dag_settings.targets or {workflow.default_target})


def _safely(make: Callable[[], Iterable[str]]) -> list[str]:
    try:
        return list(make())
    except Exception as error:
        return [f"could not summarise this run: {type(error).__name__}: {error}"]


def after_failure(failed: Iterable[Any]) -> Iterator[str]:
    """The error line of each failed job, with its log.

    Args:
        failed: Snakemake's failed jobs and job groups.
    """
    jobs = sorted(_each(failed), key=str)
    for job in jobs[:MAX_ERRORS]:
        log = next((str(path) for path in job.log), "")
        yield f"error: {error_of(Path(log)) or f'rule {job.rule.name} failed without a message'} (log: {log or 'none'})"
    if len(jobs) > MAX_ERRORS:
        yield f"and {len(jobs) - MAX_ERRORS} more failed jobs"


def _each(failed: Iterable[Any]) -> Iterator[Any]:
    """The jobs; Snakemake reports a failed group as one job."""
    for job in failed:
        yield from getattr(job, "jobs", [job])


def after_stop(failed: Iterable[Any], stopped: str) -> Iterator[str]:
    """The errors of jobs that failed by themselves, then what stopped the run and how to continue it.

    Args:
        failed: Snakemake's failed jobs and job groups; those that the signal ended have no error in their log.
        stopped: what stopped the run.
    """
    yield from after_failure(job for job in _each(failed) if any(_errors(_lines(Path(path))) for path in job.log))
    yield f"run stopped by {stopped}; finished work is kept, and the same command continues the run"


def error_of(log: Path) -> str:
    """The last error in a step's log, else that it has none, with its last line; "" if there is no log."""
    lines = _lines(log)
    if errors := _errors(lines):
        return errors[-1]
    last = next((line for line in reversed(lines) if line.strip()), "")
    return f"no error in the log; its last line: {STAMP.sub('', last)}" if last else ""


def _lines(log: Path) -> list[str]:
    try:
        return log.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []


def _errors(lines: Iterable[str]) -> list[str]:
    return [found[1] for line in lines if (found := ERROR.match(line))]


def after_success(targets: Sequence[str], places: Places) -> Iterator[str]:
    """Summary of the results of the targets; empty for targets that are files.

    Args:
        targets: names of rules, or files.
        places: locations of the run's files.
    """
    corpus, run = places.corpus, places.run
    results = {
        "fetch": corpus.downloads(),
        "data": corpus.folder,
        "retry_failed": corpus.downloads(),
        "train": run.model(),
        "evaluate": f"{run}/scores",
        "report": run.report(),
        "all": run.report(),
        "publish": str(Path(run.published_model_card()).parents[1]),
        "crate": run.crate(),
    }
    benchmarks = [name for name in places.scoring.models if f"eval_{name}" in targets]
    made = [target for target in targets if target in results]
    if not made and not benchmarks:
        return
    if {"fetch", "data", "all", "report", "publish", "crate"} & set(made):
        yield from corpus_lines(places)
    if "retry_failed" in made:
        yield from retried_lines(places)
    if {"evaluate", "all", "report", "publish", "crate"} & set(made):
        benchmarks = list(places.scoring.models)
    yield from score_lines(places, benchmarks)
    for place in dict.fromkeys([results[target] for target in made] or [f"{run}/scores"]):
        yield f"result: {place}"


def corpus_lines(places: Places) -> Iterator[str]:
    """Rows in, kept and lost of each source and of the replay pairs, and unresolved labels."""
    corpus = places.corpus
    yield f"corpus {corpus.name}:"
    sources = places.generations.sources
    names = list(dict.fromkeys(name for of_generation in sources.values() for name in of_generation))
    verdicts = [_account(corpus.verdicts_account(generation=generation)) for generation in sources]
    # Corpora of older releases have no counts by source.
    by_source = all(account is None or account.sources for account in verdicts)
    for group in [[name] for name in names] if by_source else [names]:
        rows = Rows()
        for generation, of_generation in sources.items():
            _add_sources(corpus, generation, [name for name in group if name in of_generation], rows)
        yield f"  {', '.join(group)}: {rows.sentence('rows')}"
    yield from _replay_lines(corpus)
    yield from _label_lines(corpus)
    for path in corpus.gathered_lost.found():
        if path.stat().st_size and len(path.open(encoding="utf-8").readline()) < path.stat().st_size:
            yield f"  images that were not downloaded: {path}"


@dataclass
class Rows:
    """Counts of rows in, kept, lost and left out.

    Attributes:
        rows_in: rows that came in.
        kept: rows that were kept.
        lost: rows that failed, by reason.
        left_out: rows that a setting or the corpus itself excludes, by reason.
    """

    rows_in: int = 0
    kept: int = 0
    lost: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)

    def drop(self, stage: str, dropped: Mapping[str, int]) -> None:
        """Add the rows that a stage dropped, by reason."""
        lost = lost_of(stage, dropped)
        self.lost.update(lost)
        self.left_out.update({reason: rows for reason, rows in dropped.items() if reason not in lost})

    def sentence(self, unit: str) -> str:
        """The counts as text, with the most frequent reasons."""
        return f"{self.rows_in:,} {unit} in, {self.kept:,} kept" + "".join(
            f", {reasons.total():,} {what} ({_reasons(reasons)})"
            for what, reasons in (("lost", +self.lost), ("left out", +self.left_out))
            if reasons
        )


def _reasons(reasons: Counter[str]) -> str:
    most = reasons.most_common(MAX_REASONS)
    others = reasons.total() - sum(rows for _, rows in most)
    return ", ".join(f"{reason} {rows:,}" for reason, rows in most) + (f", others {others:,}" if others else "")


def _add_sources(corpus: Corpus, generation: str, names: Sequence[str], rows: Rows) -> None:
    """Add the rows of some sources of one generation, up to the last stage that has run."""
    read = [_account(corpus.source_account(generation=generation, source=name)) for name in names]
    kept = 0
    for account in filter(None, read):
        rows.rows_in += account.rows_in
        kept += account.kept
        rows.drop("catalog", account.dropped)
    if (merged := _account(corpus.catalog_account(generation=generation))) is not None:
        before, kept = kept, sum(merged.notes.get(f"kept of {name}", 0) for name in names)
        rows.drop("catalog", {"repeated": before - kept})
    downloaded = _of_sources(_account(corpus.gathered_account(generation=generation)), names)
    judged = _of_sources(_account(corpus.verdicts_account(generation=generation)), names)
    if downloaded is not None:
        kept, dropped = downloaded
        rows.drop("download", dropped)
        if judged is not None:
            kept = judged[0]
            rows.drop("curate", not_lost_before(dropped, judged[1]))
    rows.kept += kept


def _of_sources(account: Account | None, names: Sequence[str]) -> tuple[int, Counter[str]] | None:
    """Kept rows of some sources in an account, and dropped rows by reason; None without an account."""
    if account is None:
        return None
    found = [source for source in account.sources if source.source in names] if account.sources else [account]
    dropped = Counter[str]()
    for rows in found:
        dropped.update(rows.dropped)
    return sum(rows.kept for rows in found), dropped


def _replay_lines(corpus: Corpus) -> Iterator[str]:
    chosen, written = _account(corpus.replay_selection_account()), _account(corpus.replay_account())
    if chosen is not None and written is not None:
        kept_back = {reason: written.dropped.get(reason, 0) for reason in ("beyond_max_shards", "taken_down")}
        left_out = Counter(chosen.dropped) + Counter(kept_back)
        rows = Rows(chosen.rows_in, written.kept, Counter(written.dropped) - Counter(kept_back), left_out)
        yield f"  replay: {rows.sentence('pairs')}"


def _label_lines(corpus: Corpus) -> Iterator[str]:
    if (labels := _account(corpus.labels_account())) is not None:
        higher, of_higher = (labels.notes.get(f"{what} by higher_rank", 0) for what in ("labels", "images"))
        of_unresolved = labels.notes.get("images by unresolved", 0)
        yield (
            f"  labels: {labels.rows_in:,}, of which {labels.rows_in - labels.kept:,} unresolved "
            f"({of_unresolved:,} images) and {higher:,} resolved to a higher rank ({of_higher:,} images)"
        )


def retried_lines(places: Places) -> Iterator[str]:
    """Result of `retry_failed`, and the command that adds the new images to the corpus."""
    recovered = {}
    for path in places.corpus.retried.found():
        tried = read_account(path)
        recovered[tried.part] = tried.kept
        rows = Rows(tried.rows_in, tried.kept, Counter(tried.dropped))
        yield f"retried ({tried.part}): {rows.sentence(tried.unit)}"
    # Finished steps are redone only with `redo`.
    finished = {"shards": recovered.get("corpus") and places.corpus.shards_account.found()}
    finished["replay"] = recovered.get("replay") and places.corpus.replay_account.found()
    steps = [step for step, files in finished.items() if files]
    if any(recovered.values()):
        yield f"next: `{snakemake('data', config=redo(steps))}` adds the recovered images"


def score_lines(places: Places, benchmarks: Sequence[str]) -> Iterator[str]:
    """The run's scores, with those of the first other model and chance for comparison."""
    own, found = places.run.name, []
    for benchmark in benchmarks:
        models = [own, *(name for name in places.scoring.models[benchmark] if name != own)]
        files = {name: Path(places.run.scores(model=name, benchmark=benchmark)) for name in models[:2]}
        metrics = {name: json.loads(path.read_text())["metrics"] for name, path in files.items() if path.exists()}
        if own not in metrics:
            continue
        metric = MAIN_METRIC if MAIN_METRIC in metrics[own] else _headline(metrics[own])
        beside = [f"{name} {100 * one[metric]:.1f}" for name, one in metrics.items() if name != own and metric in one]
        if "chance" in metrics[own] and metric == MAIN_METRIC:
            beside.append(f"chance {100 * metrics[own]['chance']:.1f}")
        of_metric = "" if metric == MAIN_METRIC else f" {metric}"
        found.append(
            f"{benchmark}{of_metric} {100 * metrics[own][metric]:.1f}"
            + (f" ({', '.join(beside)})" if beside else "")
            + _lost_of_benchmark(places.benchmarks[benchmark])
        )
    if found:
        yield f"scores of {own}, zero-shot top-1 in percent: {', '.join(found)}"


def _headline(metrics: Mapping[str, float]) -> str:
    """The first metric that is not specific to a published protocol."""
    return next(name for name in metrics if "/" in name and plain_metric(name) == name)


def _lost_of_benchmark(folder: str) -> str:
    """Number of a benchmark's images that could not be used, and what to check in its labels; "" if nothing."""
    found = _account(f"{folder}/account.json")
    if found is None:
        return ""
    lost = Counter(found.dropped)
    without = [f"without {lost.total():,} of {found.rows_in:,} images ({_reasons(lost)})"] if lost else []
    return "".join(f", {one}" for one in (*without, *found.warnings))


def _account(path: str) -> Account | None:
    return read_account(Path(path)) if Path(path).exists() else None
