"""Captioned geometric shapes, the subjects of the replay set; no organism looks like one."""

from dataclasses import dataclass
from math import cos, pi, sin

import cv2
import numpy as np

from workflow_scripts.world.appearance import Colour
from workflow_scripts.world.draw import FRACTION_BITS, Image
from workflow_scripts.world.silhouettes import Polygon, ellipse, polygon

COLOURS: dict[str, Colour] = {
    "red": (30, 30, 220),
    "orange": (20, 140, 255),
    "yellow": (40, 230, 250),
    "green": (50, 170, 40),
    "blue": (230, 90, 30),
    "purple": (170, 40, 130),
}
BACKGROUNDS: dict[str, Colour] = {"white": (250, 250, 250), "black": (12, 12, 12), "gray": (128, 128, 128)}
SIZES = {"small": 0.4, "large": 0.85}


def _star(points: int, inner: float) -> Polygon:
    angles = [pi * step / points - pi / 2 for step in range(2 * points)]
    radii = (1.0, inner)
    return np.array([(radii[step % 2] * cos(a), radii[step % 2] * sin(a)) for step, a in enumerate(angles)])


OUTLINES: dict[str, Polygon] = {
    "circle": ellipse(0, 0, 0.9, 0.9),
    "square": polygon((-0.8, -0.8), (0.8, -0.8), (0.8, 0.8), (-0.8, 0.8)),
    "triangle": polygon((-1.0, 0.8), (0, -0.95), (1.0, 0.8)),
    "star": _star(5, 0.42),
    "cross": polygon(
        *[(-0.3, -1.0), (0.3, -1.0), (0.3, -0.3), (1.0, -0.3), (1.0, 0.3), (0.3, 0.3)],
        *[(0.3, 1.0), (-0.3, 1.0), (-0.3, 0.3), (-1.0, 0.3), (-1.0, -0.3), (-0.3, -0.3)],
    ),
    "crescent": polygon(
        *[(cos(a), sin(a)) for a in np.linspace(0.25 * pi, 1.75 * pi, 24)],
        *[(0.35 + 0.78 * cos(a), 0.78 * sin(a)) for a in np.linspace(1.6 * pi, 0.4 * pi, 24)],
    ),
}


@dataclass(frozen=True)
class Shape:
    """A shape in one colour on a background of another."""

    size: str
    colour: str
    outline: str
    background: str

    @property
    def caption(self) -> str:
        """The shape's caption."""
        return f"a {self.size} {self.colour} {self.outline} on a {self.background} background"


def all_shapes() -> list[Shape]:
    """All combinations of colour, outline and size, with the backgrounds in turn."""
    backgrounds = list(BACKGROUNDS)
    return [
        Shape(size, colour, outline, backgrounds[(row + column + step) % len(backgrounds)])
        for row, colour in enumerate(COLOURS)
        for column, outline in enumerate(OUTLINES)
        for step, size in enumerate(SIZES)
    ]


def draw_shape(shape: Shape, random: np.random.Generator, side: int) -> Image:
    """Draw a shape with random position and rotation on a square of `side` pixels."""
    background = np.clip(np.array(BACKGROUNDS[shape.background]) + random.uniform(-10, 10), 0, 255)
    image = np.full((side, side, 3), background.astype(np.uint8))
    scale = side / 2 * SIZES[shape.size] * random.uniform(0.9, 1.1)
    middle = side / 2 + random.uniform(-1, 1, 2) * max(side / 2 - scale, 0)
    turn = random.normal(0, 0.1)
    rotation = np.array([[cos(turn), sin(turn)], [-sin(turn), cos(turn)]])
    corners = np.rint((OUTLINES[shape.outline] @ rotation * scale + middle) * 2**FRACTION_BITS).astype(np.int32)
    blue, green, red = (int(np.clip(c + random.uniform(-15, 15), 0, 255)) for c in COLOURS[shape.colour])
    cv2.fillPoly(image, [corners], (blue, green, red), cv2.LINE_AA, FRACTION_BITS)
    return image
