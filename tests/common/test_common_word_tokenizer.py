"""The cache of words."""

from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workflow_scripts.common import open_clip_models, word_tokenizer
from workflow_scripts.common.word_tokenizer import WordTokenizer


@cache
def open_clips_tokenizer():
    return open_clip_models.open_clip.get_tokenizer("ViT-B-32")


@settings(deadline=None)
@given(
    st.text("abcXYZ é09 .,()'-&<>_\u201c", max_size=60) | st.sampled_from(["a " * 90, "don't", "x-y's (L.) 1758.", ""])
)
def test_cached_words_give_the_tokens_of_the_complete_text(text: str) -> None:
    tokenizer = open_clips_tokenizer()
    kept = WordTokenizer(tokenizer)
    for _ in range(2):
        assert kept(text).tolist() == tokenizer([text])[0].tolist()


def test_the_librarys_word_cache_is_bounded_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(word_tokenizer, "MAX_LIBRARY_WORDS", 50)
    tokenizer = open_clip_models.open_clip.get_tokenizer("ViT-B-32")
    kept = WordTokenizer(tokenizer)
    end = "<end_of_text>"
    expected = tokenizer([end])[0].tolist()
    for number in range(200):
        kept(f"word {'a' * number} caf\u00e9{'b' * number}")
        assert len(tokenizer.cache) < 60
    assert kept(end).tolist() == expected
