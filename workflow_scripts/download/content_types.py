"""Content types: hosts often send photos under another type."""

from fnmatch import fnmatchcase

from workflow_scripts.common.image_kinds import MIME, START_BYTES, kind_of


def content_type(label: str | None, body: bytes) -> str:
    """The type of a body: that of the image that it begins as, else what its host says.

    A page or a stream is what its host calls it. In lower case and without parameters.
    """
    kind = kind_of(body[:START_BYTES])
    return MIME[kind] if kind in MIME else (label or "").partition(";")[0].strip().lower()


def is_taken(kind: str, taken: list[str]) -> bool:
    """Whether a type is one of those that are taken (`image/*` is any image); a host that names none is believed."""
    return not kind or any(fnmatchcase(kind, pattern.lower()) for pattern in taken)
