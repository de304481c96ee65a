"""Show the progress of a run: jobs by stage and state, rates, GPU hours, disk, and jobs that are stuck.

In: the files of the corpus and the run, the jobs' logs, and `squeue` if available. Reads no table of images and lists
no folder of tars, so that thousands of parts take seconds.
"""

import json
import re
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from workflow_scripts.common.accounts import read_account
from workflow_scripts.common.cli import AsJson, print_json, run
from workflow_scripts.common.config.root import Config, load_config, load_site, read_yaml
from workflow_scripts.common.generations import Generations, number_groups, number_parts
from workflow_scripts.common.job_costs import file_of, read_attempts, that_did_the_work
from workflow_scripts.common.jobs import needs_of
from workflow_scripts.common.layout import Corpus, Layout, Run
from workflow_scripts.common.plan_summary import images_by_generation, training_hours
from workflow_scripts.common.run_summary import ERROR
from workflow_scripts.common.scored_models import Models
from workflow_scripts.common.scoring import Scoring

# A running step logs a line at least every half minute.
STUCK_MINUTES = 30
TAIL_BYTES = 16_384
SHOWN = 5
HOUR = 3600
# What `squeue` says where Slurm is installed and not configured.
NOT_CONFIGURED = "Could not establish a configuration source"
# Reasons in `squeue` for which a job never starts without intervention.
NEVER = re.compile(
    r"Partition(Time|Node)Limit|DependencyNeverSatisfied|BadConstraints|Invalid(Account|QOS)|NotAllowed|"
    r"JobHeld|held|Assoc\w*PerJob|QOS\w*PerJob|AccountingPolicy"
)


@dataclass(frozen=True)
class Item:
    """One job of a stage.

    Attributes:
        rule: its rule.
        name: its name, unique in the stage.
        output: a file that exists once the job is done.
        log: its log file.
    """

    rule: str
    name: str
    output: Path
    log: Path


@dataclass
class Stage:
    """Progress of a stage.

    Attributes:
        name: name of the stage.
        total: number of jobs.
        done: jobs whose output exists.
        running: jobs with a log and no output.
        failed: jobs whose log has an error, each with the error and the path of the log.
        stuck: jobs that logged nothing for STUCK_MINUTES.
        images: images of the finished jobs; None if images are not counted.
        images_per_second: rate of the finished jobs.
        seconds: from the first job's start to the last job's end.
        seconds_left: time left at that rate.
        gpu_hours: GPU hours used so far.
        gpu_hours_to_come: GPU hours of the remaining jobs; None if unknown.
    """

    name: str
    total: int = 0
    done: int = 0
    running: int = 0
    failed: list[str] = field(default_factory=list)
    stuck: list[str] = field(default_factory=list)
    images: int | None = None
    images_per_second: float | None = None
    seconds: float | None = None
    seconds_left: float | None = None
    gpu_hours: float = 0.0
    gpu_hours_to_come: float | None = 0.0


def progress(
    *,
    config: Path = Path("config/config.yaml"),
    logs: Path = Path("logs"),
    json_lines: AsJson = False,
) -> None:
    """Print the progress of a run: stages, GPU hours, free disk space, Slurm queue, and failed or stuck jobs.

    Exit status: 0 no job failed or is stuck; 1 some job failed or is stuck; 2 bad input.

    Args:
        config: the run's config file.
        logs: the log folder in Snakemake's working directory.
        json_lines: print one JSON object: corpus, run, stages, gpu_hours, gpu_hours_to_come, disk, slurm, stuck.

    Raises:
        SystemExit: a job failed or is stuck.
    """
    site = load_site()
    recipe = load_config(read_yaml(config), str(config), site)
    layout = Layout(site.results)
    corpus, own = layout.corpus(recipe.corpus), layout.run(recipe.run)
    gpus = {rule: (one := needs_of(rule, recipe, site)).gpus * one.nodes for rule in GPU_RULES}
    stages = [_stage(name, items, gpus) for name, items in items_of(recipe, layout, logs).items()]
    by_name = {stage.name: stage for stage in stages}
    _count_images(by_name.get("download"), corpus)
    _train(by_name["train"], own, recipe, corpus, gpus["train_run"])
    slurm, waiting = _queue()
    status: dict[str, Any] = {
        "corpus": recipe.corpus,
        "run": recipe.run,
        "stages": [asdict(stage) for stage in stages],
        "gpu_hours": sum(stage.gpu_hours for stage in stages),
        "gpu_hours_to_come": _sum([stage.gpu_hours_to_come for stage in stages]),
        "disk": _disk(Path(site.results)),
        "slurm": slurm,
        "stuck": [text for stage in stages for text in stage.stuck] + waiting,
    }
    if json_lines:
        print_json(status)
    else:
        sys.stdout.writelines(f"{line}\n" for line in _lines(stages, status))
    if status["stuck"] or any(stage.failed for stage in stages):
        raise SystemExit(1)


GPU_RULES = ("train_run", "embed", "screen")


