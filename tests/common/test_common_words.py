"""Words that are kept."""

from functools import cache

from hypothesis import given, settings
from hypothesis import strategies as st

from workflow_scripts.common import clip
from workflow_scripts.common.words import WordTokenizer


@cache
def open_clips_tokenizer():
    return clip.open_clip.get_tokenizer("ViT-B-32")


@settings(deadline=None)
@given(
    st.text("abcXYZ é09 .,()'-&<>_\u201c", max_size=60) | st.sampled_from(["a " * 90, "don't", "x-y's (L.) 1758.", ""])
)
def test_words_that_are_kept_make_the_tokens_of_the_whole_text(text: str) -> None:
    tokenizer = open_clips_tokenizer()
    kept = WordTokenizer(tokenizer)
    for _ in range(2):
        assert kept(text).tolist() == tokenizer([text])[0].tolist()
