"""What a body is by its first bytes, since hosts label good photos as pages and downloads."""

from fnmatch import fnmatchcase

# Enough of a body to know a photo by.
START_BYTES = 16
STARTS = {
    "image/jpeg": (0, (b"\xff\xd8\xff",)),
    "image/png": (0, (b"\x89PNG\r\n\x1a\n",)),
    "image/gif": (0, (b"GIF87a", b"GIF89a")),
    "image/tiff": (0, (b"II*\0", b"MM\0*")),
    "image/bmp": (0, (b"BM",)),
    "image/jp2": (0, (b"\0\0\0\x0cjP  \r\n", b"\xff\x4f\xff\x51")),
    "image/webp": (8, (b"WEBP",)),
    "image/avif": (4, (b"ftypavif", b"ftypavis")),
    # Not read, but refused as what they are.
    "image/heic": (4, (b"ftypheic", b"ftypheix", b"ftypmif1", b"ftypmsf1")),
    "image/jxl": (0, (b"\xff\x0a", b"\0\0\0\x0cJXL ")),
}


def content_type(label: str | None, start: bytes) -> str:
    """The type of a body: what its first bytes say, else what its host says, in lower case and without parameters."""
    for name, (at, starts) in STARTS.items():
        if start.startswith(starts, at):
            return name
    return (label or "").partition(";")[0].strip().lower()


def is_taken(kind: str, taken: list[str]) -> bool:
    """Whether a type is one of those that are taken (`image/*` is any image); a host that names none is believed."""
    return not kind or any(fnmatchcase(kind, pattern.lower()) for pattern in taken)