def items_of(recipe: Config, layout: Layout, logs: Path) -> dict[str, list[Item]]:
    """Jobs that measure a run's progress, by stage; a corpus from elsewhere has none."""
    corpus, own = layout.corpus(recipe.corpus), layout.run(recipe.run)
    of_corpus, of_run = logs / "corpora" / corpus.name, logs / "runs" / own.name
    found: dict[str, list[Item]] = {}

    def add(stage: str, rule: str, output: str, log: Path) -> None:
        name = log.relative_to(logs).with_suffix("").as_posix()
        found.setdefault(stage, []).append(Item(rule, name, Path(output), log))

    if not recipe.corpus_is_given:
        generations = Generations.planned(recipe.generations)
        for name, parts in generations.parts.items():
            for source in generations.sources[name]:
                account = corpus.source_account(generation=name, source=source)
                add("catalog", "catalog_source", account, of_corpus / f"catalog/{name}/{source}.log")
            add(
                "catalog",
                f"catalog_merge_{name}",
                corpus.catalog_account(generation=name),
                of_corpus / f"catalog/{name}/merge.log",
            )
            for part in parts:
                add("download", "download", corpus.download_part(part=part), of_corpus / f"download/part-{part}.log")
            for judge in recipe.screen:
                for group in number_groups(min(recipe.screen_jobs, len(parts))):
                    account = corpus.findings_group(judge=judge, generation=name, group=group)
                    add("screen", "screen", account, of_corpus / f"screen/{judge}/{name}/group-{group}.log")
            add("curate", "curate", corpus.verdicts_account(generation=name), of_corpus / f"curate/{name}.log")
            for group in number_groups(recipe.shard_jobs):
                manifest = corpus.group_manifest(generation=name, group=group)
                add("shards", "shards_write", manifest, of_corpus / f"shards/{name}/group-{group}.log")
        add("taxonomy", "taxonomy_resolve", corpus.labels_account(), of_corpus / "taxonomy/resolve.log")
        for part in number_parts(recipe.replay.parts) if recipe.replay else []:
            add(
                "replay",
                "replay_download",
                corpus.replay_download_part(part=part),
                of_corpus / f"replay/part-{part}.log",
            )
        if recipe.replay:
            add("replay", "replay_write", corpus.replay_account(), of_corpus / "replay/write.log")
    add("train", "train_run", own.summary(), of_run / "train/run.log")
    models = Models(recipe, layout)
    scoring = Scoring(own, recipe.benchmarks, models.folders, models.without_text)
    for benchmark in recipe.benchmarks:
        for model, features in scoring.features(benchmark).items():
            add("embed", "embed", features, of_run / f"evaluate/embed/{model}/{benchmark}.log")
        for scores in scoring.scores(benchmark):
            add("evaluate", f"eval_{benchmark}", scores, of_run / f"evaluate/scores/{benchmark}.log")
    add("report", "report_build", own.report(), of_run / "report/build.log")
    return found


def _stage(name: str, items: Sequence[Item], gpus: dict[str, int]) -> Stage:
    stage = Stage(name, total=len(items))
    spans: list[tuple[float, float]] = []
    hours: list[float] = []
    for item in items:
        costs = that_did_the_work(read_attempts(file_of(item.log)))
        spans += [(one.started, one.ended) for one in costs]
        hours.append(sum(one.ended - one.started for one in costs) * gpus.get(item.rule, 0) / HOUR)
        if item.output.exists():
            stage.done += 1
        elif item.log.exists():
            _of_log(item, stage)
    stage.gpu_hours = sum(hours)
    left = stage.total - stage.done
    if left and gpus.get(items[0].rule):
        ran = [one for one in hours if one]
        stage.gpu_hours_to_come = left * sum(ran) / len(ran) if ran else None
    if spans and stage.done:
        stage.seconds = max(end for _, end in spans) - min(start for start, _ in spans)
        stage.seconds_left = left * stage.seconds / stage.done
    return stage


def _of_log(item: Item, stage: Stage) -> None:
    """Count an unfinished job as running, failed or stuck, by its log."""
    with item.log.open("rb") as file:
        file.seek(max(0, item.log.stat().st_size - TAIL_BYTES))
        lines = file.read().decode("utf-8", errors="replace").splitlines()
    errors = [found[1] for line in lines if (found := ERROR.match(line))]
    minutes = (time.time() - item.log.stat().st_mtime) / 60
    if errors:
        stage.failed.append(f"{item.name}: {errors[-1]} (log: {item.log})")
    elif minutes > STUCK_MINUTES:
        stage.stuck.append(f"{item.name}: nothing logged for {_spelled(60 * minutes)} (log: {item.log})")
    else:
        stage.running += 1


def _count_images(stage: Stage | None, corpus: Corpus) -> None:
    """Set images and rate of the finished download parts."""
    if stage is None:
        return
    stage.images = sum(read_account(path).rows_in for path in corpus.download_part_account.found())
    stage.images_per_second = stage.images / stage.seconds if stage.seconds else None


