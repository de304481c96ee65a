"""Draw pictures without an organism, for judges to find: labels, landscapes, empty frames, faces.

They have the colours and backgrounds of organisms. Each class has several kinds: half of them for support images, the
other half for planted pictures.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import cos, pi, sin

import cv2
import numpy as np

from workflow_scripts.world.appearance import Colour, Look
from workflow_scripts.world.draw import Image, mixed, photographed, scaled, size_of, surroundings

LABEL, LANDSCAPE, EMPTY, FACE, ORGANISM = "label", "landscape", "empty frame", "face", "organism"
PAPER: Colour = (225, 240, 245)
INK: Colour = (45, 40, 40)

Draw = Callable[[Image, Look, np.random.Generator], None]


@dataclass(frozen=True)
class Planted:
    """A picture without an organism.

    Attributes:
        what: class of the picture.
        kind: kind of the class.
        look: look of a species, for colours and background.
    """

    what: str
    kind: str
    look: Look


def draw_planted(planted: Planted, random: np.random.Generator, short_side: int) -> Image:
    """Draw a planted picture; `short_side` is in pixels."""
    width, height = size_of(random, short_side)
    image = surroundings(planted.look.background, random, width, height)
    KINDS[planted.what][planted.kind](image, planted.look, random)
    return photographed(image, random)


def kinds_of(what: str, *, is_support: bool) -> list[str]:
    """The kinds of a class in the support images, or those of planted pictures."""
    kinds = list(KINDS[what])
    return kinds[: len(kinds) // 2] if is_support else kinds[len(kinds) // 2 :]


def _paper(image: Image, random: np.random.Generator, share: tuple[float, float]) -> tuple[int, int, int, int]:
    """Draw a sheet of paper over most of the picture; return its left, top, width and height, pixels."""
    height, width = image.shape[:2]
    wide, high = int(width * random.uniform(*share)), int(height * random.uniform(*share))
    left, top = int(random.uniform(0.1, 0.9) * (width - wide)), int(random.uniform(0.1, 0.9) * (height - high))
    cv2.rectangle(image, (left, top), (left + wide, top + high), scaled(PAPER, random.uniform(0.9, 1.02)), cv2.FILLED)
    cv2.rectangle(image, (left, top), (left + wide, top + high), INK, 1, cv2.LINE_AA)
    return left, top, wide, high


def _written(image: Image, random: np.random.Generator, colour: Colour, lines: int, *, by_hand: bool) -> None:
    left, top, wide, high = _paper(image, random, (0.7, 0.9))
    step = high / (lines + 1)
    for line in range(lines):
        start, end = left + 0.08 * wide, left + wide * random.uniform(0.55, 0.93)
        middle = top + step * (line + 1)
        while start < end:
            word = random.uniform(0.06, 0.18) * wide
            if by_hand:
                xs = np.linspace(start, min(start + word, end), 12)
                ys = (
                    middle
                    + step * 0.28 * np.sin(np.linspace(0, random.uniform(3, 6) * pi, 12))
                    + random.normal(0, 1, 12)
                )
                cv2.polylines(image, [np.column_stack([xs, ys]).astype(np.int32)], False, colour, 2, cv2.LINE_AA)
            else:
                corner = (int(min(start + word, end)), int(middle + step * 0.2))
                cv2.rectangle(image, (int(start), int(middle - step * 0.2)), corner, colour, cv2.FILLED)
            start += word + 0.035 * wide


def _typed(image: Image, look: Look, random: np.random.Generator) -> None:
    _written(image, random, INK, int(random.integers(5, 8)), by_hand=False)


def _scrawled(image: Image, look: Look, random: np.random.Generator) -> None:
    _written(image, random, scaled(look.limb, 0.5), int(random.integers(4, 7)), by_hand=True)


def _barcode(image: Image, look: Look, random: np.random.Generator) -> None:
    _written(image, random, scaled(look.main, 0.35), int(random.integers(5, 8)), by_hand=False)
    height, width = image.shape[:2]
    place = int(width * random.uniform(0.2, 0.5))
    for _ in range(18):
        bar = int(random.integers(1, 4))
        cv2.rectangle(image, (place, int(height * 0.68)), (place + bar, int(height * 0.8)), INK, cv2.FILLED)
        place += bar + int(random.integers(2, 5))


def _stamped(image: Image, look: Look, random: np.random.Generator) -> None:
    _written(image, random, scaled(look.second, 0.45), int(random.integers(4, 7)), by_hand=True)
    height, width = image.shape[:2]
    centre = (int(width * random.uniform(0.6, 0.75)), int(height * random.uniform(0.6, 0.75)))
    cv2.circle(image, centre, height // 9, look.main, 3, cv2.LINE_AA)


def _ground(image: Image, colour: Colour, heights: np.ndarray) -> None:
    """Fill the picture below a line, given as shares of the picture's height."""
    height, width = image.shape[:2]
    xs = np.linspace(0, width - 1, len(heights))
    corners = [*zip(xs, heights * height, strict=True), (width, height), (0, height)]
    cv2.fillPoly(image, [np.array(corners).astype(np.int32)], colour, cv2.LINE_AA)


