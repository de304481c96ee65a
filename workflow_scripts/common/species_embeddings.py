"""Read text embeddings of species in pybioclip's layout: `txt_emb_species.npy` and `txt_emb_species.json`.

The first is float32 [D, N] with columns of unit length; the second has N entries `[[kingdom, ..., genus, epithet],
common name]`. `train.species_texts` writes them beside a model; TreeOfLife's are published with the data sets.

Shapes: N species, D embedding dimensions.
"""

import json
from pathlib import Path

import numpy as np

from workflow_scripts.common.captions import Taxon
from workflow_scripts.common.errors import InputError
from workflow_scripts.common.geometry import Floats
from workflow_scripts.contracts import RANKS

EMBEDDINGS = "txt_emb_species.npy"
NAMES = "txt_emb_species.json"


def has_species_embeddings(folder: Path) -> bool:
    """Whether both files exist."""
    return (folder / EMBEDDINGS).is_file() and (folder / NAMES).is_file()


def read_species_embeddings(folder: Path) -> tuple[list[Taxon], Floats]:
    """Read the species and their embeddings [D, N], which are memory-mapped.

    Raises:
        InputError: a file is missing or invalid, or the files do not match.
    """
    path, names = folder / EMBEDDINGS, folder / NAMES
    try:
        columns_DN = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"{path}: cannot be read as species embeddings: {error}") from None
    try:
        taxa = [_taxon(*entry) for entry in json.loads(names.read_text(encoding="utf-8"))]
    except (OSError, ValueError, TypeError) as error:
        raise InputError(f"{names}: cannot be read as species names: {error}") from None
    if columns_DN.ndim != 2 or columns_DN.shape[1] != len(taxa) or columns_DN.dtype.kind != "f":
        shape = " x ".join(map(str, columns_DN.shape))
        raise InputError(f"{path}: {columns_DN.dtype} {shape}, but {names} lists {len(taxa)} species")
    return taxa, columns_DN


def _taxon(ranks: list[str], common_name: str | None) -> Taxon:
    if len(ranks) != len(RANKS):
        raise ValueError(f"{ranks}: expected {len(RANKS)} ranks")
    names = tuple(" ".join((name or "").split()) for name in ranks)
    # Without a genus, the species is the complete name.
    return Taxon(names, scientific_name="" if names[-2] else names[-1], common_name=common_name or "")
