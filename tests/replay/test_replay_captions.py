"""Captions from the web are cleaned."""

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workflow_scripts.replay.captions import clean_caption


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ("Tom &amp; Jerry &#39;live&#39;", "Tom & Jerry 'live'"),
        ("  two\t\n lines\u00a0here ", "two lines here"),
        ("bell\x07 and\u200b zero\ufeff width", "bell and zero width"),
        ("&nbsp;\u200e \x00", ""),
        ("naïve 東京 👩‍🚀", "naïve 東京 👩‍🚀"),
    ],
)
def test_entities_white_space_and_control_characters_are_resolved(raw: str, clean: str) -> None:
    assert clean_caption(raw) == clean


@settings(deadline=None)
@given(st.text())
def test_a_clean_caption_has_single_spaces_and_nothing_invisible(text: str) -> None:
    clean = clean_caption(text)
    assert clean == " ".join(clean.split())
    assert not any(unicodedata.category(character) in ("Cc", "Cs") for character in clean)
