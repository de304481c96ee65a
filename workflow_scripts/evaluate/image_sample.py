"""A fixed sample of a benchmark's images with ranks, for analyses of features beyond scores."""

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
# All pairs of so many images take 200 MB; a larger sample says no more.
MOST = 5000


@dataclass(frozen=True)
class ImageSample:
    """Some of a benchmark's images.

    Attributes:
        table: their rows of the images table.
        rows: their places in that table, and so in its features [N].
        lineages: their names at the seven ranks.
        digest: SHA-256 of the whole table's file.
    """

    table: "pl.DataFrame"
    rows: NDArray[np.int64]
    lineages: tuple[Lineage, ...]
    digest: str

    def features(self, path: Path) -> Floats:
        """The images' features [N, D] at unit length.

        Raises:
            InputError: no features, or of other images.
        """
        found = read_features(path)
        if found.origin.images != self.digest:
            raise InputError(f"{path}: features of other images than the table's; embed them again")
        return unit(found.vectors[self.rows])


def draw_sample(images: Path) -> ImageSample:
    """Draw at most `MOST` of a benchmark's images that have a name at any rank.

    Raises:
        InputError: no table of images, or fewer than three of them have ranks.
    """
    table = read_frame(images, BENCHMARK_IMAGES)
    lineages = [lineage(row) for row in table.iter_rows(named=True)]
    known = np.flatnonzero([any(one) for one in lineages])
    if len(known) < 3:
        raise InputError(
            f"{images}: only {len(known)} images have ranks; leave the benchmark out of intrinsic.benchmarks"
        )
    if len(known) > MOST:
        known = np.sort(np.random.default_rng(SEED).choice(known, MOST, replace=False))
    return ImageSample(table[known], known, tuple(lineages[row] for row in known), sha256_file(images))


def codes_of(lineages: Sequence[Lineage]) -> NDArray[np.int64]:
    """Names as numbers, rank by rank [N, 7]; -1 where unknown."""
    columns = []
    for names in zip(*lineages, strict=True):
        distinct, codes = np.unique(np.array(names), return_inverse=True)
        columns.append(np.where(distinct[codes] == "", -1, codes))
    return np.stack(columns, axis=1).astype(np.int64)
