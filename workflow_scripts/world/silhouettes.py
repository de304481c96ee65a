"""Silhouettes of organisms, as polygons in a square from -1 to 1 (x to the right, y down).

A silhouette is a function from the number of limbs (2 to 5) to the silhouette's parts, from back to front.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import cos, pi, sin
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Polygon = NDArray[np.float64]
"""Corners, shape (n, 2)."""


@dataclass(frozen=True)
class Part:
    """A polygon and its role: the body has the pattern; limbs and head have their own colours."""

    role: Literal["body", "limb", "head"]
    corners: Polygon


def _body(corners: Polygon) -> Part:
    return Part("body", corners)


def _limb(corners: Polygon) -> Part:
    return Part("limb", corners)


def _head(corners: Polygon) -> Part:
    return Part("head", corners)


def ellipse(x: float, y: float, width: float, height: float, turn: float = 0.0) -> Polygon:
    """An ellipse with centre (x, y), semi-axes `width` and `height`, rotated by `turn` radians."""
    angles = np.linspace(0, 2 * pi, 32, endpoint=False)
    along, across = width * np.cos(angles), height * np.sin(angles)
    return np.stack([x + along * cos(turn) - across * sin(turn), y + along * sin(turn) + across * cos(turn)], axis=1)


def blade(x: float, y: float, length: float, angle: float, width: float, *, tip: float = 1.0) -> Polygon:
    """A bar from (x, y) in the direction of `angle` radians; `tip` is the ratio of its end's width to its start's."""
    along, across = np.array([cos(angle), sin(angle)]), np.array([-sin(angle), cos(angle)]) * width / 2
    start, end = np.array([x, y]), np.array([x, y]) + along * length
    return np.stack([start - across, end - across * tip, end + across * tip, start + across])


def polygon(*corners: tuple[float, float]) -> Polygon:
    """A polygon with these corners."""
    return np.array(corners)


def _spread(count: int, low: float, high: float) -> list[float]:
    return [float(value) for value in np.linspace(low, high, count)]


def beast(limbs: int) -> list[Part]:
    """Four-footed, in profile."""
    return [
        _limb(blade(-0.6, -0.1, 0.4, pi * 1.15, 0.12, tip=0.5)),
        *[_limb(blade(x, 0.1, 0.75, pi / 2, 0.15)) for x in _spread(limbs, -0.5, 0.5)],
        _body(ellipse(0, 0, 0.72, 0.42)),
        _head(polygon((0.55, -0.5), (0.62, -0.85), (0.75, -0.5))),
        _head(ellipse(0.7, -0.35, 0.28, 0.24)),
    ]


def bird(limbs: int) -> list[Part]:
    """Perching, in profile; limbs are tail feathers."""
    return [
        *[_limb(blade(-0.4, 0.15, 0.6, angle, 0.16)) for angle in _spread(limbs, pi * 0.75, pi * 1.2)],
        _limb(blade(0.0, 0.3, 0.6, pi / 2, 0.08)),
        _limb(blade(0.2, 0.3, 0.6, pi / 2, 0.08)),
        _body(ellipse(0, 0.05, 0.62, 0.44, -0.35)),
        _limb(polygon((0.7, -0.6), (0.99, -0.48), (0.7, -0.38))),
        _head(ellipse(0.52, -0.5, 0.26, 0.25)),
    ]


def lizard(limbs: int) -> list[Part]:
    """Crawling, from above."""
    return [
        *[_limb(blade(x, 0, 0.65, angle, 0.14)) for x in _spread(limbs, -0.35, 0.4) for angle in (1.9, -1.9)],
        _body(polygon((-0.5, -0.2), (-1.0, 0.05), (-0.5, 0.2))),
        _body(ellipse(-0.05, 0, 0.6, 0.32)),
        _head(ellipse(0.7, 0, 0.26, 0.2)),
    ]


def frog(limbs: int) -> list[Part]:
    """Squatting, from the front."""
    return [
        *[
            _limb(blade(side * 0.3, y, 0.6, pi / 2 - side * 1.0, 0.17))
            for y in _spread(limbs, -0.1, 0.45)
            for side in (-1, 1)
        ],
        _body(ellipse(0, 0.12, 0.62, 0.58)),
        _head(ellipse(-0.33, -0.5, 0.2, 0.2)),
        _head(ellipse(0.33, -0.5, 0.2, 0.2)),
    ]


def fish(limbs: int) -> list[Part]:
    """In profile; limbs are fins on the back."""
    return [
        *[_limb(polygon((x, -0.2), (x - 0.15, -0.72), (x + 0.2, -0.2))) for x in _spread(limbs, -0.35, 0.3)],
        _limb(polygon((-0.55, 0), (-0.98, -0.5), (-0.85, 0), (-0.98, 0.5))),
        _body(ellipse(0, 0, 0.75, 0.42)),
        _head(ellipse(0.6, -0.05, 0.2, 0.2)),
    ]


def shark(limbs: int) -> list[Part]:
    """In profile, pointed; limbs are fins below."""
    return [
        *[_limb(polygon((x, 0.1), (x - 0.25, 0.62), (x + 0.18, 0.1))) for x in _spread(limbs, -0.4, 0.45)],
        _limb(polygon((-0.15, -0.2), (-0.15, -0.85), (0.25, -0.2))),
        _limb(polygon((-0.7, 0), (-1.0, -0.65), (-0.85, 0), (-0.95, 0.4))),
        _body(polygon((-0.85, 0), (-0.3, -0.34), (0.4, -0.34), (1.0, -0.02), (0.4, 0.32), (-0.3, 0.3))),
        _head(polygon((0.6, -0.24), (1.0, -0.02), (0.6, 0.24))),
    ]


def insect(limbs: int) -> list[Part]:
    """From above, wings spread; limbs are pairs of legs."""
    wings = [(-0.42, -0.22, 0.5, 0.36, 0.5), (-0.36, 0.38, 0.4, 0.3, -0.6)]
    return [
        *[_limb(blade(0, y, 0.98, angle, 0.07)) for y in _spread(limbs, -0.3, 0.5) for angle in (0.12, pi - 0.12)],
        *[
            _body(ellipse(side * -x, y, width, height, side * -turn))
            for x, y, width, height, turn in wings
            for side in (-1, 1)
        ],
        _limb(ellipse(0, 0.1, 0.14, 0.62)),
        _head(ellipse(0, -0.6, 0.2, 0.18)),
    ]


def spider(limbs: int) -> list[Part]:
    """From above; limbs are pairs of legs, two more than their number."""
    return [
        *[_limb(blade(0, 0, 0.98, angle + turn, 0.08)) for angle in _spread(limbs + 2, -0.9, 0.9) for turn in (0, pi)],
        _body(ellipse(0, 0.25, 0.45, 0.52)),
        _head(ellipse(0, -0.42, 0.28, 0.26)),
    ]


def crab(limbs: int) -> list[Part]:
    """From above, claws forward."""
    return [
        *[
            _limb(blade(side * 0.4, 0.1, 0.58, pi / 2 - side * angle, 0.1))
            for angle in _spread(limbs, 0.4, 1.6)
            for side in (-1, 1)
        ],
        *[_limb(blade(side * 0.45, -0.1, 0.55, -pi / 2 + side * 0.5, 0.14)) for side in (-1, 1)],
        *[_head(ellipse(side * 0.72, -0.65, 0.2, 0.24)) for side in (-1, 1)],
        _body(ellipse(0, 0.05, 0.68, 0.46)),
    ]


def snail(limbs: int) -> list[Part]:
    """In profile; limbs are tentacles."""
    return [
        *[_limb(blade(0.75, 0.4, 0.65, angle, 0.07)) for angle in _spread(limbs, -2.1, -0.9)],
        _limb(ellipse(0, 0.62, 0.95, 0.2)),
        _head(ellipse(0.75, 0.4, 0.2, 0.26)),
        _body(ellipse(-0.1, -0.02, 0.6, 0.6)),
    ]


def clam(limbs: int) -> list[Part]:
    """A shell with its hinge below; limbs are scallops of the rim."""
    rim = _spread(2 * limbs + 3, pi, 2 * pi)
    return [
        *[_limb(ellipse(0.78 * cos(angle), 0.45 + 1.05 * sin(angle), 0.2, 0.2)) for angle in rim[1::2]],
        _body(polygon((0.0, 0.75), *[(0.9 * cos(angle), 0.45 + 1.15 * sin(angle)) for angle in rim])),
        _head(ellipse(0, 0.7, 0.28, 0.18)),
    ]


def octopus(limbs: int) -> list[Part]:
    """A mantle above arms."""
    return [
        *[_limb(blade(0, 0.1, 0.92, angle, 0.2, tip=0.5)) for angle in _spread(limbs + 2, 0.25, pi - 0.25)],
        _body(ellipse(0, -0.3, 0.52, 0.66)),
        _head(ellipse(-0.25, 0.2, 0.14, 0.14)),
        _head(ellipse(0.25, 0.2, 0.14, 0.14)),
    ]


def star(limbs: int) -> list[Part]:
    """Arms around a centre."""
    points = limbs + 2
    angles = [pi * step / points - pi / 2 for step in range(2 * points)]
    radii = (1.0, 0.5)
    return [
        _body(np.array([(radii[step % 2] * cos(a), radii[step % 2] * sin(a)) for step, a in enumerate(angles)])),
        _head(ellipse(0, 0, 0.16, 0.16)),
    ]


def coral(limbs: int) -> list[Part]:
    """A column with knobbed arms."""
    angles = _spread(limbs + 1, -pi + 0.35, -0.35)
    return [
        *[_limb(blade(0, 0.2, 0.85, angle, 0.16)) for angle in angles],
        *[_head(ellipse(0.85 * cos(angle), 0.2 + 0.85 * sin(angle), 0.16, 0.16)) for angle in angles],
        _body(polygon((-0.45, 0.95), (-0.5, -0.05), (-0.25, -0.3), (0.25, -0.3), (0.5, -0.05), (0.45, 0.95))),
    ]


def flower(limbs: int) -> list[Part]:
    """An open flower on a stem; limbs are petals, three more than their number."""
    petals = limbs + 3
    angles = [2 * pi * step / petals - pi / 2 for step in range(petals)]
    return [
        _limb(blade(0, 0, 0.98, pi / 2, 0.1)),
        _limb(ellipse(0.3, 0.72, 0.3, 0.13, -0.5)),
        *[_body(ellipse(0.42 * cos(a), -0.25 + 0.42 * sin(a), 0.36, 0.75 / petals + 0.08, a)) for a in angles],
        _head(ellipse(0, -0.25, 0.24, 0.24)),
    ]


def lily(limbs: int) -> list[Part]:
    """A cup above long leaves."""
    return [
        *[_limb(blade(0, 0.95, 1.15, angle, 0.17, tip=0.3)) for angle in _spread(limbs, -pi + 0.75, -0.75)],
        _limb(blade(0, 0.95, 1.0, -pi / 2, 0.1)),
        _body(
            polygon((-0.2, 0.25), (-0.62, -0.9), (-0.25, -0.6), (0.0, -0.98), (0.25, -0.6), (0.62, -0.9), (0.2, 0.25))
        ),
        _head(ellipse(0, 0.25, 0.22, 0.14)),
    ]


def conifer(limbs: int) -> list[Part]:
    """Tiers of branches on a trunk."""
    tops = _spread(limbs, -0.95, 0.1)
    return [
        _limb(blade(0, 0.2, 0.78, pi / 2, 0.2)),
        *[
            _body(polygon((0, top), (-0.45 - 0.4 * (top + 0.95), top + 0.65), (0.45 + 0.4 * (top + 0.95), top + 0.65)))
            for top in reversed(tops)
        ],
        _head(ellipse(0, -0.85, 0.13, 0.13)),
    ]


def fern(limbs: int) -> list[Part]:
    """A frond of leaflets."""
    heights = _spread(limbs + 1, 0.55, -0.6)
    return [
        _limb(blade(0, 0.98, 1.9, -pi / 2, 0.1)),
        *[
            _body(ellipse(side * (0.42 - 0.12 * y * -1), y - 0.1, 0.42 + 0.12 * y, 0.17, side * -0.35))
            for y in heights
            for side in (-1, 1)
        ],
        _head(ellipse(0, -0.85, 0.14, 0.14)),
    ]


def mushroom(limbs: int) -> list[Part]:
    """A cap on a stem; limbs are small ones at its foot."""
    cap = [(0.85 * cos(angle), 0.05 + 0.9 * sin(angle)) for angle in _spread(20, pi, 2 * pi)]
    return [
        _head(blade(0, 0, 0.95, pi / 2, 0.34)),
        *[_limb(ellipse(x, 0.78, 0.16, 0.2)) for x in _spread(limbs, -0.75, 0.75)],
        _body(polygon(*cap)),
    ]


def morel(limbs: int) -> list[Part]:
    """A tall cap; limbs are small ones at its foot."""
    return [
        *[_limb(polygon((x - 0.2, 0.95), (x, 0.4), (x + 0.2, 0.95))) for x in _spread(limbs, -0.75, 0.75)],
        _head(blade(0, 0.2, 0.75, pi / 2, 0.4)),
        _body(polygon((-0.5, 0.35), (-0.55, -0.2), (0, -1.0), (0.55, -0.2), (0.5, 0.35))),
    ]


def kelp(limbs: int) -> list[Part]:
    """Blades from one holdfast."""
    return [
        *[_body(ellipse(x, -0.15, 0.85 / (limbs + 1), 0.78, x * 0.5)) for x in _spread(limbs, -0.6, 0.6)],
        _limb(blade(0, 0.95, 0.55, -pi / 2, 0.3)),
        _head(ellipse(0, 0.82, 0.35, 0.15)),
    ]


SILHOUETTES: dict[str, Callable[[int], list[Part]]] = {
    silhouette.__name__: silhouette
    for silhouette in (
        *(beast, bird, lizard, frog, fish, shark, insect, spider, crab, snail, clam, octopus, star, coral),
        *(flower, lily, conifer, fern, mushroom, morel, kelp),
    )
}
