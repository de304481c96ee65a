"""Build the report: one self-contained page, and tables of scores beside it."""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from workflow_scripts.common.accounts import read_account
from workflow_scripts.common.cli import run as run_command
from workflow_scripts.common.config.screen import Refusals
from workflow_scripts.common.documents import read_document, write_document
from workflow_scripts.common.errors import InputError
from workflow_scripts.common.files import sha256_file, write_text
from workflow_scripts.common.pdq_distance import BITS, MAX_DISTANCE
from workflow_scripts.common.tables import connect
from workflow_scripts.common.tables import read as read_table
from workflow_scripts.common.version import workflow_version
from workflow_scripts.contracts import CORPUS, DOWNLOAD_HOSTS, LABEL_STATISTICS, LABELS, RUN, TRAINING
from workflow_scripts.report import figures
from workflow_scripts.report.by_class import read_by_class
from workflow_scripts.report.class_figures import class_figures
from workflow_scripts.report.corpora import mixture
from workflow_scripts.report.costs import Owner, read_costs, totals
from workflow_scripts.report.curves import read_curves
from workflow_scripts.report.embedding_maps import read_embedding_maps
from workflow_scripts.report.examples import Example, read_examples
from workflow_scripts.report.flow import corpus_flow, gaps, steps_of
from workflow_scripts.report.headline import effect_of, explain_model, lines, outcome
from workflow_scripts.report.leakage import read_leaks
from workflow_scripts.report.means import means
from workflow_scripts.report.names import RANKS_SHOWN, ranks_by_source
from workflow_scripts.report.pages import page_parts, page_templates
from workflow_scripts.report.problems import problems
from workflow_scripts.report.published import compare
from workflow_scripts.report.scores import MAIN_METRIC, STD, Scores, read_scores, write_scores
from workflow_scripts.report.screening import read_screening
from workflow_scripts.report.training_summary import quantities
from workflow_scripts.report.treemap import treemap_nodes

HERE = Path(__file__).parent
TEMPLATE, BY_CLASS = "page.html.j2", "by_class.html.j2"
PACKAGES = ("snakemake", "torch", "open_clip_torch", "img2dataset", "webdataset", "duckdb", "plotly")


