"""The card beside an exported model, and the facts that it is made of.

In: an exported model, its run's `summary.json`, score files, attribution tables, and the corpus with what `corpus.json`
says of it. Out: `README.md` and `card.json` (contract MODEL_FACTS), from which a published card is made too.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from workflow_scripts.common import tables
from workflow_scripts.common.cli import run
from workflow_scripts.common.config.train import CorpusShards, ExportSettings, TrainSettings
from workflow_scripts.common.documents import read_document, write_document
from workflow_scripts.common.files import write_text
from workflow_scripts.common.model_card import SHOWN, CardScore, model_card
from workflow_scripts.common.open_clip_names import BIOCLIP2_FILE, CONFIG_FILE, REPLAY_PROJECTOR_FILE
from workflow_scripts.contracts import ATTRIBUTION, BENCHMARK_SCORES, CORPUS, MODEL_FACTS, OPEN_CLIP, TRAINING
from workflow_scripts.train.data import TrainingData


def write_card(
    *,
    trained: Path,
    model: Path,
    settings: ExportSettings,
    title: str,
    out: Path,
    facts: Path,
    scores: tuple[Path, ...] = (),
    attributions: tuple[Path, ...] = (),
    identity: Path | None = None,
    corpora: tuple[CorpusShards, ...] = (),
    replay: Path | None = None,
) -> None:
    """Write the model card and its facts.

    Args:
        trained: folder of the training's results.
        model: the exported model.
        settings: of its export, as JSON.
        title: heading.
        out: the card.
        facts: what the card is made of, besides scores.
        scores: the model's own score files.
        attributions: the corpus's attribution tables.
        identity: the corpus's corpus.json, where the model was trained on it.
        corpora: that one corpus as it is now, as JSON.
        replay: its replay shards as they are now.

    Raises:
        InputError: a file is missing or unreadable.
    """
    summary = read_document(trained / "summary.json", TRAINING)
    second = {"file": REPLAY_PROJECTOR_FILE, "checkpoint": BIOCLIP2_FILE}
    known = {
        "title": title,
        "second_projector": second if (model / REPLAY_PROJECTOR_FILE).is_file() else None,
        "training": training(summary, settings),
        "sources": sources(attributions),
        "recipe": {"model": summary["model"], "settings": summary["settings"]},
        "architecture": read_document(model / CONFIG_FILE, OPEN_CLIP),
        "provenance": summary["digests"] | {"versions": summary["versions"]},
        "corpus": None,
        "changed_corpus": None,
    }
    if identity is not None:
        known |= trained_on(summary, read_document(identity, CORPUS), *corpora, replay=replay)
    write_document(facts, known, MODEL_FACTS)
    files = [read_document(path, BENCHMARK_SCORES) for path in scores]
    write_text(out, model_card(read_document(facts, MODEL_FACTS), [title], list(own_scores(files))))


def training(summary: Mapping[str, Any], settings: ExportSettings) -> dict[str, Any]:
    """How it was trained, and which of the weights these are."""
    last, best = summary["last"], summary["best"]
    return {
        **{key: summary[key] for key in ("steps", "samples", "replay_samples", "parameters", "skipped")},
        **{key: last[key] for key in ("epoch", "loss", "logit_scale")},
        "broken_samples": len(summary["broken_samples"]),
        "weights_step": best["step"] if settings.weights == "best" and best["step"] else summary["steps"],
        "start_share": settings.start_share,
    }


def own_scores(files: Sequence[Mapping[str, Any]]) -> Iterator[CardScore]:
    """What the model reached on each benchmark."""
    for file in sorted(files, key=lambda file: str(file["benchmark"])):
        for metric, value in sorted(file["metrics"].items()):
            if SHOWN.fullmatch(metric) and value is not None:
                ends = file.get("intervals", {}).get(metric)
                found = (value, (ends[0], ends[1]) if ends else None)
                yield CardScore(file["benchmark"], metric, (found,), None, file["n_images"])


def sources(attributions: Sequence[Path]) -> list[tuple[str, int]]:
    """What to cite for the images (mostly DOIs), each with how many images it stands for."""
    if not attributions:
        return []
    with tables.connect() as connection:
        tables.read(connection, list(attributions), ATTRIBUTION, "attribution")
        return connection.sql(
            "SELECT cite, count(*) FROM attribution WHERE cite IS NOT NULL GROUP BY cite ORDER BY 2 DESC, 1"
        ).fetchall()


def trained_on(
    summary: Mapping[str, Any], identity: Mapping[str, Any], corpus: CorpusShards, *, replay: Path | None
) -> dict[str, Any]:
    """Which corpus it was trained on; a corpus that has changed since then is not the one."""
    settings = TrainSettings.model_validate(summary["settings"])
    replayed = replay if summary["replay_samples"] else None
    now, then = TrainingData((corpus,), replayed, settings).digests(), summary["digests"]["data"]
    known = now["biology"][0] in [{**one, "weight": None} for one in then["biology"]]
    if not known or now["replay"] != then["replay"]:
        return {"changed_corpus": identity["name"]}
    return {
        "corpus": {
            **{key: identity[key] for key in ("id", "digest", "species")},
            "share": "a tenth of " if settings.split == "train_small" else "",
            "images": identity["images"]["train"],
            "replay_pairs": identity["replay_pairs"]["train"] if replayed else 0,
        }
    }


if __name__ == "__main__":
    run(write_card)