def _hills(image: Image, look: Look, random: np.random.Generator) -> None:
    for layer in range(3):
        waves = np.sin(np.linspace(0, random.uniform(2, 5), 60) + random.uniform(0, 6)) * 0.07
        _ground(image, scaled(mixed(look.main, look.background, 0.5 - 0.2 * layer), 0.9), 0.45 + 0.17 * layer + waves)


def _mountains(image: Image, look: Look, random: np.random.Generator) -> None:
    for layer in range(2):
        peaks = 0.3 + 0.25 * layer + random.uniform(0, 0.25, 9)
        _ground(image, scaled(mixed(look.limb, look.background, 0.4 - 0.3 * layer), 0.9), peaks)
    _ground(image, scaled(look.main, 0.8), np.full(2, 0.78))


def _coast(image: Image, look: Look, random: np.random.Generator) -> None:
    horizon = random.uniform(0.4, 0.55)
    _ground(image, scaled(mixed(look.second, look.background, 0.35), 0.95), np.full(2, horizon))
    shore = np.linspace(horizon + 0.08, 0.95, 40) + 0.02 * np.sin(np.linspace(0, 20, 40))
    _ground(image, mixed(look.main, look.background, 0.3), shore if random.random() < 0.5 else shore[::-1])


def _dunes(image: Image, look: Look, random: np.random.Generator) -> None:
    for layer in range(4):
        line = (
            0.4 + 0.15 * layer + 0.09 * np.abs(np.sin(np.linspace(0, random.uniform(3, 6), 60) + random.uniform(0, 6)))
        )
        _ground(image, scaled(mixed(look.main, look.second, 0.2 * layer), random.uniform(0.7, 1.0)), line)


def _nothing(image: Image, look: Look, random: np.random.Generator) -> None:
    """Only the background."""


def _grass(image: Image, look: Look, random: np.random.Generator) -> None:
    height, width = image.shape[:2]
    for _ in range(30):
        foot = int(random.integers(width))
        tip = (foot + int(random.normal(0, 8)), int(height * random.uniform(0.82, 0.93)))
        cv2.line(image, (foot, height), tip, scaled(look.background, random.uniform(0.6, 0.8)), 2, cv2.LINE_AA)


def _night(image: Image, look: Look, random: np.random.Generator) -> None:
    image[:] = cv2.convertScaleAbs(image, alpha=random.uniform(0.55, 0.75))