def build(
    *,
    run: str,
    corpus: str,
    config: str,
    scores: tuple[Path, ...],
    predictions: tuple[Path, ...] = (),
    benchmarks: dict[str, Path] = {},  # noqa: B006 (read only)
    metrics: dict[str, Path] = {},  # noqa: B006 (read only)
    accounts: tuple[Path, ...] = (),
    hosts: tuple[Path, ...] = (),
    labels: Path | None = None,
    taxonomy: Path | None = None,
    summary: Path | None = None,
    corpus_identity: Path | None = None,
    composition: Path | None = None,
    intrinsic: tuple[Path, ...] = (),
    embedding_maps: tuple[Path, ...] = (),
    leakage: tuple[Path, ...] = (),
    downloads: Path | None = None,
    findings: tuple[Path, ...] = (),
    gathered: tuple[Path, ...] = (),
    refusals: Refusals = Refusals(rules=[]),  # noqa: B008 (frozen)
    run_logs: Path | None = None,
    corpus_logs: Path | None = None,
    shared_logs: Path | None = None,
    shared: tuple[str, ...] = (),
    out: Path,
) -> None:
    """Write the report's page, and beside it `scores.csv`, `scores.parquet` and `run.json` (the run's facts).

    Args:
        run: name of the run, and of its own model.
        corpus: name of the corpus.
        config: the resolved config, as JSON.
        scores: score files. The first model other than the run's own is the reference of all differences.
        predictions: files named MODEL/BENCHMARK.predictions.parquet.
        benchmarks: each benchmark's images.parquet, for the example images.
        metrics: the metrics.jsonl of each training, by name.
        accounts: row accounts of all steps.
        hosts: downloads by host and cause (contract DOWNLOAD_HOSTS).
        labels: the corpus's taxonomy/labels.parquet.
        taxonomy: the corpus's taxonomy/stats.json.
        summary: the training's summary.json.
        corpus_identity: the corpus's corpus.json.
        composition: the corpus's training images by taxon (contract COMPOSITION).
        intrinsic: score files on how features agree with the taxonomy.
        embedding_maps: t-SNE layouts named MODEL/BENCHMARK.tsne.parquet (contract EMBEDDING_MAP).
        leakage: downloaded images that are also in benchmarks, of all generations.
        downloads: folder of the corpus's download parts, for thumbnails.
        findings: the judges' findings, of all generations (contract FINDINGS).
        gathered: the gathered downloads of all generations; needed with `findings`.
        refusals: thresholds at which findings refuse an image.
        run_logs: folder of the run's logs, for the cost of its jobs.
        corpus_logs: folder of the corpus's logs.
        shared_logs: folder of the logs of shared inputs (backbones, benchmarks, models).
        shared: names of the shared folders that this run uses.
        out: the page.

    Raises:
        InputError: a given file is missing or unreadable.
    """
    table = read_scores(scores, own=run)
    write_scores(table, out.parent)
    steps = steps_of([read_account(path) for path in accounts])
    strategies = _strategies(labels) if labels else []
    page = page_templates().get_template(TEMPLATE)
    inputs = {"labels": labels, "summary": summary} | {f"metrics {name}": path for name, path in metrics.items()}
    inputs |= {f"images of {name}": path for name, path in benchmarks.items()}
    identity = read_document(corpus_identity, CORPUS) if corpus_identity else None
    named = read_document(taxonomy, LABEL_STATISTICS) if taxonomy else None
    logs: list[tuple[Owner, Path | None]] = [("run", run_logs), ("corpus", corpus_logs)]
    costs = read_costs([(owner, path) for owner, path in logs if path is not None], shared_logs, shared)
    provenance = _provenance(inputs, table)
    trained = read_document(summary, TRAINING) if summary else {}
    facts = {
        "run": run,
        "corpus": identity or {"name": corpus},
        "config": _parsed(config),
        "digests": dict(provenance),
        "trained_from": trained.get("digests", {}),
        "versions": _versions(),
        # Descriptions of the machines, without the site's host names.
        "costs": [asdict(cost) | {"machines": sorted({*cost.machines.values()})} for cost in costs],
    }
    write_document(out.with_name("run.json"), facts, RUN)
    compared = compare(table)
    replay = _replay_benchmarks(facts["config"])
    averages = means(table, exclude=replay)
    headline = lines(table, averages, compared)
    by_host, missing = _hosts(hosts), gaps(steps)
    by_class = read_by_class(
        predictions, benchmarks, table.models, composition=composition, labels=labels, exclude=replay
    )
    drawn = {
        "zero-shot": figures.score_dots(table, MAIN_METRIC),
        **{f"few-shot-{k}": figures.score_dots(table, f"few_shot/{k}") for k in _shots(table)},
        "flow": figures.flow(corpus_flow(steps)),
        "strategies": figures.strategies(strategies),
        "treemap": figures.treemap(treemap_nodes(composition)) if composition else None,
        **{f"training-{name}": figures.training(read_curves(path)) for name, path in metrics.items()},
    }
    for name, classes in by_class.items():
        drawn |= class_figures(name, classes)
    screening = read_screening(findings, gathered, refusals, downloads) if findings and downloads else []
    text = page.render(
        run=run,
        corpus=corpus,
        trained_on=mixture(facts["config"]) or [corpus],
        config=json.dumps(facts["config"], indent=2, ensure_ascii=False),
        identity=identity,
        looks_alike=f"{MAX_DISTANCE} of {BITS} bits",
        scores=table,
        std=STD,
        headline=headline,
        outcome=outcome(headline) if headline else None,
        reference=explain_model(table.models[1], facts["config"]) if len(table.models) > 1 else "",
        problems=problems(lines=headline, scores=table, steps=steps, gaps=missing, hosts=by_host, training=trained),
        averages=averages,
        without_organisms=[name for name in table.benchmarks if name in replay],
        by_class=by_class,
        by_class_template=BY_CLASS,
        composition_known=composition is not None,
        effect_of=effect_of,
        main=MAIN_METRIC,
        comparisons=compared,
        published_models=list(dict.fromkeys(model for one in compared for model in one.theirs)),
        shots=_shots(table),
        trainings=list(metrics),
        summary=quantities(trained),
        trained=trained,
        steps=steps,
        gaps=missing,
        strategies=strategies,
        ranks_by_source=ranks_by_source(named) if named else [],
        costliest=named["costliest"] if named else [],
        lost_species=named.get("lost_species", []) if named else [],
        ranks=RANKS_SHOWN,
        leaks=read_leaks(leakage, downloads) if downloads else [],
        screening=screening,
        hosts=by_host,
        examples=_examples(predictions, benchmarks, table),
        intrinsic=read_scores(intrinsic, own=run) if intrinsic else None,
        embedding_maps=read_embedding_maps(embedding_maps, table.models),
        costs=costs,
        totals=totals(costs),
        provenance=provenance,
        versions=facts["versions"],
        figures={name: figure for name, figure in drawn.items() if figure is not None},
        **page_parts(),
    )
    write_text(out, text)


