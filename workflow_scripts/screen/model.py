"""The CLIP model of a judge. An image's features do not depend on the other images in its batch."""

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from workflow_scripts.common.clip import Clip, encode_image, load, preprocess_pixels
from workflow_scripts.common.config.model_source import model_source
from workflow_scripts.common.files import digest, sha256_file
from workflow_scripts.common.geometry import Floats
from workflow_scripts.common.images import RgbImage
from workflow_scripts.common.open_clip_models import as_input_error, directory_of

# Images per forward pass on a CPU; larger batches are no faster. The last batch is padded to be computed alike.
CPU_BATCH = 16


class ImageEncoder:
    """A model that embeds images.

    Attributes:
        clip: the model.
        batch: images per forward pass.
        on_gpu: whether it runs on a GPU, in bf16.
        key: what its features depend on.
    """

    def __init__(self, model: str, batch: int) -> None:
        """Load a model.

        Args:
            model: the model's source, such as `local-dir:PATH`.
            batch: images per forward pass on a GPU.

        Raises:
            InputError: the model cannot be loaded.
        """
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.clip: Clip = load(model, device)
        self.batch = batch if device.type == "cuda" else CPU_BATCH
        self._resize = preprocess_pixels(self.clip)
        self.on_gpu = device.type == "cuda"
        self.key = {"model": _digest_of(model), "precision": "bf16" if self.on_gpu else "fp32"}

    def prepare(self, image: RgbImage) -> RgbImage:
        """Resize and crop an image to the model's input, [H, W, 3]; `features` normalises the values."""
        return np.asarray(self._resize(Image.fromarray(image)))

    def features(self, images: Sequence[RgbImage]) -> Floats:
        """Features [N, D] of prepared images [N], not normalised."""
        precision: Any = torch.autocast("cuda", torch.bfloat16) if self.on_gpu else nullcontext()
        parts = []
        for start in range(0, len(images), self.batch):
            batch = images[start : start + self.batch]
            padded = np.zeros((self.batch, *batch[0].shape), np.uint8)
            np.stack(batch, out=padded[: len(batch)])
            with precision:
                parts.append(encode_image(self.clip, torch.from_numpy(padded))[: len(batch)].float().cpu().numpy())
        return np.concatenate(parts)

    @property
    def dimensions(self) -> int:
        """The number of dimensions of the features, D."""
        side = self.clip.image_size
        return int(self.features([np.zeros((side, side, 3), np.uint8)]).shape[1])


def _digest_of(model: str) -> str:
    """One digest over the files of a model's folder."""
    source = model_source(model)
    with as_input_error(source):
        folder = directory_of(source)
    kinds = (".json", ".safetensors", ".bin", ".pt", ".pth")
    files = sorted(path for path in Path(folder).iterdir() if path.suffix in kinds)
    return digest({path.name: sha256_file(path) for path in files})
