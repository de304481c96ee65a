"""Draw a photo of an organism from its look."""

from functools import cache
from math import cos, pi, sin

import cv2
import numpy as np
from numpy.typing import NDArray

from workflow_scripts.world.appearance import Colour, Look
from workflow_scripts.world.silhouettes import SILHOUETTES, ellipse, polygon

Image = NDArray[np.uint8]
"""Blue, green, red; shape (height, width, 3)."""

# Fractional bits of the fixed-point coordinates that cv2 draws with.
FRACTION_BITS = 4
TILE = 256
# Half the side of a pattern's tile, in units of a silhouette.
REACH = 1.1
JPEG = (cv2.IMWRITE_JPEG_QUALITY, 88, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420)


def draw_organism(look: Look, random: np.random.Generator, short_side: int) -> Image:
    """Draw a photo with random position, rotation, size, light, background and noise.

    Args:
        look: look of the species.
        random: random generator of this photo.
        short_side: shorter side, pixels; some photos are up to 1.5 times as large.
    """
    width, height = size_of(random, short_side)
    image = surroundings(look.background, random, width, height)
    side = min(width, height)
    matrix = _placement(random, width, height, side * random.uniform(0.4, 0.47))
    value = random.uniform(0.9, 1.05)

    body = np.zeros((height, width), np.uint8)
    parts = [(part.role, _pixels(part.corners, matrix)) for part in SILHOUETTES[look.silhouette](look.limbs)]
    thickness = max(1, side // 128)
    for role, corners in parts:
        if role == "body":
            cv2.fillPoly(body, [corners], 255, cv2.LINE_8, FRACTION_BITS)
        fill = {"body": look.main, "limb": look.limb, "head": mixed(look.main, (255, 255, 255), 0.45)}[role]
        cv2.fillPoly(image, [corners], scaled(fill, value), cv2.LINE_AA, FRACTION_BITS)
        if role == "body":
            _paint_pattern(image, look, body, matrix, value)
            body[:] = 0
        cv2.polylines(image, [corners], True, (40, 40, 40), thickness, cv2.LINE_AA, FRACTION_BITS)
    _paint_mark(image, look, matrix, thickness)
    return photographed(image, random)


def encoded(image: Image) -> bytes:
    """Encode an image as JPEG, deterministically."""
    done, data = cv2.imencode(".jpg", image, JPEG)
    assert done
    return data.tobytes()


def size_of(random: np.random.Generator, short_side: int) -> tuple[int, int]:
    """Draw width and height of a photo, pixels."""
    side = round(short_side * (1.5 if random.random() < 0.08 else 1.0))
    longer = round(side * random.choice([1.0, 1.15, 1.33], p=[0.3, 0.4, 0.3]))
    return (side, longer) if random.random() < 0.35 else (longer, side)


def surroundings(background: Colour, random: np.random.Generator, width: int, height: int) -> Image:
    """Draw a background: uneven light, and blots in shades of its colour."""
    corners = np.array(background, np.float64) * random.uniform(0.85, 1.15, (2, 2, 1))
    image = cv2.resize(corners.clip(0, 255).astype(np.uint8), (width, height)).astype(np.uint8, copy=False)
    for _ in range(int(random.integers(3, 8))):
        centre = (int(random.integers(width)), int(random.integers(height)))
        axes = (int(random.integers(6, width // 6)), int(random.integers(4, height // 10)))
        shade = scaled(background, random.uniform(0.75, 1.2))
        cv2.ellipse(image, centre, axes, float(random.uniform(0, 180)), 0, 360, shade, cv2.FILLED, cv2.LINE_AA)
    return image


def _placement(random: np.random.Generator, width: int, height: int, scale: float) -> NDArray[np.float64]:
    """Draw the affine matrix from silhouette units to pixels, shape (2, 3)."""
    turn = random.normal(0, 0.12)
    mirrored = scale * random.choice([-1, 1])
    middle = np.array([width, height]) * (0.5 + random.uniform(-0.05, 0.05, 2))
    return np.array(
        [[mirrored * cos(turn), -scale * sin(turn), middle[0]], [mirrored * sin(turn), scale * cos(turn), middle[1]]]
    )


def _pixels(corners: NDArray[np.float64], matrix: NDArray[np.float64]) -> NDArray[np.int32]:
    return np.rint((corners @ matrix[:, :2].T + matrix[:, 2]) * 2**FRACTION_BITS).astype(np.int32)


def _paint_pattern(image: Image, look: Look, body: Image, matrix: NDArray[np.float64], value: float) -> None:
    height, width = body.shape
    step = 2 * REACH / TILE
    onto = matrix @ np.array([[step, 0, -REACH], [0, step, -REACH], [0, 0, 1]])
    tile = cv2.warpAffine(_tile(look.pattern, look.coarseness), onto, (width, height), flags=cv2.INTER_LINEAR)
    painted = cv2.bitwise_and(tile, body)
    image[painted > 127] = scaled(look.second, value)


@cache
def _tile(pattern: str, coarseness: int) -> Image:
    """Mask of a pattern over the silhouette's square, 0 or 255, shape (TILE, TILE)."""
    across, down = np.meshgrid(np.linspace(-REACH, REACH, TILE), np.linspace(-REACH, REACH, TILE))
    period = (0.34, 0.42, 0.52)[coarseness]
    waves = {
        "lying": np.sin(2 * pi * down / period),
        "standing": np.sin(2 * pi * across / period),
        "slanting": np.sin(2 * pi * (across + down) * 0.71 / period),
        "spots": np.cos(2 * pi * across / period) + np.cos(2 * pi * down / period) - 0.6,
        "checks": np.sin(2 * pi * across / period) * np.sin(2 * pi * down / period),
        "rings": np.sin(2 * pi * np.hypot(across, down) / period),
        "halves": down + (0.1, 0.0, -0.1)[coarseness],
    }
    return ((waves[pattern] > 0) * 255).astype(np.uint8)


def _paint_mark(image: Image, look: Look, matrix: NDArray[np.float64], thickness: int) -> None:
    radius = 0.19
    outline = {
        "disc": ellipse(0, 0, radius, radius),
        "square": polygon((-radius, -radius), (radius, -radius), (radius, radius), (-radius, radius)),
        "triangle": polygon((-radius * 1.2, radius), (0, -radius * 1.3), (radius * 1.2, radius)),
    }[look.mark]
    corners = _pixels(outline, matrix)
    cv2.fillPoly(image, [corners], look.mark_colour, cv2.LINE_AA, FRACTION_BITS)
    rim = (20, 20, 20) if sum(look.mark_colour) > 300 else (235, 235, 235)
    cv2.polylines(image, [corners], True, rim, 2 * thickness, cv2.LINE_AA, FRACTION_BITS)


def photographed(image: Image, random: np.random.Generator) -> Image:
    """Add uneven light and noise."""
    height, width = image.shape[:2]
    light = cv2.resize(random.uniform(0.8, 1.15, (2, 2)).astype(np.float32), (width, height))
    lit = cv2.multiply(image, cv2.merge([light] * 3), dtype=cv2.CV_8U)
    grain = random.normal(0, 7, (height // 2, width // 2)).astype(np.float32)
    noise = cv2.resize(grain, (width, height), interpolation=cv2.INTER_NEAREST)
    return cv2.add(lit, cv2.merge([noise] * 3), dtype=cv2.CV_8U).astype(np.uint8, copy=False)


def scaled(colour: Colour, factor: float) -> Colour:
    """Darken or lighten a colour by a factor."""
    blue, green, red = (min(255, round(channel * factor)) for channel in colour)
    return blue, green, red


def mixed(one: Colour, other: Colour, share: float) -> Colour:
    """Mix two colours; `share` is the share of `other`."""
    blue, green, red = (round(a * (1 - share) + b * share) for a, b in zip(one, other, strict=True))
    return blue, green, red
