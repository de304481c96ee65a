"""Read the header of a JPEG: size, coding, EXIF, colour profile. The image is not decoded."""

from collections.abc import Iterator
from math import prod
from typing import NamedTuple

START = b"\xff\xd8"
EXIF = b"Exif\0\0"
ICC = b"ICC_PROFILE\0"
ADOBE = b"Adobe"
APP1, APP2, APP14, SCAN, END = 0xE1, 0xE2, 0xEE, 0xDA, 0xD9
# Markers without a length: TEM and restart markers.
BARE = {0x01, *range(0xD0, 0xD9)}
# Start-of-frame markers (ITU-T T.81, table B.1; 0xF7 is JPEG-LS).
FRAMES = {*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC}
PROGRESSIVE = {0xC2, 0xCA}
# Unsupported codings, by name.
UNSUPPORTED = {
    **dict.fromkeys((0xC3, 0xC7, 0xCB, 0xCF), "lossless JPEG"),
    **dict.fromkeys((0xC5, 0xC6, 0xCD, 0xCE), "hierarchical JPEG"),
    0xF7: "JPEG-LS",
}
# JPEG 2000: markers of the codestream with its size (SOC, SIZ), and of the default coding style (COD).
START_2000, CODING_2000 = b"\xff\x4f\xff\x51", b"\xff\x52"


class NotJpeg(ValueError):
    """The data ends or becomes invalid before the image data."""


class JpegHeader(NamedTuple):
    """The header of a JPEG.

    Attributes:
        width, height: size of the stored image, pixels.
        bits: bits per sample.
        components: number of components: 1 (grey), 3, or 4 (CMYK).
        coding: second byte of the start-of-frame marker.
        coefficient_bytes: bytes per pixel that libjpeg buffers for the complete image: those of all coefficients if
            the image has several scans, else 0.
        exif: the EXIF block, a TIFF structure, or b"".
        profile: the colour profile, or b"".
        inverted: whether CMYK values are stored inverted, as Adobe does.
    """

    width: int
    height: int
    bits: int
    components: int
    coding: int
    coefficient_bytes: float
    exif: bytes
    profile: bytes
    inverted: bool


def read_header(data: bytes) -> JpegHeader:
    """Read the header of a JPEG.

    Raises:
        NotJpeg: the header is incomplete or invalid.
    """
    frame, exif, inverted = b"", b"", False
    coding = scan_components = 0
    profile: dict[int, bytes] = {}
    for marker, start, end in _segments(data):
        if marker in FRAMES:
            coding, frame = marker, data[start:end]
        elif marker == APP1 and data.startswith(EXIF, start):
            # Some editors leave several; use the first.
            exif = exif or data[start + len(EXIF) : end]
        elif marker == APP2 and data.startswith(ICC, start):
            number = start + len(ICC)
            profile[data[number]] = data[number + 2 : end]
        elif marker == APP14 and data.startswith(ADOBE, start):
            inverted = True
        elif marker == SCAN:
            scan_components = data[start]
            break
    if len(frame) < 6 or len(frame) < 6 + 3 * frame[5]:
        raise NotJpeg("no frame header")
    components = frame[5]
    several_scans = coding in PROGRESSIVE or 0 < scan_components < components
    return JpegHeader(
        width=int.from_bytes(frame[3:5], "big"),
        height=int.from_bytes(frame[1:3], "big"),
        bits=frame[0],
        components=components,
        coding=coding,
        coefficient_bytes=2 * _samples_per_pixel(frame) if several_scans else 0,
        exif=exif,
        profile=b"".join(profile[number] for number in sorted(profile)),
        inverted=inverted,
    )


def levels_of_2000(data: bytes) -> int:
    """Number of decomposition levels of a JPEG 2000 (ISO 15444-1, A.6.1); 0 if unknown."""
    start = data.find(START_2000)
    at = data.find(CODING_2000, start) if start >= 0 else -1
    return data[at + 9] if 0 <= at < len(data) - 9 else 0


def _samples_per_pixel(frame: bytes) -> float:
    """Mean number of samples per pixel over all components, which subsampling reduces."""
    factors = [(byte >> 4 or 1, byte & 15 or 1) for byte in frame[7 : 6 + 3 * frame[5] : 3]]
    return sum(map(prod, factors)) / (max(wide for wide, _ in factors) * max(high for _, high in factors))


def _segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Marker, start and end of the content of each segment up to the scan; stray bytes are skipped."""
    at, size = len(START), len(data)
    while True:
        at = data.find(b"\xff", at)
        if at < 0:
            raise NotJpeg("it ends within its header")
        while at < size and data[at] == 0xFF:
            at += 1
        if at + 3 > size:
            raise NotJpeg("it ends within its header")
        marker = data[at]
        at += 1
        if marker == END:
            raise NotJpeg("it ends before its picture")
        if marker == 0 or marker in BARE:
            continue
        end = at + (data[at] << 8) + data[at + 1]
        if end < at + 2 or end > size:
            raise NotJpeg("it ends within its header")
        yield marker, at + 2, end
        at = end
