"""Encode image files with a model in batches, for benchmarks, prediction, and embeddings of a user's images.

Shapes: B images per batch, D embedding dimensions, H x W pixels.
"""

import hashlib
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import pyarrow as pa
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from workflow_scripts.common.clip import Clip, Projector, encode_image, preprocess
from workflow_scripts.common.errors import InputError
from workflow_scripts.common.geometry import Floats
from workflow_scripts.common.image_lists import ImageList, box_of, list_images
from workflow_scripts.common.images import MAX_PIXELS, RgbImage, cut_out, decode, decode_plain

MIN_MEMORY_MB = 128
"""DuckDB needs this much to list images, because it reads tables in blocks of 16 MiB."""


class ImagePlace(NamedTuple):
    """Location of an image.

    Attributes:
        path: the file.
        offset: start of the image in the file, bytes; None: 0.
        size: length of the image, bytes; None: to the end of the file.
        crop: x, y, width and height of the crop to use, pixels; None: the complete image.
    """

    path: str
    offset: int | None = None
    size: int | None = None
    crop: tuple[int, int, int, int] | None = None

    def read(self) -> bytes:
        """Read the image's bytes.

        Raises:
            OSError: the file cannot be read.
        """
        with Path(self.path).open("rb") as file:
            file.seek(self.offset or 0)
            return file.read(-1 if self.size is None else self.size)


@dataclass(frozen=True)
class LoadedImage:
    """An image ready for the model, or an error.

    Attributes:
        index: index among the requested images.
        md5: MD5 of the image's bytes; "" if they cannot be read.
        pixels: float tensor [3, H, W], or the error message (exceptions lose their text between processes).
    """

    index: int
    md5: str
    pixels: torch.Tensor | str


@dataclass(frozen=True)
class Batch:
    """Images that were loaded together.

    Attributes:
        read: indexes of the readable images [B].
        md5: MD5 of their bytes [B].
        pixels_BCHW: the images, float.
        errors: error messages of the other images, by index.
    """

    read: list[int]
    md5: list[str]
    pixels_BCHW: torch.Tensor
    errors: dict[int, str]


class ImageFiles(Dataset[LoadedImage]):
    """Dataset of preprocessed images, decoded like training images.

    Args:
        places: the images.
        transform: the model's preprocessing, see `clip.preprocess`.
        plain: decode like the published evaluation code instead, see `images.decode_plain`.
        max_pixels: larger images are refused.
    """

    def __init__(
        self,
        places: Sequence[ImagePlace],
        transform: Callable[[Image.Image], torch.Tensor],
        *,
        plain: bool = False,
        max_pixels: int = MAX_PIXELS,
    ) -> None:
        self.places = places
        self.transform = transform
        self.plain = plain
        self.max_pixels = max_pixels

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, index: int) -> LoadedImage:
        md5 = ""
        try:
            data = self.places[index].read()
            md5 = hashlib.md5(data, usedforsecurity=False).hexdigest()
            if self.plain:
                image = decode_plain(data, self.max_pixels)
            else:
                image = Image.fromarray(_cropped(decode(data, self.max_pixels), self.places[index].crop))
            pixels = self.transform(image)
        except Exception as error:
            # Parsers may raise any exception on broken files.
            reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            return LoadedImage(index, md5, " ".join(reason.split()) or type(error).__name__)
        return LoadedImage(index, md5, pixels)


def load_batches(images: ImageFiles, batches: Sequence[list[int]], workers: int) -> Iterator[Batch]:
    """Load images in batches.

    Args:
        images: the images.
        batches: indexes of the images of each batch.
        workers: number of processes that decode; 0: decode in this process.
    """
    loader: DataLoader[Any] = DataLoader(
        images,
        batch_sampler=batches,
        num_workers=workers,
        collate_fn=_collated,
        worker_init_fn=_ignore_stop_signals,
    )
    yield from loader


