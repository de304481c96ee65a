"""Text features of prompts, and class vectors as means over templates.

Shapes: N texts, C classes, T templates, D embedding dimensions.
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch

from workflow_scripts.common.captions import sentence
from workflow_scripts.common.causal_text import encode_together, is_causal_clip
from workflow_scripts.common.clip import Clip, encode_text
from workflow_scripts.common.geometry import Floats, unit
from workflow_scripts.common.open_clip_models import open_clip
from workflow_scripts.common.word_tokenizer import WordTokenizer

Template = Callable[[str], str]
Encoder = Callable[[Sequence[str]], Floats]

TEMPLATES: tuple[Template, ...] = (
    sentence,
    *open_clip.OPENAI_IMAGENET_TEMPLATES,
)
"""The 81 templates of both papers: their own and open_clip's 80 of ImageNet."""

# Prompts whose features are in memory at once: 48 MiB at 768 dimensions.
PROMPTS_AT_ONCE = 2**14
# Texts per forward pass: as many as fit a CPU's caches; more on a GPU.
BATCH = {"cpu": 128, "cuda": 2048}
# A batch ends early if the next text would cost this many shared tokens, but not below this fraction of a full batch.
MIN_TOKENS_SAVED = 4
MIN_FRACTION = 4


def class_weights(names: Sequence[str], templates: Sequence[Template], encode: Encoder) -> Floats:
    """One normalised vector per class [C, D]: the mean of its prompts' features (Radford et al. 2021, section 3.1.4).

    Args:
        names: class names [C].
        templates: functions from a name to a prompt [T].
        encode: texts -> normalised text features; called with the prompts of many classes together.
    """
    at_once = max(1, PROMPTS_AT_ONCE // len(templates))
    parts = []
    for start in range(0, len(names), at_once):
        some = names[start : start + at_once]
        features_ND = encode([template(name) for name in some for template in templates])
        parts.append(features_ND.reshape(len(some), len(templates), -1).mean(axis=1))
    return unit(np.concatenate(parts))


@torch.inference_mode()
def text_features(clip: Clip, texts: Sequence[str]) -> Floats:
    """Normalised text features [N, D] of the texts [N].

    Texts with a common beginning share a batch if the text tower is causal, so that the common tokens are computed
    once. The batches affect the features only by rounding.

    Raises:
        InputError: the model has no text tower.
    """
    device = next(clip.model.parameters()).device
    batch = BATCH.get(device.type, max(BATCH.values()))
    if not is_causal_clip(clip.model):
        parts = [encode_text(clip, texts[start : start + batch]) for start in range(0, len(texts), batch)]
        return unit(torch.cat(parts).float().cpu().numpy())
    tokenizer = WordTokenizer(clip.tokenizer)
    tokens_NL = torch.from_numpy(np.stack([tokenizer(text) for text in texts])).long()
    # The end token has the highest id; padding follows.
    ends_N = tokens_NL.argmax(dim=1)
    # Sorted by the first token, then the second, and so on.
    order_N = torch.from_numpy(np.lexsort(tokens_NL.numpy().T[::-1]).astype(np.int64))
    features = []
    for chosen in _batches_by_prefix(tokens_NL, order_N, batch):
        ends_B = ends_N[chosen]
        tokens_BL = tokens_NL[chosen, : int(ends_B.max()) + 1]
        features.append(encode_together(clip.model, tokens_BL.to(device), ends_B.to(device)))
    sorted_ND = torch.cat(features).float().cpu().numpy()
    features_ND = np.empty_like(sorted_ND)
    features_ND[order_N.numpy()] = sorted_ND
    return unit(features_ND)


def _batches_by_prefix(tokens_NL: torch.Tensor, order_N: torch.Tensor, most: int) -> Iterator[torch.Tensor]:
    """Batches of at most `most` sorted texts, which end early if the next text shares far fewer tokens."""
    sorted_NL = tokens_NL[order_N]
    # Number of leading tokens that each text shares with the one before it.
    differs_NL = torch.nn.functional.pad(sorted_NL[1:] != sorted_NL[:-1], (0, 1), value=True)
    common_N = [0, *differs_NL.to(torch.int8).argmax(dim=1).tolist()]
    start, shared = 0, tokens_NL.shape[1]
    for place in range(1, len(order_N)):
        size, left = place - start, min(shared, common_N[place])
        if size == most or (size >= most // MIN_FRACTION and left + MIN_TOKENS_SAVED <= shared < tokens_NL.shape[1]):
            yield order_N[start:place]
            start, shared = place, tokens_NL.shape[1]
        else:
            shared = left
    yield order_N[start:]
