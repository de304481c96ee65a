"""Normalise vectors, and find the nearest centre of each."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

# Distances in memory at once: 64 MiB of float32.
BLOCK_VALUES = 2**24


def unit(vectors: Floats) -> Floats:
    """Normalise vectors along the last axis to unit length; zero vectors are unchanged."""
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors / np.maximum(lengths, np.finfo(np.float32).tiny)


def nearest(vectors_ND: Floats, centres_KD: Floats) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Index of the nearest centre of each unit vector (the first in a tie), and the squared distance to it."""
    found = np.empty(len(vectors_ND), np.int64)
    distance = np.empty(len(vectors_ND))
    lengths_K = (centres_KD**2).sum(axis=1)
    rows = max(1, BLOCK_VALUES // len(centres_KD))
    for start in range(0, len(vectors_ND), rows):
        block = slice(start, start + rows)
        # |v - c|^2 = |v|^2 - 2 v.c + |c|^2: a matrix product avoids the N x K x D differences.
        distance_NK = lengths_K - 2 * (vectors_ND[block] @ centres_KD.T)
        found[block] = distance_NK.argmin(axis=1)
        distance[block] = np.maximum(distance_NK.min(axis=1) + 1, 0)
    return found, distance
