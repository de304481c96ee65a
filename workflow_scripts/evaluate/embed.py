"""Embed a benchmark's images with one model."""

import io
import logging
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from workflow_scripts.common.cli import run
from workflow_scripts.common.clip import Projector, encode_image, load, preprocess
from workflow_scripts.common.config.evaluate import EmbedLimits
from workflow_scripts.common.errors import InputError
from workflow_scripts.common.files import sha256_file
from workflow_scripts.common.progress import Progress
from workflow_scripts.common.tables import read_rows
from workflow_scripts.contracts import BENCHMARK_IMAGES
from workflow_scripts.evaluate.features import Features, origin_of, write_features

logger = logging.getLogger(__name__)


def embed(
    *,
    model: str,
    images: Path,
    out: Path,
    projector: Projector = "proj",
    limits: EmbedLimits = EmbedLimits(),  # noqa: B008 (frozen)
    threads: int = 1,
) -> None:
    """Embed a benchmark's images with one model.

    Args:
        model: the model (`local-dir:PATH`, `hf-hub:NAME`, or `NAME:PRETRAINED` of open_clip).
        images: the benchmark's images.parquet.
        out: the features to write, safetensors: `features` [N, D] float32, not normalised, and `positions` [N].
        projector: which visual projector; a model with a single one takes that.
        limits: batch and loader workers.
        threads: threads of the forward pass.

    Raises:
        InputError: no model, no images, or an image that cannot be read.
    """
    torch.set_num_threads(threads)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    table = read_rows(images, BENCHMARK_IMAGES)
    if not table.num_rows:
        raise InputError(f"{images}: no images to embed")
    clip = load(model, device)
    origin = origin_of(clip, sha256_file(images), projector)
    chosen: Projector = "replay" if origin.projector == "replay" else "proj"
    logger.info("%s: %d images on %s, projector %s", model, table.num_rows, device, chosen)
    # bf16 halves the time on a GPU; on a CPU without such arithmetic it would cost time.
    precision: Any = torch.autocast("cuda", torch.bfloat16) if device.type == "cuda" else nullcontext()
    parts = []
    with Progress("embed", table.num_rows, "images") as progress:
        for batch in _batches(BenchmarkImages(table, preprocess(clip)), limits):
            with precision:
                parts.append(encode_image(clip, batch, chosen).float().cpu().numpy())
            progress.update(len(batch))
    vectors = np.concatenate(parts)
    if not np.isfinite(vectors).all():
        raise InputError(f"{model}: some features are not numbers; its weights are broken")
    write_features(out, Features(vectors, table["position"].to_numpy(), origin))


class BenchmarkImages(Dataset[torch.Tensor | str]):
    """A benchmark's images, ready for the model.

    An item is a float tensor [3, H, W], or what is wrong with the image: an exception would lose its text on its way
    out of a loader worker.
    """

    def __init__(self, table: pa.Table, transform: Callable[[Image.Image], torch.Tensor]) -> None:
        self.names = table["image"].to_pylist()
        self.paths = table["path"].to_pylist()
        self.offsets = table["offset"].to_pylist()
        self.sizes = table["size"].to_pylist()
        self.transform = transform

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> torch.Tensor | str:
        try:
            with Image.open(io.BytesIO(self._bytes(index))) as image:
                return self.transform(image.convert("RGB"))
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            return f"image {self.names[index]} ({self.paths[index]}) can no longer be read: {error}"

    def _bytes(self, index: int) -> bytes:
        with Path(self.paths[index]).open("rb") as file:
            file.seek(self.offsets[index] or 0)
            return file.read(-1 if self.sizes[index] is None else self.sizes[index])


def _batches(images: BenchmarkImages, limits: EmbedLimits) -> Iterator[torch.Tensor]:
    """Batches [B, 3, H, W] in the order of the table."""
    loader: DataLoader[Any] = DataLoader(
        images,
        batch_size=limits.batch,
        num_workers=limits.workers,
        collate_fn=_stacked,
        worker_init_fn=_quiet_worker,
    )
    for batch in loader:
        if isinstance(batch, str):
            raise InputError(f"{batch}; mend it, or have the benchmark's images listed again")
        yield batch


def _stacked(items: list[torch.Tensor | str]) -> torch.Tensor | str:
    """One tensor, or what is wrong with the first bad image."""
    wrong = next((item for item in items if isinstance(item, str)), None)
    return wrong or torch.stack([item for item in items if isinstance(item, torch.Tensor)])


def _quiet_worker(number: int) -> None:
    """One thread a worker: the workers are the parallelism."""
    torch.set_num_threads(1)


if __name__ == "__main__":
    run(embed)