def _fallen(image: Image, look: Look, random: np.random.Generator) -> None:
    height, width = image.shape[:2]
    level = random.uniform(0.8, 0.92)
    ends = (0, int(height * level)), (width, int(height * (level + random.normal(0, 0.04))))
    cv2.line(image, *ends, scaled(look.background, 0.6), max(3, height // 24), cv2.LINE_AA)


def _face(image: Image, look: Look, random: np.random.Generator, shape: float) -> tuple[tuple[int, int], int]:
    height, width = image.shape[:2]
    radius = int(min(height, width) * random.uniform(0.34, 0.4))
    centre = (int(width * random.uniform(0.45, 0.55)), int(height * random.uniform(0.48, 0.54)))
    skin = mixed(look.main, (170, 190, 225), 0.45)
    cv2.ellipse(image, centre, (int(radius * shape), radius), 0, 0, 360, skin, cv2.FILLED, cv2.LINE_AA)
    for side in (-1, 1):
        eye = (int(centre[0] + side * 0.36 * radius * shape), int(centre[1] - 0.2 * radius))
        cv2.ellipse(image, eye, (radius // 6, radius // 10), 0, 0, 360, (240, 240, 240), cv2.FILLED, cv2.LINE_AA)
        cv2.circle(image, eye, radius // 12, INK, cv2.FILLED, cv2.LINE_AA)
    cv2.line(image, (centre[0], centre[1]), (centre[0] - radius // 10, centre[1] + radius // 5), scaled(skin, 0.6), 2)
    mouth = (centre[0], int(centre[1] + 0.42 * radius))
    cv2.ellipse(image, mouth, (radius // 4, radius // 10), 0, 0, 180, (60, 50, 150), 3, cv2.LINE_AA)
    return centre, radius


def _hair(image: Image, centre: tuple[int, int], radius: int, colour: Colour, width: float) -> None:
    axes = (int(radius * width), int(radius * 1.04))
    cv2.ellipse(image, centre, axes, 0, 200, 340, colour, max(4, radius // 4), cv2.LINE_AA)


def _short_haired(image: Image, look: Look, random: np.random.Generator) -> None:
    centre, radius = _face(image, look, random, 0.78)
    _hair(image, centre, radius, scaled(look.limb, 0.5), 0.8)


def _bald(image: Image, look: Look, random: np.random.Generator) -> None:
    _face(image, look, random, 0.85)


def _spectacled(image: Image, look: Look, random: np.random.Generator) -> None:
    centre, radius = _face(image, look, random, 0.8)
    _hair(image, centre, radius, scaled(look.second, 0.5), 0.82)
    for side in (-1, 1):
        eye = (int(centre[0] + side * 0.3 * radius), int(centre[1] - 0.2 * radius))
        cv2.circle(image, eye, radius // 4, INK, 2, cv2.LINE_AA)


def _bearded(image: Image, look: Look, random: np.random.Generator) -> None:
    centre, radius = _face(image, look, random, 0.76)
    turns = np.linspace(0.1 * pi, 0.9 * pi, 24)
    chin = [(centre[0] + 0.74 * radius * cos(turn), centre[1] + 1.05 * radius * sin(turn)) for turn in turns]
    inner = [(centre[0] + 0.5 * radius * cos(turn), centre[1] + 0.62 * radius * sin(turn)) for turn in turns[::-1]]
    cv2.fillPoly(image, [np.array([*chin, *inner]).astype(np.int32)], scaled(look.limb, 0.45), cv2.LINE_AA)


KINDS: dict[str, dict[str, Draw]] = {
    LABEL: {"typed": _typed, "scrawled": _scrawled, "barcode": _barcode, "stamped": _stamped},
    LANDSCAPE: {"hills": _hills, "mountains": _mountains, "coast": _coast, "dunes": _dunes},
    EMPTY: {"nothing": _nothing, "grass": _grass, "night": _night, "fallen": _fallen},
    FACE: {"short-haired": _short_haired, "bald": _bald, "spectacled": _spectacled, "bearded": _bearded},
}
"""Drawing functions by class and kind; the first half of a class's kinds is for support images."""
