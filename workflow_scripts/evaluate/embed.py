"""Embed a benchmark's images with one model."""

import logging
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from workflow_scripts.common.cli import run
from workflow_scripts.common.clip import Clip, Projector, load, preprocess
from workflow_scripts.common.config.evaluate import EmbedLimits
from workflow_scripts.common.embedding import ImageFiles, ImagePlace, encode, load_batches
from workflow_scripts.common.errors import InputError
from workflow_scripts.common.files import atomic, sha256_file
from workflow_scripts.common.frames import read_frame
from workflow_scripts.common.geometry import Floats
from workflow_scripts.common.progress import Progress
from workflow_scripts.common.step_versions import versioned
from workflow_scripts.common.work_folder import WorkFolder, do_once
from workflow_scripts.contracts import BENCHMARK_IMAGES
from workflow_scripts.evaluate.features import Features, origin_of, write_features

if TYPE_CHECKING:
    import polars as pl

logger = logging.getLogger(__name__)

# Images per file in the work folder: an interrupted job loses at most this many.
CHUNK = 1024


def embed(
    *,
    model: str,
    images: Path,
    out: Path,
    work: Path,
    projector: Projector = "proj",
    precise: bool = False,
    limits: EmbedLimits = EmbedLimits(),  # noqa: B008 (frozen)
    threads: int = 1,
) -> None:
    """Embed a benchmark's images with one model.

    Images are decoded as in training. The few that published evaluation code decodes differently (`differs`) are
    embedded a second time with its decoding, for the scores that reproduce it. On a GPU the model runs under fp16
    autocast, as in the published code.

    Results are cached by a digest of weights, preprocessing and images: other runs that score the same model reuse
    them, and an interrupted job resumes after its last chunk.

    Args:
        model: the model's source, such as `local-dir:PATH`.
        images: the benchmark's images.parquet.
        out: the features to write, safetensors: `features` [N, D] float32, not normalised; `positions` [N]; if images
            differ, `published` [M, D] and their `rows` [M]; with --precise on a GPU, `precise` [N, D].
        work: the folder of cached results, shared by all runs.
        projector: the visual projector to use; ignored if the model has only one.
        precise: whether v1.0.1 and v2.0.0 of the published code embed this benchmark in full precision; on a GPU all
            images are then embedded a second time, as `precise`.
        limits: batch size and loader workers.
        threads: CPU threads for the forward pass.

    Raises:
        InputError: the model cannot be loaded, there are no images, or an image cannot be read.
    """
    torch.set_num_threads(threads)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    table = read_frame(images, BENCHMARK_IMAGES)
    if not table.height:
        raise InputError(f"{images}: no images to embed")
    clip = load(model, device)
    origin = origin_of(clip, sha256_file(images), projector)
    logger.info("%s: %d images on %s, projector %s", model, table.height, device, origin.projector)

    passes = [Pass("corrected", np.arange(table.height), plain=False, autocast=True)]
    if len(differing := np.flatnonzero(table["differs"].fill_null(False).to_numpy())):
        passes.append(Pass("published", differing, plain=True, autocast=True))
    if precise and device.type == "cuda":
        passes.append(Pass("precise", np.arange(table.height), plain=True, autocast=False))

    def make(folder: WorkFolder) -> list[str]:
        used: Projector = "replay" if origin.projector == "replay" else "proj"
        made = {one.name: _embed_pass(clip, table, one, folder.path, projector=used, limits=limits) for one in passes}
        if not all(np.isfinite(vectors).all() for vectors in made.values()):
            raise InputError(f"{model}: some features contain NaN or infinity; the model's weights are damaged")
        published = None
        if "published" in made:
            published = made["corrected"].copy()
            published[differing] = made["published"]
        features = Features(made["corrected"], table["position"].to_numpy(), origin, published, made.get("precise"))
        write_features(folder.path / out.name, features)
        for chunk in folder.path.glob("*.npy"):
            chunk.unlink()
        return [out.name]

    key = {
        "name": out.name,
        "device": device.type,
        "passes": [one.name for one in passes],
        **versioned("evaluate.embed"),
        **vars(origin),
    }
    do_once(work, key, make, out.parent, out.name)


class Pass(NamedTuple):
    """One pass over a benchmark's images.

    Attributes:
        name: name of the resulting features.
        rows: the images to embed [M].
        plain: whether to decode as the published code does.
        autocast: whether the model runs under fp16 autocast on a GPU.
    """

    name: str
    rows: NDArray[np.int64]
    plain: bool
    autocast: bool


def _embed_pass(
    clip: Clip, table: "pl.DataFrame", one: Pass, folder: Path, *, projector: Projector, limits: EmbedLimits
) -> Floats:
    """Compute the features of a pass [M, D] in chunks, reusing the chunks of an interrupted job."""
    count = len(one.rows)
    chunks = [folder / f"{one.name}-{number:05d}.npy" for number in range(math.ceil(count / CHUNK))]
    missing = [number for number, chunk in enumerate(chunks) if not chunk.exists()]
    batches = [
        list(range(start, min(start + limits.batch, end)))
        for first, end in ((number * CHUNK, min((number + 1) * CHUNK, count)) for number in missing)
        for start in range(first, end, limits.batch)
    ]
    done = count - sum(map(len, batches))
    if done:
        logger.info("%d images were already embedded", done)
    parts = []
    with Progress(f"embed ({one.name})", count, "images") as progress:
        progress.update(done)
        rows = table[one.rows]
        places = [ImagePlace(*place) for place in zip(rows["path"], rows["offset"], rows["size"], strict=True)]
        images = ImageFiles(places, preprocess(clip), plain=one.plain)
        loaded = _load(images, rows["image"].to_list(), batches, limits.workers)
        for numbers, batch in zip(batches, loaded, strict=True):
            parts.append(encode(clip, batch, projector, half=one.autocast))
            progress.update(len(numbers))
            if (numbers[-1] + 1) % CHUNK == 0 or numbers[-1] + 1 == count:
                with atomic(chunks[numbers[-1] // CHUNK]) as temporary:
                    np.save(temporary, np.concatenate(parts))
                parts = []
    return np.concatenate([np.load(chunk) for chunk in chunks])


def _load(images: ImageFiles, names: Sequence[str], batches: list[list[int]], workers: int) -> Iterator[torch.Tensor]:
    """Yield the batches as tensors [B, 3, H, W].

    Raises:
        InputError: an image cannot be read.
    """
    for batch in load_batches(images, batches, workers):
        for index, error in batch.errors.items():
            raise InputError(
                f"image {names[index]} ({images.places[index].path}) can no longer be read: {error}; restore it, or "
                "delete the benchmark's images table and run its `index` step again"
            )
        yield batch.pixels_BCHW


if __name__ == "__main__":
    run(embed)
