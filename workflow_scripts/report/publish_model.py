"""Prepare a trained model for publication: weights, card with scores, citation, provenance."""

import re
from collections.abc import Iterator
from pathlib import Path

from huggingface_hub import EvalResult, ModelCardData

from workflow_scripts.common.cli import run as run_command
from workflow_scripts.common.config.report import PublishSettings
from workflow_scripts.common.documents import read_document
from workflow_scripts.common.errors import InputError
from workflow_scripts.common.files import link, write_text
from workflow_scripts.common.remedies import snakemake
from workflow_scripts.contracts import RUN
from workflow_scripts.report.cards import check_given, citation, render
from workflow_scripts.report.corpora import mixture
from workflow_scripts.report.scores import MAIN_METRIC, PUBLISHED, Scores, read_scores

CARD = "model_card.md.j2"
SECTION = re.compile(r"^## (?=\S)", re.MULTILINE)
# Sections copied from the exported model's own card.
TAKEN = ("Taken down", "Training", "Sources to cite", "Recipe", "Architecture and preprocessing", "Data and code")
# Metrics on the card; all others are in the report's tables.
SHOWN = re.compile(r"(zero_shot/top1|few_shot/\d+|svm/.*|traits/.*|attributes/.*|clustering/all)")
WEIGHTS = ("open_clip_model.safetensors", "open_clip_config.json")


def publish_model(
    *,
    model: Path,
    scores: tuple[Path, ...],
    facts: Path,
    table: Path,
    settings: PublishSettings,
    out: Path,
) -> None:
    """Write the model's files, a Hugging Face card with scores, `CITATION.cff`, and the run's facts and score table.

    Nothing is uploaded.

    Args:
        model: the exported open_clip directory.
        scores: the run's score files, of its own model and of the others.
        facts: the report's run.json.
        table: the report's scores.csv.
        settings: licence and authors to publish.
        out: output: the card; all other files are written beside it.

    Raises:
        InputError: a file is missing or unreadable, or authors or licence are not set.
    """
    check_given(settings, "authors", "model_license")
    described = read_document(facts, RUN)
    found = read_scores(scores, own=described["run"])
    files = [path for path in sorted(model.iterdir()) if path.suffix in (".safetensors", ".json", ".npy")]
    if missing := set(WEIGHTS) - {path.name for path in files}:
        raise InputError(f"{model}: {', '.join(sorted(missing))} not found; run `{snakemake('train')}`")
    for path in (*files, facts, table):
        link(path, out.with_name(path.name))
    own_card = (model / "README.md").read_text(encoding="utf-8")
    # The model's own card has the corpus's digest, unless the corpus has changed since the training.
    corpus = described["corpus"] | {"is_trained_on": described["corpus"]["digest"] in own_card}
    identity = corpus["id" if corpus["is_trained_on"] else "name"]
    title = described["run"]
    write_text(out.with_name("CITATION.cff"), citation(title, "software", identity, settings.authors))
    front = ModelCardData(
        model_name=title,
        license=settings.model_license,
        library_name="open_clip",
        pipeline_tag="zero-shot-image-classification",
        language="en",
        tags=["clip", "biology", "species", "taxonomy", "zero-shot-image-classification"],
        metrics=["accuracy"],
        eval_results=[*_results(found)],
    )
    sections = SECTION.split(own_card)
    text = render(
        CARD,
        title=title,
        corpus=corpus,
        identity=identity,
        mixed=mixture(described["config"]),
        config=described["config"],
        scores=found,
        shown={name: [one for one in found.metrics(name) if SHOWN.fullmatch(one)] for name in found.benchmarks},
        sections=[section.strip() for section in sections if section.startswith(TAKEN)],
    )
    write_text(out, f"---\n{front.to_yaml()}\n---\n{text}")


def _results(scores: Scores) -> Iterator[EvalResult]:
    """The own model's scores as Hugging Face evaluation results."""
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
