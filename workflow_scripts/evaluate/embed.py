"""Embed a benchmark's images with one model."""

import logging
import math
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from workflow_scripts.common.cli import run
from workflow_scripts.common.clip import Clip, Projector, encode_image, load, preprocess
from workflow_scripts.common.config.evaluate import EmbedLimits
from workflow_scripts.common.errors import InputError
from workflow_scripts.common.files import sha256_file, whole
from workflow_scripts.common.frames import read_frame
from workflow_scripts.common.images import decode_plain
from workflow_scripts.common.progress import Progress
from workflow_scripts.common.step_versions import versioned
from workflow_scripts.common.work_folder import WorkFolder, do_once
from workflow_scripts.contracts import BENCHMARK_IMAGES
from workflow_scripts.evaluate.features import Features, origin_of, write_features

if TYPE_CHECKING:
    import polars as pl

logger = logging.getLogger(__name__)

# Images after which an interrupted job need not start again.
CHUNK = 1024


def embed(
    *,
    model: str,
    images: Path,
    out: Path,
    work: Path,
    projector: Projector = "proj",
    limits: EmbedLimits = EmbedLimits(),  # noqa: B008 (frozen)
    threads: int = 1,
) -> None:
    """Embed a benchmark's images with one model.

    The work is kept by a digest of weights, preprocessing and images: another run that scores the same model adopts
    it, and an interrupted one goes on after its last chunk.

    Args:
        model: the model's source, such as `local-dir:PATH`.
        images: the benchmark's images.parquet.
        out: the features to write, safetensors: `features` [N, D] float32, not normalised, and `positions` [N].
        work: where the work is kept, for all runs.
        projector: which visual projector; a model with a single one takes that.
        limits: batch and loader workers.
        threads: threads of the forward pass.

    Raises:
        InputError: no model, no images, or an image that cannot be read.
    """
    torch.set_num_threads(threads)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    table = read_frame(images, BENCHMARK_IMAGES)
    if not table.height:
        raise InputError(f"{images}: no images to embed")
    clip = load(model, device)
    origin = origin_of(clip, sha256_file(images), projector)
    logger.info("%s: %d images on %s, projector %s", model, table.height, device, origin.projector)

    def make(folder: WorkFolder) -> list[str]:
        chunks = [folder.path / f"chunk-{number:05d}.npy" for number in range(math.ceil(table.height / CHUNK))]
        _embed_chunks(clip, table, chunks, "replay" if origin.projector == "replay" else "proj", limits)
        vectors = np.concatenate([np.load(chunk) for chunk in chunks])
        if not np.isfinite(vectors).all():
            raise InputError(f"{model}: some features are not numbers; its weights are broken")
        write_features(folder.path / out.name, Features(vectors, table["position"].to_numpy(), origin))
        for chunk in chunks:
            chunk.unlink()
        return [out.name]

    key = {"name": out.name, "precision": _precision(device), **versioned("evaluate.embed"), **vars(origin)}
    do_once(work, key, make, out.parent, out.name)


def _precision(device: torch.device) -> str:
    """bf16 halves the time on a GPU; on a CPU without such arithmetic it would cost time."""
    return "bf16" if device.type == "cuda" else "fp32"


def _embed_chunks(
    clip: Clip, table: "pl.DataFrame", chunks: list[Path], projector: Projector, limits: EmbedLimits
) -> None:
    """Write the chunks that are missing, each [CHUNK, D] float32, in their order."""
    device = next(clip.model.parameters()).device
    precision: Any = torch.autocast("cuda", torch.bfloat16) if _precision(device) == "bf16" else nullcontext()
    missing = [number for number, chunk in enumerate(chunks) if not chunk.exists()]
    batches = [
        list(range(start, min(start + limits.batch, end)))
        for first, end in ((number * CHUNK, min((number + 1) * CHUNK, table.height)) for number in missing)
        for start in range(first, end, limits.batch)
    ]
    done = table.height - sum(map(len, batches))
    if done:
        logger.info("%d images were embedded before", done)
    parts = []
    with Progress("embed", table.height, "images") as progress:
        progress.update(done)
        loaded = _loaded(BenchmarkImages(table, preprocess(clip)), batches, limits.workers)
        for rows, batch in zip(batches, loaded, strict=True):
            with precision:
                parts.append(encode_image(clip, batch, projector).float().cpu().numpy())
            progress.update(len(rows))
            if (rows[-1] + 1) % CHUNK == 0 or rows[-1] + 1 == table.height:
                with whole(chunks[rows[-1] // CHUNK]) as temporary:
                    np.save(temporary, np.concatenate(parts))
                parts = []


class BenchmarkImages(Dataset[torch.Tensor | str]):
    """A benchmark's images, ready for the model.

    An item is a float tensor [3, H, W], or what is wrong with the image: an exception would lose its text on its way
    out of a loader worker.
    """

    def __init__(self, table: "pl.DataFrame", transform: Callable[[Image.Image], torch.Tensor]) -> None:
        self.names = table["image"].to_list()
        self.paths = table["path"].to_list()
        self.offsets = table["offset"].to_list()
        self.sizes = table["size"].to_list()
        self.transform = transform

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> torch.Tensor | str:
        try:
            return self.transform(decode_plain(self._bytes(index)))
        except Exception as error:
            # Parsers of broken files raise whatever they stumble over.
            return f"image {self.names[index]} ({self.paths[index]}) can no longer be read: {error}"

    def _bytes(self, index: int) -> bytes:
        with Path(self.paths[index]).open("rb") as file:
            file.seek(self.offsets[index] or 0)
            return file.read(-1 if self.sizes[index] is None else self.sizes[index])


def _loaded(images: BenchmarkImages, batches: list[list[int]], workers: int) -> Iterator[torch.Tensor]:
    """The batches of rows as tensors [B, 3, H, W]."""
    loader: DataLoader[Any] = DataLoader(
        images,
        batch_sampler=batches,
        num_workers=workers,
        collate_fn=_stacked,
    )
    for batch in loader:
        if isinstance(batch, str):
            raise InputError(f"{batch}; mend it, or have the benchmark's images listed again")
        yield batch


def _stacked(items: list[torch.Tensor | str]) -> torch.Tensor | str:
    """One tensor, or what is wrong with the first bad image."""
    wrong = next((item for item in items if isinstance(item, str)), None)
    return wrong or torch.stack([item for item in items if isinstance(item, torch.Tensor)])


if __name__ == "__main__":
    run(embed)
