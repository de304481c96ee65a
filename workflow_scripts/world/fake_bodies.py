"""Response bodies that are not the image they claim to be."""

import struct
import zlib

import cv2
import numpy as np

from workflow_scripts.common import images
from workflow_scripts.world.draw import encoded

CLAIMED_PIXELS = 60_000

PAGE = b"<!DOCTYPE html>\n<html><head><title>Not found</title></head><body>This image has moved.</body></html>\n"
"""An HTML page, served as image/jpeg."""


def pixel() -> bytes:
    """A JPEG of one pixel, as served by trackers and for missing images."""
    return encoded(np.full((1, 1, 3), 255, np.uint8))


def placeholder(side: int) -> bytes:
    """The picture that a host serves in place of missing images."""
    image = np.full((side, side, 3), 225, np.uint8)
    cv2.putText(image, "no image", (side // 8, side // 2), cv2.FONT_HERSHEY_SIMPLEX, side / 256, (120, 120, 120), 2)
    cv2.rectangle(image, (8, 8), (side - 9, side - 9), (160, 160, 160), 3)
    return encoded(image)


def cut_off(jpeg: bytes) -> bytes:
    """The first half of a JPEG."""
    return jpeg[: len(jpeg) // 2]


def huge_jpeg(jpeg: bytes) -> bytes:
    """A JPEG whose header claims 60,000 x 60,000 pixels."""
    # Start of frame: marker, length, precision, then height and width (ITU-T T.81, B.2.2).
    frame = jpeg.index(b"\xff\xc0")
    claim = struct.pack(">HH", CLAIMED_PIXELS, CLAIMED_PIXELS)
    return jpeg[: frame + 5] + claim + jpeg[frame + 9 :]


def huge_png() -> bytes:
    """A PNG whose header claims 60,000 x 60,000 pixels."""
    header = struct.pack(">IIBBBBB", CLAIMED_PIXELS, CLAIMED_PIXELS, 8, 2, 0, 0, 0)
    data = zlib.compress(bytes(4096))
    chunks = ((b"IHDR", header), (b"IDAT", data), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    )


def compressed_again(jpeg: bytes) -> bytes:
    """The same picture at a lower JPEG quality."""
    return images.encode_jpeg(images.decode(jpeg), quality=60)
