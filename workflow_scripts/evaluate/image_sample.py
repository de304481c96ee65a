"""A fixed sample of a benchmark's images with ranks, for analyses of features."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from workflow_scripts.common.errors import InputError
from workflow_scripts.common.files import sha256_file
from workflow_scripts.common.frames import read_frame
from workflow_scripts.common.geometry import Floats, unit
from workflow_scripts.contracts import BENCHMARK_IMAGES
from workflow_scripts.evaluate.features import read_features
from workflow_scripts.evaluate.hierarchy import Lineage, lineage

if TYPE_CHECKING:
    import polars as pl

SEED = 0
# The distances of all pairs of this many images take 200 MB; a larger sample gives no better estimate.
MAX_IMAGES = 5000


@dataclass(frozen=True)
class ImageSample:
    """A sample of a benchmark's images.

    Attributes:
        table: the sampled rows of the images table.
        rows: their row indices in that table and in its features [N].
        lineages: names of each image at the seven ranks.
        digest: SHA-256 digest of the images table's file.
    """

    table: "pl.DataFrame"
    rows: NDArray[np.int64]
    lineages: tuple[Lineage, ...]
    digest: str

    def features(self, path: Path) -> Floats:
        """Read the sample's features [N, D], scaled to unit length.

        Raises:
            InputError: the file is missing, or its features belong to other images.
        """
        found = read_features(path)
        if found.origin.images != self.digest:
            raise InputError(
                f"{path}: stale, made from other images than the table's; delete it and embed the images again"
            )
        return unit(found.vectors[self.rows])


def draw_sample(images: Path) -> ImageSample:
    """Draw at most `MAX_IMAGES` of the images that have a name at any rank.

    Raises:
        InputError: the images table is missing, or fewer than three of its images have ranks.
    """
    table = read_frame(images, BENCHMARK_IMAGES)
    lineages = [lineage(row) for row in table.iter_rows(named=True)]
    known = np.flatnonzero([any(one) for one in lineages])
    if len(known) < 3:
        raise InputError(
            f"{images}: only {len(known)} images have ranks; remove the benchmark from intrinsic.benchmarks"
        )
    if len(known) > MAX_IMAGES:
        known = np.sort(np.random.default_rng(SEED).choice(known, MAX_IMAGES, replace=False))
    return ImageSample(table[known], known, tuple(lineages[row] for row in known), sha256_file(images))


def codes_of(lineages: Sequence[Lineage]) -> NDArray[np.int64]:
    """Integer codes of the names at each rank [N, 7]; -1 if unknown."""
    columns = []
    for names in zip(*lineages, strict=True):
        distinct, codes = np.unique(np.array(names), return_inverse=True)
        columns.append(np.where(distinct[codes] == "", -1, codes))
    return np.stack(columns, axis=1).astype(np.int64)
