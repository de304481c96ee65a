"""Conversion to sRGB by ICC profiles, judged by their contents, never by their names."""

import io
from functools import lru_cache

import numpy as np
from PIL import Image, ImageCms

SRGB = ImageCms.createProfile("sRGB")
# By the colour space of a profile: the mode of the samples that it describes.
MODES = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK"}
# Steps of each colour at which a profile is held against sRGB, and how far apart they may come out, of 255.
STEPS = 9
SAME = 2

Transform = ImageCms.ImageCmsTransform


@lru_cache(maxsize=16)
def to_srgb(profile: bytes, mode: str) -> Transform | None:
    """What makes sRGB of samples of `mode` (RGB, L or CMYK) under a profile.

    Returns:
        The transform; None where the profile is unreadable, is not for such samples, or makes no difference.
    """
    try:
        opened = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if MODES.get(opened.profile.xcolor_space.strip()) != mode:
            return None
        transform = ImageCms.buildTransform(opened, SRGB, mode, "RGB")
        if mode != "CMYK":
            samples = _samples(mode)
            apart = np.abs(np.asarray(convert(samples, transform), int) - np.asarray(samples.convert("RGB"), int))
            if apart.max() <= SAME:
                return None
    except Exception:
        # Profiles are other people's bytes; the picture is worth more than they are.
        return None
    return transform


def convert(image: Image.Image, transform: Transform) -> Image.Image:
    """The image in sRGB."""
    converted = ImageCms.applyTransform(image, transform)
    assert converted is not None
    return converted


def _samples(mode: str) -> Image.Image:
    """All mixtures of some steps of each colour."""
    steps = np.linspace(0, 255, STEPS).astype(np.uint8)
    if mode == "L":
        return Image.fromarray(steps[None])
    mixtures = np.stack(np.meshgrid(steps, steps, steps), axis=-1)
    return Image.fromarray(mixtures.reshape(STEPS, STEPS * STEPS, 3))
