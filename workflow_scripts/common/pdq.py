"""PDQ, Facebook's perceptual hash (ThreatExchange, "PDQ & TMK + PDQF", 2019), of images of 512 x 512 pixels.

Gives the hash of the reference code, for one image size, with array operations that release the GIL: its two box
filters and the decimation to 64 x 64 are one linear map with only seven nonzero taps per sample.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

SIDE = 512
SAMPLES = 64
STEP = SIDE // SAMPLES
# The box size of the reference code for these sizes: 4, from 1 before a pixel to 2 after it.
BOX = range(-1, 3)
TAPS = 7
FIRST_TAP = STEP // 2 + 2 * BOX[0]
FREQUENCIES = 16
# Coefficients are rounded, so that numerical differences between machines flip no bit.
DECIMALS = 4
MIN_GRADIENTS = 90


def _box() -> NDArray[np.float64]:
    """The box filter as a matrix; at the edges, the mean is over the pixels inside the image."""
    matrix = np.zeros((SIDE, SIDE))
    for row in range(SIDE):
        inside = [row + step for step in BOX if 0 <= row + step < SIDE]
        matrix[row, inside] = 1 / len(inside)
    return matrix


def _weights() -> NDArray[np.float32]:
    """[tap, sample]: weight of pixel FIRST_TAP + STEP * sample + tap in a sample."""
    twice = _box() @ _box()
    padded = np.pad(twice, ((0, 0), (0, STEP)))
    samples = np.arange(SAMPLES)
    return np.stack(
        [padded[STEP * samples + STEP // 2, STEP * samples + FIRST_TAP + tap] for tap in range(TAPS)]
    ).astype(np.float32)


def _transform() -> NDArray[np.float64]:
    """[frequency, sample]: the discrete cosine transform without frequency 0."""
    frequency, sample = np.arange(1, FREQUENCIES + 1)[:, None], np.arange(SAMPLES)[None]
    return np.sqrt(2 / SAMPLES) * np.cos(np.pi / 2 / SAMPLES * frequency * (2 * sample + 1))


WEIGHTS = _weights()
TRANSFORM = _transform()


def pdq_hash(image: NDArray[np.uint8]) -> str | None:
    """The hash (64 hex digits) of an RGB image, uint8 [512, 512, 3]; None if the image has no features."""
    luma = np.asarray(cv2.cvtColor(image.astype(np.float32), cv2.COLOR_RGB2GRAY), np.float32)
    samples = _sampled(_sampled(luma).T).T
    if _gradients(samples) < MIN_GRADIENTS:
        return None
    spectrum = np.round(TRANSFORM @ samples @ TRANSFORM.T, DECIMALS).ravel()
    # With an even number of values, the lower median.
    median = np.partition(spectrum, len(spectrum) // 2 - 1)[len(spectrum) // 2 - 1]
    return np.packbits((spectrum > median)[::-1]).tobytes().hex()


def _sampled(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Filter and decimate along the first axis: [512, n] -> [64, n]."""
    padded = np.concatenate([values, np.zeros((STEP, values.shape[1]), np.float32)])
    blocks = padded[FIRST_TAP : FIRST_TAP + SIDE].reshape(SAMPLES, STEP, -1)
    return np.einsum("ts,stn->sn", WEIGHTS, blocks[:, :TAPS])


def _gradients(samples: NDArray[np.float32]) -> int:
    """Sum of the differences between neighbours, each truncated to a percentage."""
    return sum(int(np.abs(np.diff(samples, axis=axis) * 100 / 255).astype(int).sum()) for axis in (0, 1))
