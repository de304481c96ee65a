"""Text features of many prompts at once."""

from collections.abc import Sequence

import numpy as np
import torch

from workflow_scripts.common.clip import Clip, encode_text
from workflow_scripts.evaluate.geometry import Floats, unit

# Texts a forward pass. A CPU's caches hold no more; a GPU wants more.
BATCH = {"cpu": 128, "cuda": 2048}


@torch.inference_mode()
def text_features(clip: Clip, texts: Sequence[str]) -> Floats:
    """Normalised text features [N, D] of the texts [N].

    Texts of like length go in together, without the padding behind the longest of them. In a causal text tower read
    at its last token nothing before the padding sees it, so the numbers are the same up to rounding.

    Raises:
        InputError: the model has no text tower.
    """
    batch = BATCH.get(_device(clip).type, max(BATCH.values()))
    if not _is_causal(clip):
        parts = [encode_text(clip, texts[start : start + batch]) for start in range(0, len(texts), batch)]
        return unit(torch.cat(parts).float().cpu().numpy())
    tokens_NL = clip.tokenizer(list(texts))
    # The end token has the highest id; what follows it is padding.
    lengths_N = tokens_NL.argmax(dim=1) + 1
    order_N = torch.argsort(lengths_N, stable=True)
    features = []
    for start in range(0, len(texts), batch):
        chosen = order_N[start : start + batch]
        longest = int(lengths_N[chosen[-1]])
        features.append(_encode_short(clip, tokens_NL[chosen, :longest].to(_device(clip))))
    sorted_ND = torch.cat(features).float().cpu().numpy()
    features_ND = np.empty_like(sorted_ND)
    features_ND[order_N.numpy()] = sorted_ND
    return unit(features_ND)


def _device(clip: Clip) -> torch.device:
    return next(clip.model.parameters()).device


def _is_causal(clip: Clip) -> bool:
    """Whether it is the text tower of CLIP itself, causal and pooled at the end token."""
    model = clip.model
    return getattr(model, "attn_mask", None) is not None and getattr(model, "text_pool_type", "") == "argmax"


def _encode_short(clip: Clip, tokens_NL: torch.Tensor) -> torch.Tensor:
    """Normalised features of tokens shorter than the context, which the tower itself does not take."""
    model, length = clip.model, tokens_NL.shape[1]
    shortened = {
        "positional_embedding": model.positional_embedding[:length],
        "attn_mask": model.attn_mask[:length, :length],
    }
    output = torch.func.functional_call(model, shortened, kwargs={"text": tokens_NL})
    return output["text_features"] if isinstance(output, dict) else output[1]
