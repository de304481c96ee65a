"""Tokenizer for many texts that share words: each word is tokenised once."""

import re
from functools import lru_cache
from typing import Any

import numpy as np

KEPT_WORDS = 1_000_000
# open_clip's tokenizer caches every word, at 200 bytes each, without a limit.
MAX_LIBRARY_WORDS = 100_000
# Text of these characters needs no cleaning or unescaping, and no token crosses a space.
PLAIN = re.compile(r"[A-Za-z0-9 .,()'-]*")


class WordTokenizer:
    """A tokenizer with a cache of words, which captions repeat far more often than complete texts.

    Args:
        tokenizer: texts -> token ids. Only open_clip's own is called by word; others are called with complete texts.
    """

    def __init__(self, tokenizer: Any) -> None:
        from workflow_scripts.common.open_clip_models import open_clip

        self.tokenizer = tokenizer
        own = isinstance(tokenizer, open_clip.SimpleTokenizer) and tokenizer.reduction_fn is None
        self._word = lru_cache(KEPT_WORDS)(tokenizer.encode) if own else None
        special = [tokenizer.decoder[number] for number in tokenizer.all_special_ids] if own else []
        self._special = {token: token for token in special}

    def __call__(self, text: str) -> np.ndarray:
        """Token ids of a text, int32 [context_length]."""
        if self._word is not None and len(self.tokenizer.cache) > MAX_LIBRARY_WORDS:
            self.tokenizer.cache = dict(self._special)
        if self._word is None or not PLAIN.fullmatch(text):
            return self.tokenizer([text])[0].numpy().astype(np.int32)
        ids = [number for word in text.split() for number in self._word(word)]
        tokens = np.zeros(self.tokenizer.context_length, dtype=np.int32)
        ids = [self.tokenizer.sot_token_id, *ids[: len(tokens) - 2], self.tokenizer.eot_token_id]
        tokens[: len(ids)] = ids
        return tokens
