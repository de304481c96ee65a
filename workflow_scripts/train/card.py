"""Write the model card: usage, training, data, scores, sources to cite.

In: an exported model, its run's `summary.json`, score files, attribution tables of the generations trained on, and the
corpus with its `corpus.json`.
Out: `README.md` beside the model.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from workflow_scripts.common import tables
from workflow_scripts.common.cli import run
from workflow_scripts.common.config.train import CorpusShards, ExportSettings, TrainSettings
from workflow_scripts.common.documents import read_document, without_folders
from workflow_scripts.common.files import write_text
from workflow_scripts.common.layout import PastImages
from workflow_scripts.common.model_files import BIOCLIP2_FILE, CONFIG_FILE, LINEAGE_FILE, REPLAY_PROJECTOR_FILE
from workflow_scripts.common.past_images import digests_in, find_past_images
from workflow_scripts.common.species_embeddings import EMBEDDINGS, NAMES
from workflow_scripts.contracts import ATTRIBUTION, BENCHMARK_SCORES, CORPUS, LINEAGE, OPEN_CLIP, TRAINING
from workflow_scripts.train.data import TrainingData

RETRAIN_NOTE = (
    "A takedown removes images from the corpus and from later trainings. The weights contain no images, but these "
    "weights were trained on them; to exclude them, train again from weights that were not."
)


def write_card(
    *,
    trained: Path,
    model: Path,
    settings: ExportSettings,
    title: str,
    out: Path,
    scores: tuple[Path, ...] = (),
    attributions: tuple[Path, ...] = (),
    indexes: tuple[Path, ...] = (),
    identity: Path | None = None,
    corpora: tuple[CorpusShards, ...] = (),
    replay: Path | None = None,
    ledgers: tuple[Path, ...] = (),
) -> None:
    """Write the model card.

    Args:
        trained: folder of the training's results.
        model: folder of the exported model.
        settings: export settings, as JSON.
        title: heading of the card.
        out: output file.
        scores: the model's score files.
        attributions: attribution tables of the generations that the model was trained on.
        indexes: index tables of the images that it was trained on. Default: all that the attribution tables list.
        identity: corpus.json of the corpus that the model was trained on.
        corpora: the current state of that corpus, as JSON.
        replay: the current replay shards of that corpus.
        ledgers: takedown ledgers of corpora, each with its `.held` folder (images by shard) beside it.

    Raises:
        InputError: a file is missing or unreadable.
    """
    summary = read_document(trained / "summary.json", TRAINING)
    architecture = read_document(model / CONFIG_FILE, OPEN_CLIP)
    second = (model / REPLAY_PROJECTOR_FILE).is_file()
    parts = [
        heading(title, second=second),
        training(summary, settings),
        taken_down(summary, model / LINEAGE_FILE, ledgers),
        scoring([read_document(path, BENCHMARK_SCORES) for path in scores]),
        citations(attributions, indexes),
        f"## Recipe\n\n{_json(without_folders({name: summary[name] for name in ('model', 'settings')}))}",
        f"## Architecture and preprocessing\n\n{_json(architecture)}",
        provenance(
            summary, trained_on(summary, read_document(identity, CORPUS), *corpora, replay=replay) if identity else ""
        ),
    ]
    write_text(out, "\n".join(part for part in parts if part))


def heading(title: str, *, second: bool) -> str:
    """Front matter, title, and how to load the model."""
    projector = (
        f"""
`{REPLAY_PROJECTOR_FILE}` is BioCLIP 2's second visual projector, for images outside biology: multiply the pooled
features by it instead of `visual.proj`. `{BIOCLIP2_FILE}` is the complete model for `--pretrained` of BioCLIP 2's code,
with the second projector as `visual.continual_proj`.
"""
        if second
        else ""
    )
    return f"""---
library_name: open_clip
pipeline_tag: zero-shot-image-classification
tags:
- clip
- biology
---
# {title}

A CLIP model trained on images and names of organisms.

```python
import open_clip
model, _, preprocess = open_clip.create_model_and_transforms("local-dir:PATH")
tokenizer = open_clip.get_tokenizer("local-dir:PATH")
```

With pybioclip and your own names: `bioclip.CustomLabelsClassifier(names, model_str="local-dir:PATH")`. For a model on
the Hugging Face hub, use `hf-hub:NAME` instead of `local-dir:PATH`.

If `{EMBEDDINGS}` and `{NAMES}` are beside the weights, they contain embeddings of the names of the species that it was
trained on (float32 [dimensions, species], columns of length 1), and each species' seven ranks and common name.

```python
import json
import numpy as np
embeddings = np.load("PATH/{EMBEDDINGS}")
species = json.load(open("PATH/{NAMES}", encoding="utf-8"))
```
{projector}"""


def training(summary: Mapping[str, Any], settings: ExportSettings) -> str:
    """Length of the training, loss, and the step of the exported weights."""
    last, best = summary["last"], summary["best"]
    replay = f" and {summary['replay_samples']:,} replay pairs" if summary["replay_samples"] else ""
    step = best["step"] if settings.weights == "best" and best["step"] else summary["steps"]
    share = f", averaged with the starting weights (share {settings.start_share:g})" if settings.start_share else ""
    return f"""## Training

