"""Project a model's image features to two dimensions with t-SNE."""

from pathlib import Path

import numpy as np

from workflow_scripts.common.cli import run
from workflow_scripts.common.frames import write_frame
from workflow_scripts.contracts import EMBEDDING_MAP
from workflow_scripts.evaluate.image_sample import draw_sample

SEED = 42
# The default of van der Maaten's code and of scikit-learn.
PERPLEXITY = 30.0
# openTSNE uses 3 x perplexity neighbours of each point, so perplexity is at most a third of the other images.
NEIGHBOURS_PER_PERPLEXITY = 3
DECIMALS = 3


def tsne(*, images: Path, features: Path, out: Path) -> None:
    """Write each image's coordinates in a t-SNE map (van der Maaten & Hinton 2008) with cosine distance.

    Nearest neighbours are exact and the initialisation is the first two principal components, so that the same features
    give the same map and maps of different models can be compared.

    Args:
        images: a benchmark's images.parquet.
        features: a model's features of these images.
        out: the table to write (contract EMBEDDING_MAP).

    Raises:
        InputError: features are missing or belong to other images, or the images have no ranks.
    """

    import polars as pl
    from openTSNE import TSNE

    chosen = draw_sample(images)
    vectors = chosen.features(features)
    plane = TSNE(
        perplexity=min(PERPLEXITY, max(1.5, (len(vectors) - 1) / NEIGHBOURS_PER_PERPLEXITY)),
        initialization="pca",
        metric="cosine",
        neighbors="exact",
        negative_gradient_method="bh",
        random_state=SEED,
        # At these sizes more threads are slower.
        n_jobs=1,
    ).fit(vectors)
    x, y = np.round(np.asarray(plane), DECIMALS).T
    write_frame(chosen.table.with_columns(x=pl.Series(x), y=pl.Series(y)), EMBEDDING_MAP, out)


if __name__ == "__main__":
    run(tsne)
