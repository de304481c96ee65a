"""The model card, from facts: beside the exported model, and as it is published."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCardData

from workflow_scripts.common.captions import Taxon, caption
from workflow_scripts.common.cards import render_card

TEMPLATE = Path(__file__).with_name("model_card.md.j2")
# What a card shows of a benchmark; everything else is in the score files.
SHOWN = re.compile(r"(zero_shot/top1|few_shot/\d+|svm/.*|traits/.*|attributes/.*|clustering/all)")
MAGPIE = Taxon(
    ("Animalia", "Chordata", "Aves", "Passeriformes", "Corvidae", "Pica", "hudsonia"), common_name="black-billed magpie"
)

Interval = tuple[float, float]


@dataclass(frozen=True)
class CardScore:
    """A row of the card's table of scores.

    Attributes:
        benchmark: the benchmark.
        metric: one that is `SHOWN`.
        values: for each model of the table, the card's own first, the score and its 95 % interval; fractions.
        chance: what guessing gives, where it is known.
        images: how many images the benchmark has.
    """

    benchmark: str
    metric: str
    values: tuple[tuple[float | None, Interval | None], ...]
    chance: float | None
    images: int


@dataclass(frozen=True)
class Publication:
    """What a card says only when it is published.

    Attributes:
        license: of the model, as Hugging Face writes it.
        results: its own scores, as Hugging Face lists them.
        mixed: the corpora and tars of the mixture that it was trained on; none where that was one corpus.
        config: the run's config.
    """

    license: str
    results: Sequence[EvalResult]
    mixed: Sequence[str]
    config: Mapping[str, Any]


def model_card(
    facts: Mapping[str, Any],
    models: Sequence[str],
    rows: Sequence[CardScore],
    publication: Publication | None = None,
) -> str:
    """A model card as Markdown.

    Args:
        facts: what the training knows of the model (contract MODEL_FACTS).
        models: whose scores the rows hold, the card's own first.
        rows: the scores.
        publication: what is said beyond that where it is published.
    """
    front = ModelCardData(
        model_name=facts["title"],
        license=publication.license if publication else None,
        library_name="open_clip",
        pipeline_tag="zero-shot-image-classification",
        language="en",
        tags=["clip", "biology", "species", "taxonomy", "zero-shot-image-classification"],
        metrics=["accuracy"],
        eval_results=list(publication.results) if publication else None,
    )
    return render_card(
        TEMPLATE,
        front,
        **facts,
        models=models,
        rows=rows,
        mixed=publication.mixed if publication else [],
        config=publication.config if publication else None,
        published=publication is not None,
        example=caption(MAGPIE, "taxon_com"),
    )
