"""Content types of bodies. Hosts often send photos with a wrong type."""

from fnmatch import fnmatchcase

from workflow_scripts.common.image_kinds import MIME, START_BYTES, kind_of


def content_type(label: str | None, body: bytes) -> str:
    """The content type from a body's first bytes if they are an image's, otherwise from its header.

    In lower case, without parameters.
    """
    kind = kind_of(body[:START_BYTES])
    return MIME[kind] if kind in MIME else (label or "").partition(";")[0].strip().lower()


def is_accepted(kind: str, accepted: list[str]) -> bool:
    """Whether a content type matches one of the accepted patterns (such as `image/*`). An empty type is accepted."""
    return not kind or any(fnmatchcase(kind, pattern.lower()) for pattern in accepted)