@dataclass(frozen=True)
class ImageOptions:
    """Options of the commands that read a user's images.

    Attributes:
        images: image files, folders (searched recursively), or one table with a column of paths. Table columns x, y,
            width and height, if all are present, select a crop in pixels.
        folder: base folder for the table's paths. Default: the table's own folder.
        path_column: the table's column of paths. Default: path, filepath, file_name or image.
        batch: images per forward pass.
        workers: processes that decode images; 0 decodes in the main process.
        max_pixels: skip images with more pixels; decoding takes up to 7 bytes per pixel and worker.
        threads: CPU threads for the forward pass.
        memory_mb: memory limit of DuckDB, which lists images and sorts rows, MiB.
    """

    images: tuple[Path, ...]
    folder: Path | None = None
    path_column: str | None = None
    batch: int = 64
    workers: int = 1
    max_pixels: int = MAX_PIXELS
    threads: int = 2
    memory_mb: int = 2048

    def check(self) -> None:
        """Check the numbers.

        Raises:
            InputError: a number is too small.
        """
        if self.batch < 1 or self.workers < 0 or self.max_pixels < 1:
            raise InputError("--batch and --max-pixels must be at least 1, --workers at least 0")
        if self.threads < 1 or self.memory_mb < MIN_MEMORY_MB:
            raise InputError(f"--threads must be at least 1, --memory-mb at least {MIN_MEMORY_MB}")

    def listed(self, connection: duckdb.DuckDBPyConnection) -> ImageList:
        """List the images in a DuckDB table.

        Raises:
            InputError: there are no images, or a file, folder, table or column does not exist.
        """
        return list_images(connection, self.images, folder=self.folder, path_column=self.path_column)

    def batches_of(self, block: pa.Table, clip: Clip) -> Iterator[Batch]:
        """Load the images of a block of an `ImageList`; indexes are rows of the block."""
        places = [
            ImagePlace(os.fsdecode(path.as_py()), crop=box_of(crop.as_py()))
            for path, crop in zip(block["path"], block["crop"], strict=True)
        ]
        files = ImageFiles(places, preprocess(clip), max_pixels=self.max_pixels)
        starts = range(0, len(files), self.batch)
        batches = [list(range(start, min(start + self.batch, len(files)))) for start in starts]
        # Starting a worker takes longer than loading one batch.
        for loaded in load_batches(files, batches, self.workers if len(batches) > 1 else 0):
            for index in loaded.errors:
                if not block["image"][index].as_py().strip():
                    loaded.errors[index] = f"row {block['row'][index].as_py() + 1}: no path"
            yield loaded


def encode(clip: Clip, pixels_BCHW: torch.Tensor, projector: Projector = "proj", *, half: bool = True) -> Floats:
    """Image features [B, D], float32, not normalised.

    Args:
        clip: the model.
        pixels_BCHW: the images.
        projector: the visual projector to use.
        half: on a GPU, run in fp16 by autocast, like the published evaluation code.
    """
    device = next(clip.model.parameters()).device
    with torch.autocast(device.type, torch.float16, enabled=half and device.type == "cuda"):
        vectors = encode_image(clip, pixels_BCHW, projector).float()
    if not torch.isfinite(vectors).all():
        # Some models overflow in half precision.
        vectors = encode_image(clip, pixels_BCHW, projector).float()
    features: Floats = vectors.cpu().numpy()
    return features


def _cropped(pixels: RgbImage, crop: tuple[int, int, int, int] | None) -> RgbImage:
    if crop is None:
        return pixels
    inside = cut_out(pixels, *crop)
    if not inside.size:
        x, y, width, height = crop
        raise ValueError(f"bad_crop: {width} x {height} at {x}, {y} of {pixels.shape[1]} x {pixels.shape[0]} pixels")
    return inside


def _collated(items: list[LoadedImage]) -> Batch:
    good = [(item.index, item.md5, item.pixels) for item in items if isinstance(item.pixels, torch.Tensor)]
    return Batch(
        read=[index for index, _, _ in good],
        md5=[md5 for _, md5, _ in good],
        pixels_BCHW=torch.stack([pixels for _, _, pixels in good]) if good else torch.empty(0, 3, 0, 0),
        errors={item.index: item.pixels for item in items if isinstance(item.pixels, str)},
    )


def _ignore_stop_signals(worker: int) -> None:
    """Ignore Ctrl-C and SIGTERM, which reach all processes; the main process ends its workers."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