def _replay_benchmarks(config: Mapping[str, Any]) -> list[str]:
    """Benchmarks of replay pairs, which are not about organisms."""
    return [name for name, one in config.get("benchmarks", {}).items() if one.get("layout") == "replay"]


def _shots(scores: Scores) -> list[int]:
    metrics = {metric for benchmark in scores.benchmarks for metric in scores.metrics(benchmark)}
    return sorted(int(metric.removeprefix("few_shot/")) for metric in metrics if metric.startswith("few_shot/"))


def _hosts(downloads: tuple[Path, ...]) -> list[dict[str, Any]]:
    """Hosts with their failures and mean time per image."""
    with connect() as connection:
        read_table(connection, downloads, DOWNLOAD_HOSTS, "hosts")
        return connection.sql((HERE / "hosts.sql").read_text(encoding="utf-8")).to_arrow_table().to_pylist()


def _strategies(labels: Path) -> list[dict[str, Any]]:
    with connect() as connection:
        read_table(connection, labels, LABELS, "labels")
        return connection.sql((HERE / "strategies.sql").read_text(encoding="utf-8")).to_arrow_table().to_pylist()


def _examples(
    predictions: Sequence[Path], benchmarks: Mapping[str, Path], scores: Scores
) -> dict[str, dict[str, list[Example]]]:
    """Examples by benchmark and kind."""
    found: dict[str, dict[str, list[Example]]] = {}
    for benchmark, examples in read_examples(predictions, benchmarks, scores.models).items():
        for example in examples:
            found.setdefault(benchmark, {}).setdefault(example.kind, []).append(example)
    return found


def _provenance(inputs: Mapping[str, Path | None], scores: Scores) -> list[tuple[str, str]]:
    """Name and digest of each input of the page."""
    rows = [(name, sha256_file(path)) for name, path in inputs.items() if path is not None]
    for model in scores.models:
        of_model = [file for (_, name), file in scores.files.items() if name == model]
        for weights in dict.fromkeys(file.get("inputs", {}).get("weights", "") for file in of_model):
            rows.append((f"weights of {model}", weights or "not recorded"))
    return rows


def _versions() -> dict[str, str]:
    found = workflow_version() | {"python": ".".join(map(str, sys.version_info[:3]))}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _parsed(config: str) -> Any:
    try:
        return json.loads(config)
    except ValueError as error:
        raise InputError(f"--config: not valid JSON: {error}") from None


if __name__ == "__main__":
    run_command(build)
