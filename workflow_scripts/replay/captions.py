"""Captions from the web, made plain text."""

import html
import re

import pyarrow as pa

# C0 and C1 controls, zero-width and direction marks, the byte-order mark, half characters.
_INVISIBLE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u200b\u200e\u200f\u2028-\u202e\u2060\u2066-\u2069\ufeff\ufffd\ud800-\udfff]"
)


def clean_caption(text: str) -> str:
    """Resolve HTML entities, take out control characters, and leave single spaces; "" where nothing is left."""
    return " ".join(_INVISIBLE.sub(" ", html.unescape(text)).split())


def clean_captions(texts: pa.Array) -> pa.Array:
    """`clean_caption` for a column; null stays null."""
    return pa.array([None if text is None else clean_caption(text) for text in texts.to_pylist()], pa.string())