{summary["steps"]:,} steps, {summary["samples"]:,} pairs ({last["epoch"]:.2f} epochs){replay},
{summary["parameters"]:,} parameters. Final loss {last["loss"]:.4g}, logit scale {last["logit_scale"]:.4g}.
Steps skipped because of a non-finite loss: {summary["skipped"]}. Unreadable samples replaced:
{len(summary["broken_samples"])}. These are the weights of step {step:,}{share}.
"""


def taken_down(summary: Mapping[str, Any], lineage: Path, ledgers: Sequence[Path]) -> str:
    """Images that were taken down since this model or its starting weights were trained on them; "" if none."""
    trainings = read_document(lineage, LINEAGE)["trainings"][1:] if lineage.is_file() else []
    known = [
        ("this model", summary["digests"]),
        *((f"its starting weights `{one['name']}`", one) for one in trainings),
    ]
    rows = []
    with tables.connect() as connection:
        for ledger in ledgers:
            gone = f"uuid IN (SELECT uuid FROM {tables.scan(ledger)})"
            images = find_past_images(connection, PastImages(str(ledger.with_suffix(".held"))), gone)
            for name, digests in known:
                read = digests_in(digests["data"])
                if count := sum(bool(image.manifests & read) for image in images):
                    rows.append(f"- corpus `{ledger.stem}`: {count:,} images in the training data of {name}")
    if not rows:
        return ""
    return "\n".join(["## Taken down since the training\n", *rows, "", RETRAIN_NOTE, ""])


def scoring(scores: Sequence[Mapping[str, Any]]) -> str:
    """A table of the model's scores on each benchmark; "" without scores."""
    rows = [
        f"| {score['benchmark']} | {name} | {value:.4f} |"
        for score in sorted(scores, key=lambda score: str(score["benchmark"]))
        for name, value in sorted(score["metrics"].items())
        if isinstance(value, float)
    ]
    return "\n".join(["## Scores\n", "| benchmark | metric | value |", "|---|---|---|", *rows, ""]) if rows else ""


def citations(attributions: Sequence[Path], indexes: Sequence[Path] = ()) -> str:
    """Citations of the images (mostly DOIs), each with its number of images; "" without any.

    Args:
        attributions: attribution tables.
        indexes: index tables of the images to count; without any, all images are counted.
    """
    if not attributions:
        return ""
    only = f"uuid IN (SELECT uuid FROM {tables.scan(indexes)})" if indexes else "true"
    with tables.connect() as connection:
        tables.read(connection, list(attributions), ATTRIBUTION, "attribution", only=only)
        rows = connection.sql(
            "SELECT cite, count(*) FROM attribution WHERE cite IS NOT NULL GROUP BY cite ORDER BY 2 DESC, 1"
        ).fetchall()
    listed = [f"- {cite} ({count:,} images)" for cite, count in rows]
    return "\n".join(["## Sources to cite\n", *listed, ""]) if listed else ""


def trained_on(
    summary: Mapping[str, Any], identity: Mapping[str, Any], corpus: CorpusShards, *, replay: Path | None
) -> str:
    """The corpus that the model was trained on, if its digests are still those of the training."""
    settings = TrainSettings.model_validate(summary["settings"])
    replayed = replay if summary["replay_samples"] else None
    now, then = TrainingData((corpus,), replayed, settings).digests(), summary["digests"]["data"]
    unchanged = now["biology"][0] in [{**one, "weight": None} for one in then["biology"]]
    if not unchanged or now["replay"] != then["replay"]:
        return (
            f"The corpus `{identity['name']}` has changed since the training; the digests below are those of the "
            "training.\n\n"
        )
    share = "a tenth of " if settings.split == "train_small" else ""
    pairs = f" and {identity['replay_pairs']['train']:,} replay pairs" if replayed else ""
    return (
        f"Trained on the corpus `{identity['id']}`, {share}{identity['images']['train']:,} images of "
        f"{identity['species']:,} species{pairs}. Full SHA-256 digest of the corpus: `{identity['digest']}`.\n\n"
    )


def provenance(summary: Mapping[str, Any], corpus: str) -> str:
    """The corpus, digests of data and code, and software versions."""
    known = summary["digests"] | {"versions": summary["versions"]}
    return f"""## Data and code

{corpus}SHA-256 digests of the shards' manifests and indexes, the labels, the starting weights and the training code,
with the commit, if known, and the software versions.

{_json(known)}"""


def _json(value: Any) -> str:
    return f"```json\n{json.dumps(value, indent=2, sort_keys=True)}\n```\n"


if __name__ == "__main__":
    run(write_card)
