"""Text embeddings of the corpus's species, in the layout that pybioclip reads.

In: an exported model and the corpus's labels. Out: `txt_emb_species.npy`, float32 [D, N], each column of length 1; and
`txt_emb_species.json`, N entries `[[kingdom, ..., genus, epithet], common name]`.

Shapes: N species, n of them at once, T templates, D embedding dimensions.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F

from workflow_scripts.common import clip, tables
from workflow_scripts.common.captions import Taxon, name_of
from workflow_scripts.common.cli import run
from workflow_scripts.common.errors import InputError
from workflow_scripts.common.files import whole
from workflow_scripts.common.progress import Progress
from workflow_scripts.contracts import LABELS, RANKS

EMBEDDINGS = "txt_emb_species.npy"
NAMES = "txt_emb_species.json"
# Texts that go through the model at once.
TEXTS_AT_ONCE = 2048


def species_texts(
    *, model: Path, labels: Path, templates: Literal["caption", "openai"], memory_mb: int, out: Path
) -> None:
    """Embed the name of every species that a label resolved to.

    Args:
        model: open_clip directory.
        labels: the corpus's labels.
        templates: `openai`: the mean over open_clip's 80 templates; `caption`: the one of training.
        memory_mb: for sorting the labels.
        out: the folder.

    Raises:
        InputError: the labels are unreadable or hold no species, or the model is none.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    loaded = clip.load(f"local-dir:{model}", device)
    sentences = list(clip.open_clip.OPENAI_IMAGENET_TEMPLATES) if templates == "openai" else [caption]
    at_once = max(1, TEXTS_AT_ONCE // len(sentences))
    with tables.connect(memory_mb=memory_mb) as connection:
        tables.read(connection, labels, LABELS, "labels")
        species = Path(__file__).with_name("species.sql").read_text(encoding="utf-8")
        count = tables.scalar(connection, f"SELECT count(*) FROM ({species})")
        if not count:
            raise InputError(f"{labels}: no label resolved to a species, so there is nothing to embed")
        with (
            whole(out / NAMES) as names_file,
            whole(out / EMBEDDINGS) as embeddings_file,
            names_file.open("w", encoding="utf-8") as names,
            Progress("embedding", count, "species") as bar,
        ):
            shape = (len(loaded.model.visual.proj.T), count)
            columns_DN = np.lib.format.open_memmap(embeddings_file, "w+", np.float32, shape)
            done = 0
            for some in in_groups(connection.sql(species).to_arrow_reader(65_536), at_once):
                columns_DN[:, done : done + len(some)] = embed(loaded, some, sentences).T
                for taxon in some:
                    names.write("[" if done == 0 else ",\n")
                    names.write(json.dumps([list(taxon.ranks), taxon.common_name], ensure_ascii=False))
                    done += 1
                bar.update(len(some))
            names.write("]\n")
            columns_DN.flush()


def in_groups(rows: Any, size: int) -> Iterator[list[Taxon]]:
    """The species of record batches, at most `size` at a time."""
    for batch in rows:
        taxa = [Taxon(tuple(row[rank] for rank in RANKS), "", row["common_name"]) for row in batch.to_pylist()]
        for first in range(0, len(taxa), size):
            yield taxa[first : first + size]


def caption(name: str) -> str:
    """The sentence of training."""
    return f"a photo of {name}."


@torch.inference_mode()
def embed(loaded: clip.Clip, species: Sequence[Taxon], sentences: Sequence[Any]) -> np.ndarray:
    """Each species' text feature [n, D] of length 1: the normalised mean over templates, as pybioclip's classifiers."""
    names = [name_of(taxon, "taxon_com" if taxon.common_name else "taxon") for taxon in species]
    texts = [sentence(name) for name in names for sentence in sentences]
    features_nTD = F.normalize(clip.encode_text(loaded, texts).float(), dim=-1).unflatten(0, (len(names), -1))
    return F.normalize(features_nTD.mean(1), dim=-1).cpu().numpy()


if __name__ == "__main__":
    run(species_texts)