def _train(stage: Stage, own: Run, recipe: Config, corpus: Corpus, gpus: int) -> None:
    """Set images, rate and GPU hours from a training's own metrics; before it starts, from known unit costs."""
    if stage.done:
        summary = json.loads(Path(own.summary()).read_text(encoding="utf-8"))
        stage.images, stage.gpu_hours_to_come = summary["last"]["samples"], 0.0
        stage.images_per_second = stage.images / summary["seconds"] if summary["seconds"] else None
        stage.gpu_hours = summary["seconds"] * gpus / HOUR
        return
    metrics = sorted(Path(own.train_work()).glob("*/metrics.jsonl"), key=lambda path: path.stat().st_mtime)
    last = _last_row(metrics[-1]) if metrics else None
    if last is None or not last["samples_per_second"] or not last["epoch"]:
        images = (
            images_by_generation(corpus, Generations.planned(recipe.generations).names)
            if not recipe.corpus_is_given
            else {}
        )
        stage.gpu_hours_to_come = training_hours(recipe, images) if gpus else 0.0
        return
    stage.images, stage.images_per_second = last["samples"], last["samples_per_second"]
    left = last["samples"] * (recipe.train.epochs / last["epoch"] - 1)
    stage.seconds_left = left / last["samples_per_second"]
    stage.gpu_hours = last["samples"] / last["samples_per_second"] * gpus / HOUR
    stage.gpu_hours_to_come = stage.seconds_left * gpus / HOUR


def _last_row(path: Path) -> dict[str, Any] | None:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - TAIL_BYTES))
        lines = file.read().decode("utf-8", errors="replace").splitlines()
    for line in reversed(lines):
        try:
            return dict(json.loads(line))
        except ValueError:
            continue
    return None


def _queue() -> tuple[dict[str, Any] | None, list[str]]:
    """This user's workflow jobs in Slurm's queue by rule and state, and messages on those that never start."""
    if shutil.which("squeue") is None:
        return None, []
    words = ["squeue", "--me", "--noheader", "--array", "--format=%i|%k|%T|%r"]
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    except subprocess.TimeoutExpired:
        return {"error": "squeue timed out"}, []
    if done.returncode != 0 and NOT_CONFIGURED in done.stderr:
        return None, []
    if done.returncode != 0:
        return {"error": " ".join(done.stderr.splitlines()[-1:])}, []
    states: dict[str, Counter[str]] = {}
    reasons, never = Counter[str](), []
    for line in done.stdout.splitlines():
        number, comment, state, reason = line.split("|", 3)
        if not comment.startswith("rule_"):
            continue
        rule = comment.removeprefix("rule_").split("_wildcards_")[0]
        states.setdefault(rule, Counter())[state.lower()] += 1
        if state == "PENDING":
            reasons[reason] += 1
            if NEVER.search(reason):
                never.append(f"Slurm job {number} ({rule}) never starts: {reason}")
    return {"jobs": states, "waiting_for": reasons}, never


def _disk(results: Path) -> dict[str, Any]:
    place = next(one for one in (results, *results.absolute().parents) if one.exists())
    usage = shutil.disk_usage(place)
    return {"folder": str(results), "free_bytes": usage.free, "total_bytes": usage.total}


def _sum(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) else None


def _lines(stages: Sequence[Stage], status: dict[str, Any]) -> Iterator[str]:
    yield f"corpus {status['corpus']}, run {status['run']}"
    yield "stage         done   total  running  failed  stuck         images  images/s  time left"
    for one in stages:
        images = f"{one.images:,}" if one.images is not None else ""
        rate = f"{one.images_per_second:,.1f}" if one.images_per_second else ""
        left = _spelled(one.seconds_left) if one.seconds_left and one.done < one.total else ""
        yield (
            f"{one.name:<10}{one.done:>8,}{one.total:>8,}{one.running:>9,}{len(one.failed):>8,}{len(one.stuck):>7,}"
            f"{images:>15}{rate:>10}  {left}".rstrip()
        )
    to_come = "unknown" if status["gpu_hours_to_come"] is None else f"about {status['gpu_hours_to_come']:,.1f}"
    yield f"GPU hours: {status['gpu_hours']:,.1f} so far, {to_come} to come"
    disk = status["disk"]
    yield f"disk: {disk['free_bytes'] / 1e9:,.0f} of {disk['total_bytes'] / 1e9:,.0f} GB free at {disk['folder']}"
    if (slurm := status["slurm"]) is not None:
        jobs = [
            f"{rule} {', '.join(f'{n} {state}' for state, n in sorted(of.items()))}"
            for rule, of in sorted(slurm.get("jobs", {}).items())
        ]
        yield f"Slurm: {slurm.get('error') or '; '.join(jobs) or 'no job of this workflow in the queue'}"
        if waiting := slurm.get("waiting_for"):
            yield f"  waiting for: {', '.join(f'{reason} {count}' for reason, count in waiting.most_common())}"
    for kind, texts in (("failed", [text for one in stages for text in one.failed]), ("stuck", status["stuck"])):
        yield from (f"{kind}: {text}" for text in texts[:SHOWN])
        if len(texts) > SHOWN:
            yield f"{kind}: and {len(texts) - SHOWN:,} more (--json lists all)"


def _spelled(seconds: float) -> str:
    for unit, length in (("d", 86_400), ("h", HOUR), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.0f} s"


if __name__ == "__main__":
    run(progress)
