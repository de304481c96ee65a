"""Compute class embeddings from support images or texts.

In: a folder of support images with one folder per class, or texts by class. Out: a safetensors file of vectors.
"""

import logging
from pathlib import Path

import numpy as np
import torch

from workflow_scripts.common.class_folders import files_by_folder, is_image
from workflow_scripts.common.cli import run
from workflow_scripts.common.config.screen import ClipJudge
from workflow_scripts.common.errors import InputError
from workflow_scripts.common.geometry import Floats, unit
from workflow_scripts.common.images import RgbImage, UnreadableImage, decode
from workflow_scripts.common.prompts import text_features
from workflow_scripts.screen.embeddings import write_embeddings
from workflow_scripts.screen.model import ImageEncoder

logger = logging.getLogger(__name__)

# Images in memory at once.
CHUNK = 256


def make_classes(*, settings: ClipJudge, model: str, out: Path, threads: int = 1) -> None:
    """Write class embeddings.

    Support images give at most `clusters` k-means centres of their features per class, as in TreeOfLife-toolbox; texts
    give the mean of their features.

    Args:
        settings: the judge's settings.
        model: the model's source, such as `local-dir:PATH`.
        out: the safetensors file to write.
        threads: threads of the forward pass.

    Raises:
        InputError: the folder has fewer than two classes, an image cannot be read, or the model has no text tower.
    """
    torch.set_num_threads(threads)
    encoder = ImageEncoder(model, CHUNK)
    if settings.prompts is not None:
        vectors = {label: _mean(text_features(encoder.clip, given)) for label, given in settings.prompts.items()}
    else:
        vectors = _centres(encoder, Path(str(settings.classes)), settings.clusters, settings.seed)
    write_embeddings(out, vectors)
    logger.info("%s: %s", out, {label: len(np.atleast_2d(some)) for label, some in vectors.items()})


def _mean(features_ND: Floats) -> Floats:
    """The class vector [D] from the features of its texts (Radford et al. 2021, section 3.1.4)."""
    mean: Floats = unit(features_ND.mean(axis=0))
    return mean


def _centres(encoder: ImageEncoder, folder: Path, most: int, seed: int) -> dict[str, Floats]:
    """The centres [K, D] of each class's unit features."""
    from sklearn.cluster import KMeans

    files: dict[str, list[Path]] = {}
    for path, label in files_by_folder(folder):
        if label and is_image(path):
            files.setdefault(label, []).append(folder / path)
    if len(files) < 2:
        raise InputError(f"{folder}: expected a folder of images for each of two or more classes, found {len(files)}")
    for place in sorted(folder.iterdir()):
        if place.is_dir() and not place.name.startswith(".") and place.name not in files:
            raise InputError(f"{place}: no images found; add at least one, or remove the folder")
    centres = {}
    for label, paths in sorted(files.items()):
        features_ND = unit(
            np.concatenate(
                [
                    encoder.features([encoder.prepare(_read(path)) for path in paths[start : start + CHUNK]])
                    for start in range(0, len(paths), CHUNK)
                ]
            )
        )
        if len(features_ND) > most:
            features_ND = KMeans(most, n_init=4, random_state=seed).fit(features_ND).cluster_centers_
        centres[label] = features_ND.astype(np.float32)
    return centres


def _read(path: Path) -> RgbImage:
    try:
        return decode(path.read_bytes())
    except (OSError, UnreadableImage) as error:
        raise InputError(f"{path}: support image cannot be read: {error}; replace or remove it") from None


if __name__ == "__main__":
    run(make_classes)
