"""Class embeddings: vectors named `CLASS` or `CLASS/N` in a safetensors file, as in TreeOfLife-toolbox's support sets.

Shapes: K vectors, N images, D embedding dimensions.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from workflow_scripts.common.config.screen import UNJUDGED, class_of
from workflow_scripts.common.errors import InputError
from workflow_scripts.common.files import atomic
from workflow_scripts.common.geometry import Floats, unit


@dataclass(frozen=True)
class ClassEmbeddings:
    """The vectors that images are compared with.

    Attributes:
        labels: the class of each vector [K].
        vectors_KD: the vectors, of unit length.
    """

    labels: tuple[str, ...]
    vectors_KD: Floats

    def nearest(self, features_ND: Floats) -> list[tuple[str, float]]:
        """The class of the vector nearest to each image's features, and the cosine similarity to it."""
        cosines_NK = unit(features_ND) @ self.vectors_KD.T
        found_N = cosines_NK.argmax(axis=1)
        return [(self.labels[place], float(cosines_NK[row, place])) for row, place in enumerate(found_N)]


def read_embeddings(path: Path, dimensions: int | None = None) -> ClassEmbeddings:
    """Read class embeddings.

    Args:
        path: the file.
        dimensions: dimensions of the model's features; None: not checked.

    Raises:
        InputError: the file is not one of class embeddings, or its vectors do not have the model's dimensions.
    """
    try:
        found = load_file(path)
    except (OSError, SafetensorError) as error:
        raise InputError(f"{path}: class embeddings cannot be read: {error}") from None
    if not found:
        raise InputError(f"{path}: contains no class embeddings")
    lengths = {vector.shape for vector in found.values()}
    if len(lengths) > 1 or len(next(iter(lengths))) != 1:
        raise InputError(
            f"{path}: expected one vector for each name, all of one length; found shapes {sorted(lengths)}"
        )
    names = sorted(found)
    vectors_KD = np.stack([found[name].astype(np.float32) for name in names])
    if dimensions is not None and vectors_KD.shape[1] != dimensions:
        raise InputError(
            f"{path}: expected {dimensions} dimensions, as in the model's features, found {vectors_KD.shape[1]}; "
            "set `model` to the model that made these embeddings"
        )
    if not np.isfinite(vectors_KD).all():
        raise InputError(f"{path}: some values are not finite numbers; make the embeddings again")
    if UNJUDGED in map(class_of, names):
        raise InputError(f"{path}: class name {UNJUDGED} is reserved for images that cannot be read; rename the class")
    return ClassEmbeddings(tuple(class_of(name) for name in names), unit(vectors_KD))


def write_embeddings(path: Path, vectors: Mapping[str, Floats]) -> None:
    """Write class embeddings; the vectors of a class are [K, D] or [D]."""
    tensors = {}
    for label, of_class in vectors.items():
        if of_class.ndim == 1:
            tensors[label] = of_class
        else:
            tensors |= {f"{label}/{number}": vector for number, vector in enumerate(of_class)}
    with atomic(path) as temporary:
        save_file({name: np.ascontiguousarray(vector) for name, vector in tensors.items()}, temporary)
        # safetensors writes files that only the owner can read.
        temporary.chmod(0o644)
