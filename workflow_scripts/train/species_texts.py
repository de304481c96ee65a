"""Embed the names of the corpus's species, in the layout that pybioclip reads.

In: an exported model, the corpus's labels, and the labels of the generations that the model was trained on. Out:
`txt_emb_species.npy` and `txt_emb_species.json`, see `common.species_embeddings`.

Shapes: N species, n species of a batch, D embedding dimensions.
"""

import json
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from workflow_scripts.common import clip, tables
from workflow_scripts.common.cli import run
from workflow_scripts.common.errors import InputError
from workflow_scripts.common.files import atomic
from workflow_scripts.common.progress import Progress
from workflow_scripts.common.prompts import TEMPLATES, class_weights, text_features
from workflow_scripts.common.species import count_species, species_in_batches
from workflow_scripts.common.species_embeddings import EMBEDDINGS, NAMES
from workflow_scripts.contracts import LABELS, PROVIDER_LABELS

# Species per batch; progress is reported after each.
BATCH_SPECIES = 4096


def species_texts(
    *,
    model: Path,
    labels: Path,
    templates: Literal["caption", "openai"],
    memory_mb: int,
    out: Path,
    trained_on: tuple[Path, ...] = (),
) -> None:
    """Embed the name of every species that a label of the training's generations resolved to.

    Args:
        model: open_clip directory.
        labels: the corpus's labels.
        templates: `openai` averages over open_clip's 80 templates; `caption` uses the training template.
        memory_mb: memory limit for sorting the labels, MB.
        out: output folder.
        trained_on: label tables of the generations that the model was trained on. Default: all labels.

    Raises:
        InputError: the labels or the model cannot be read, or no label resolved to a species.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    loaded = clip.load(f"local-dir:{model}", device)
    encode = partial(text_features, loaded)
    training_template, *openai_templates = TEMPLATES
    chosen = openai_templates if templates == "openai" else [training_template]
    with tables.connect(memory_mb=memory_mb) as connection:
        if trained_on:
            tables.read(connection, trained_on, PROVIDER_LABELS, "trained_on")
        only = "label_id IN (SELECT label_id FROM trained_on)" if trained_on else "true"
        tables.read(connection, labels, LABELS, "labels", only=only)
        count = count_species(connection)
        if not count:
            raise InputError(f"{labels}: no label resolved to a species")
        with (
            atomic(out / NAMES) as names_file,
            atomic(out / EMBEDDINGS) as embeddings_file,
            names_file.open("w", encoding="utf-8") as names,
            Progress("embedding", count, "species") as bar,
        ):
            shape = (len(loaded.model.visual.proj.T), count)
            columns_DN = np.lib.format.open_memmap(embeddings_file, "w+", np.float32, shape)
            done = 0
            for batch in species_in_batches(connection, BATCH_SPECIES):
                names_n = [taxon.taxonomic_with_common for taxon in batch]
                columns_DN[:, done : done + len(batch)] = class_weights(names_n, chosen, encode).T
                for taxon in batch:
                    names.write("[" if done == 0 else ",\n")
                    names.write(json.dumps([list(taxon.ranks), taxon.common_name], ensure_ascii=False))
                    done += 1
                bar.update(len(batch))
            names.write("]\n")
            columns_DN.flush()


if __name__ == "__main__":
    run(species_texts)
