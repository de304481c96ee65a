"""Decode, crop and resize images to the model's size, as uint8; the device normalises them."""

import math

import cv2
import numpy as np
import torch
import torch.nn.functional as F

from workflow_scripts.common import images

# Images in shards are small; anything larger than this is damaged or hostile and is not decoded.
MAX_PIXELS = 2**26
# Aspect ratios of the crop: the defaults of torchvision's RandomResizedCrop, which both papers use.
RATIOS = (3 / 4, 4 / 3)
MAX_TRIES = 10

Box = tuple[int, int, int, int]


def decode(data: bytes) -> np.ndarray:
    """Decode an image to RGB, uint8 [H, W, 3], with the decoder of all other stages.

    Raises:
        ValueError: it is not an image, damaged, or too large.
    """
    return images.decode(data, MAX_PIXELS)


def random_crop(height: int, width: int, scale: tuple[float, float], draw: np.random.Generator) -> Box:
    """Draw the box of a RandomResizedCrop: top, left, height, width in pixels.

    Args:
        height: height of the image, pixels.
        width: width of the image, pixels.
        scale: minimum and maximum share of the image's area.
        draw: random generator.
    """
    least, most = map(math.log, RATIOS)
    for _ in range(MAX_TRIES):
        size, shape, down, right = draw.random(4).tolist()
        area = height * width * (scale[0] + (scale[1] - scale[0]) * size)
        ratio = math.exp(least + (most - least) * shape)
        wide, high = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < wide <= width and 0 < high <= height:
            return int(down * (height - high + 1)), int(right * (width - wide + 1)), high, wide
    return centre_crop(height, width, RATIOS)


def centre_crop(height: int, width: int, ratios: tuple[float, float] = (1.0, 1.0)) -> Box:
    """The largest centred box whose width / height is within `ratios`."""
    least, most = ratios
    wide, high = min(width, max(1, round(height * most))), min(height, max(1, round(width / least)))
    return (height - high) // 2, (width - wide) // 2, high, wide


def resize(image: np.ndarray, box: Box, square_SS3: np.ndarray) -> None:
    """Crop `box` from an image and resize it (bicubic) into `square_SS3`, uint8 [size, size, 3].

    Downscaling is antialiased, as Pillow's is in evaluation.
    """
    top, left, high, wide = box
    size = len(square_SS3)
    cut = image[top : top + high, left : left + wide]
    if max(high, wide) <= size:
        cv2.resize(cut, (size, size), dst=square_SS3, interpolation=cv2.INTER_CUBIC)
        return
    # OpenCV's bicubic does not antialias; torch's matches Pillow's result in an eighth of its time.
    pixels_13HW = torch.from_numpy(cut)[None].permute(0, 3, 1, 2)
    small_13SS = F.interpolate(pixels_13HW, size=(size, size), mode="bicubic", antialias=True)
    square_SS3[:] = small_13SS[0].permute(1, 2, 0).numpy()
