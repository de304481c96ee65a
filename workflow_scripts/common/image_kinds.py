"""What bytes are, by their first few: to refuse under its true name what is not read."""

from typing import NamedTuple


class Start(NamedTuple):
    """How bytes of a kind begin."""

    name: str
    at: int
    starts: tuple[bytes, ...]


# Brands of ISO base media files (`ftyp`), by what is in them.
BRANDS = {
    "AVIF": (b"avif", b"avis"),
    "HEIC": (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"),
    "CR3 (raw photo)": (b"crx ",),
}
STARTS = (
    Start("BigTIFF", 0, (b"II+\0", b"MM\0+")),
    Start("JPEG XL", 0, (b"\xff\x0a", b"\0\0\0\x0cJXL ")),
    Start("JPEG XR", 0, (b"II\xbc",)),
    Start("CR2 (raw photo)", 8, (b"CR\x02",)),
    Start("raw photo", 0, (b"IIU\0", b"IIRO", b"IIRS", b"MMOR", b"FUJIFILM", b"FOVb", b"\0MRM")),
    Start("Photoshop document", 0, (b"8BPS",)),
    Start("OpenEXR", 0, (b"v/1\x01",)),
    Start("FITS", 0, (b"SIMPLE  =",)),
    Start("DICOM", 128, (b"DICM",)),
    Start("PostScript", 0, (b"%!PS", b"\xc5\xd0\xd3\xc6")),
    Start("PDF", 0, (b"%PDF",)),
    Start("DjVu", 0, (b"AT&TFORM",)),
    Start("icon", 0, (b"\0\0\1\0", b"icns")),
    Start("NetPBM", 0, tuple(b"P%d" % number + space for number in range(1, 8) for space in (b"\n", b" "))),
    Start("video", 0, (b"\x1aE\xdf\xa3", b"OggS", b"FLV\x01", b"\0\0\1\xba", b"\0\0\1\xb3")),
    Start("video", 8, (b"AVI ",)),
    Start("sound", 0, (b"ID3", b"fLaC")),
    Start("sound", 8, (b"WAVE",)),
    Start("ZIP archive", 0, (b"PK\x03\x04",)),
    Start("gzip archive", 0, (b"\x1f\x8b",)),
)
MARKUP = {"SVG": (b"<svg",), "web page": (b"<!doctype html", b"<html", b"<head", b"<body", b"<script")}
# Kinds of the above that are no images at all.
NO_IMAGES = {"web page", "XML", "PDF", "PostScript", "video", "sound", "ZIP archive", "gzip archive"}
# Where a page or a drawing says what it is: after a byte-order mark, comments and declarations.
LOOKED_AT = 1024


def kind_of(data: bytes) -> str | None:
    """The name of what the bytes are, among kinds that are no photographs or are not read; None: no known kind."""
    if data[4:8] == b"ftyp":
        return _of_brands(data)
    for name, at, starts in STARTS:
        if data.startswith(starts, at):
            return name
    text = data[:LOOKED_AT].removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if text.startswith(b"<"):
        found = ((text.find(word), name) for name, words in MARKUP.items() for word in words if word in text)
        return min(found, default=(0, "XML"))[1]
    return None


def _of_brands(data: bytes) -> str:
    size = min(int.from_bytes(data[:4], "big"), 256)
    brands = [data[8:12], *(data[at : at + 4] for at in range(16, size, 4))]
    # The first is what the file is; `mif1` may be either's, and the others then say which.
    for brand in sorted(brands, key=lambda brand: brand in (b"mif1", b"msf1")):
        for name, known in BRANDS.items():
            if brand in known:
                return name
    return "video"
