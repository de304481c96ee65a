"""Write a trained model as others can load, judge and cite it: weights, card with scores, citation, provenance."""

from collections.abc import Iterator
from pathlib import Path

from huggingface_hub import EvalResult

from workflow_scripts.common.cli import run as run_command
from workflow_scripts.common.config.report import PublishSettings
from workflow_scripts.common.documents import read_document
from workflow_scripts.common.errors import InputError
from workflow_scripts.common.files import link, write_text
from workflow_scripts.common.model_card import SHOWN, CardScore, Publication, model_card
from workflow_scripts.common.open_clip_names import CONFIG_FILE, WEIGHTS_FILE
from workflow_scripts.contracts import MODEL_FACTS, RUN
from workflow_scripts.report.cards import citation
from workflow_scripts.report.corpora import mixture
from workflow_scripts.report.scores import MAIN_METRIC, PUBLISHED, Scores, read_scores

FACTS = "card.json"
WEIGHTS = (WEIGHTS_FILE, CONFIG_FILE)


def publish_model(
    *,
    model: Path,
    scores: tuple[Path, ...],
    facts: Path,
    table: Path,
    settings: PublishSettings,
    out: Path,
) -> None:
    """Write the model's files, a card with Hugging Face front matter and scores, `CITATION.cff`, and what it came from.

    Nothing is uploaded.

    Args:
        model: the exported open_clip directory, with the facts of its card.
        scores: the run's score files, of its own model and of the others.
        facts: the report's run.json.
        table: the report's scores.csv.
        settings: licence and authors.
        out: the card; everything else goes beside it.

    Raises:
        InputError: a file is missing or unreadable.
    """
    told = read_document(facts, RUN)
    found = read_scores(scores, own=told["run"])
    files = [path for path in sorted(model.iterdir()) if path.suffix in (".safetensors", ".json", ".npy")]
    if missing := set(WEIGHTS) - {path.name for path in files}:
        raise InputError(f"{model}: no {', '.join(sorted(missing))}; run `snakemake train`")
    for path in (*(path for path in files if path.name != FACTS), facts, table):
        link(path, out.with_name(path.name))
    title = told["run"]
    write_text(out.with_name("CITATION.cff"), citation(title, "software", told["corpus"]["id"], settings.authors))
    publication = Publication(settings.model_license, [*_results(found)], mixture(told["config"]), told["config"])
    known = read_document(model / FACTS, MODEL_FACTS)
    write_text(out, model_card(known, found.models, [*_rows(found)], publication))


def _rows(scores: Scores) -> Iterator[CardScore]:
    for benchmark in scores.benchmarks:
        for metric in filter(SHOWN.fullmatch, scores.metrics(benchmark)):
            values = tuple(
                (scores.value(benchmark, metric, model), scores.interval(benchmark, metric, model))
                for model in scores.models
            )
            yield CardScore(benchmark, metric, values, scores.chance(benchmark, metric), scores.size(benchmark)[0])


def _results(scores: Scores) -> Iterator[EvalResult]:
    """The run's own scores, as Hugging Face lists them."""
    own = scores.models[0]
    for benchmark in scores.benchmarks:
        for metric in scores.metrics(benchmark):
            value = scores.value(benchmark, metric, own)
            if value is not None and SHOWN.fullmatch(metric) and not metric.startswith(PUBLISHED):
                yield EvalResult(
                    task_type="zero-shot-image-classification" if metric == MAIN_METRIC else "image-classification",
                    dataset_type=benchmark,
                    dataset_name=benchmark,
                    metric_type="f1" if metric.endswith("f1") else "accuracy",
                    metric_name=metric,
                    metric_value=round(100 * value, 2),
                )


if __name__ == "__main__":
    run_command(publish_model)
