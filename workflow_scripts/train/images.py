"""From an encoded image to the square that the model sees, as uint8; normalising is left to the device."""

import math

import cv2
import numpy as np
import torch
import torch.nn.functional as F

from workflow_scripts.common import images

# Shards hold small images. What claims to be larger than this is no image of theirs, and is not decoded.
MOST_PIXELS = 2**26
# Aspect ratios of the crop: torchvision's RandomResizedCrop, which both papers use, has these by default.
RATIOS = (3 / 4, 4 / 3)
TRIES = 10

Box = tuple[int, int, int, int]


def decode(data: bytes) -> np.ndarray:
    """An image as RGB, uint8 [H, W, 3], decoded as those that are downloaded or predicted.

    Raises:
        ValueError: not an image, damaged, or too large.
    """
    return images.decode(data, MOST_PIXELS)


def random_crop(height: int, width: int, scale: tuple[float, float], draw: np.random.Generator) -> Box:
    """Where RandomResizedCrop cuts: top, left, height, width in pixels.

    Args:
        height: of the image.
        width: of the image.
        scale: least and greatest share of the image's area.
        draw: where chance comes from.
    """
    least, most = map(math.log, RATIOS)
    for _ in range(TRIES):
        size, shape, down, right = draw.random(4).tolist()
        area = height * width * (scale[0] + (scale[1] - scale[0]) * size)
        ratio = math.exp(least + (most - least) * shape)
        wide, high = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < wide <= width and 0 < high <= height:
            return int(down * (height - high + 1)), int(right * (width - wide + 1)), high, wide
    return centre_crop(height, width, RATIOS)


def centre_crop(height: int, width: int, ratios: tuple[float, float] = (1.0, 1.0)) -> Box:
    """The largest box at the centre whose width / height lies within `ratios`."""
    least, most = ratios
    wide, high = min(width, max(1, round(height * most))), min(height, max(1, round(width / least)))
    return (height - high) // 2, (width - wide) // 2, high, wide


def resize(image: np.ndarray, box: Box, square_SS3: np.ndarray) -> None:
    """Cut `box` out of an image and resize it, bicubic, into `square_SS3`, uint8 [size, size, 3].

    What shrinks is antialiased, as Pillow does it in evaluation.
    """
    top, left, high, wide = box
    size = len(square_SS3)
    cut = image[top : top + high, left : left + wide]
    if max(high, wide) <= size:
        cv2.resize(cut, (size, size), dst=square_SS3, interpolation=cv2.INTER_CUBIC)
        return
    # OpenCV's cubic does not blur before it drops pixels; torch's gives Pillow's picture in an eighth of the time.
    pixels_13HW = torch.from_numpy(cut)[None].permute(0, 3, 1, 2)
    small_13SS = F.interpolate(pixels_13HW, size=(size, size), mode="bicubic", antialias=True)
    square_SS3[:] = small_13SS[0].permute(1, 2, 0).numpy()
