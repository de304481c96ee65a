"""Lay a model's image features out on a plane by t-SNE."""

from pathlib import Path

import numpy as np

from workflow_scripts.common.cli import run
from workflow_scripts.common.frames import write_frame
from workflow_scripts.contracts import EMBEDDING_MAP
from workflow_scripts.evaluate.image_sample import draw_sample

SEED = 42
# The default of van der Maaten and of scikit-learn; neighbourhoods of 30 images suit any set of this size.
PERPLEXITY = 30.0
# A neighbourhood needs three times as many neighbours as the perplexity says.
NEIGHBOURS_A_UNIT = 3
DECIMALS = 3


def tsne(*, images: Path, features: Path, out: Path) -> None:
    """Write where each image lies by t-SNE (van der Maaten & Hinton 2008) over cosine distances.

    Neighbours are exact and the start is the first two principal components, so that the same features give the same
    picture, and two models' pictures can be held against each other.

    Args:
        images: a benchmark's images.parquet.
        features: a model's features of these images.
        out: the table (contract EMBEDDING_MAP).

    Raises:
        InputError: features that are missing or of other images, or images without ranks.
    """

    import polars as pl
    from openTSNE import TSNE

    chosen = draw_sample(images)
    vectors = chosen.features(features)
    plane = TSNE(
        perplexity=min(PERPLEXITY, max(1.5, (len(vectors) - 1) / NEIGHBOURS_A_UNIT)),
        initialization="pca",
        metric="cosine",
        neighbors="exact",
        negative_gradient_method="bh",
        random_state=SEED,
        # At these sizes, threads wait for each other longer than they work.
        n_jobs=1,
    ).fit(vectors)
    x, y = np.round(np.asarray(plane), DECIMALS).T
    write_frame(chosen.table.with_columns(x=pl.Series(x), y=pl.Series(y)), EMBEDDING_MAP, out)


if __name__ == "__main__":
    run(tsne)
