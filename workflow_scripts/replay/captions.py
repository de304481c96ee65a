"""Clean captions from the web."""

import html
import re

import pyarrow as pa

# C0 and C1 controls, zero-width and direction marks, the byte-order mark, replacement characters, lone surrogates.
_INVISIBLE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u200b\u200e\u200f\u2028-\u202e\u2060\u2066-\u2069\ufeff\ufffd\ud800-\udfff]"
)


def clean_caption(text: str) -> str:
    """Decode HTML entities, remove control characters, and collapse spaces; "" if nothing remains."""
    return " ".join(_INVISIBLE.sub(" ", html.unescape(text)).split())


def clean_captions(texts: pa.Array) -> pa.Array:
    """Apply `clean_caption` to a column; null stays null."""
    return pa.array([None if text is None else clean_caption(text) for text in texts.to_pylist()], pa.string())
