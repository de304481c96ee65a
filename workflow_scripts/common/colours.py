"""Conversion to sRGB by ICC profiles, which are compared by their contents, not by their names."""

import io
from functools import lru_cache

import numpy as np
from PIL import Image, ImageCms

SRGB = ImageCms.createProfile("sRGB")
# Pillow mode of a profile's samples, by the profile's colour space.
MODES = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK"}
# Samples per channel for comparing a profile with sRGB, and the largest difference (of 255) that counts as equal.
STEPS = 9
SAME = 2

Transform = ImageCms.ImageCmsTransform


@lru_cache(maxsize=16)
def to_srgb(profile: bytes, mode: str) -> Transform | None:
    """The transform to sRGB for samples of `mode` (RGB, L or CMYK) with a profile.

    Returns:
        The transform; None if the profile is unreadable, is for another mode, or equals sRGB.
    """
    try:
        opened = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if MODES.get(opened.profile.xcolor_space.strip()) != mode:
            return None
        transform = ImageCms.buildTransform(opened, SRGB, mode, "RGB")
        if mode != "CMYK":
            samples = _samples(mode)
            difference = np.abs(np.asarray(convert(samples, transform), int) - np.asarray(samples.convert("RGB"), int))
            if difference.max() <= SAME:
                return None
    except Exception:
        # Profiles are untrusted bytes; an image with a broken profile is still kept.
        return None
    return transform


def convert(image: Image.Image, transform: Transform) -> Image.Image:
    """Convert an image to sRGB."""
    converted = ImageCms.applyTransform(image, transform)
    assert converted is not None
    return converted


def _samples(mode: str) -> Image.Image:
    """An image with all combinations of `STEPS` values per channel."""
    steps = np.linspace(0, 255, STEPS).astype(np.uint8)
    if mode == "L":
        return Image.fromarray(steps[None])
    mixtures = np.stack(np.meshgrid(steps, steps, steps), axis=-1)
    return Image.fromarray(mixtures.reshape(STEPS, STEPS * STEPS, 3))
