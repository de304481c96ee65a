"""Text features of prompts: of each text, and the mean over templates that stands for a class.

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

# Prompts whose features are held at once: 48 MiB at 768 dimensions.
PROMPTS_AT_ONCE = 2**14
# Texts a forward pass. A CPU's caches hold no more; a GPU wants more.
BATCH = {"cpu": 128, "cuda": 2048}
# A batch is cut short for this many tokens more in common, but not below this share of a full one.
WORTH_A_CUT = 4
LEAST_SHARE = 4


def class_weights(names: Sequence[str], templates: Sequence[Template], encode: Encoder) -> Floats:
    """One normalised vector a class [C, D]: the mean of its prompts' features (Radford et al. 2021, section 3.1.4).

    Args:
        names: class names [C].
        templates: what makes prompts of a name [T].
        encode: texts -> normalised text features; the prompts of many classes go in together.
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

    Texts that begin alike go in together, where the tower lets what they share be computed once. Which texts are in
    company changes no number beyond rounding.

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
    # The end token has the highest id; what follows it is padding.
    ends_N = tokens_NL.argmax(dim=1)
    # By the first token, then the second, and so on.
    order_N = torch.from_numpy(np.lexsort(tokens_NL.numpy().T[::-1]).astype(np.int64))
    features = []
    for chosen in _alike(tokens_NL, order_N, batch):
        ends_B = ends_N[chosen]
        tokens_BL = tokens_NL[chosen, : int(ends_B.max()) + 1]
        features.append(encode_together(clip.model, tokens_BL.to(device), ends_B.to(device)))
    sorted_ND = torch.cat(features).float().cpu().numpy()
    features_ND = np.empty_like(sorted_ND)
    features_ND[order_N.numpy()] = sorted_ND
    return unit(features_ND)


def _alike(tokens_NL: torch.Tensor, order_N: torch.Tensor, most: int) -> Iterator[torch.Tensor]:
    """Batches of at most `most` sorted texts, cut where the next one would leave much less in common."""
    sorted_NL = tokens_NL[order_N]
    # How many tokens each text begins with like the one before it.
    differs_NL = torch.nn.functional.pad(sorted_NL[1:] != sorted_NL[:-1], (0, 1), value=True)
    common_N = [0, *differs_NL.to(torch.int8).argmax(dim=1).tolist()]
    start, shared = 0, tokens_NL.shape[1]
    for place in range(1, len(order_N)):
        size, left = place - start, min(shared, common_N[place])
        if size == most or (size >= most // LEAST_SHARE and left + WORTH_A_CUT <= shared < tokens_NL.shape[1]):
            yield order_N[start:place]
            start, shared = place, tokens_NL.shape[1]
        else:
            shared = left
    yield order_N[start:]
