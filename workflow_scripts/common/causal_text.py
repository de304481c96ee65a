"""Text features by CLIP's causal text tower, computing the prefix that a batch of texts shares only once.

Prompts of one template for species of one class share most of their tokens. In a causal tower a token does not depend
on later ones, so the shared prefix of a batch is computed once. Padding after a text, and in the last layer everything
but the end tokens, is not computed at all. Results equal those of the tower itself up to rounding.

Shapes: B texts, P tokens of the shared prefix, L further tokens, Q queries, K keys, H heads, D width.
"""

from typing import Any

import torch
from torch.nn.functional import linear, scaled_dot_product_attention

from workflow_scripts.common.open_clip_models import open_clip

KeysAndValues = tuple[torch.Tensor, torch.Tensor]


def is_causal_clip(model: Any) -> bool:
    """Whether the text tower is CLIP's own: causal, with plain blocks, pooled at the end token."""
    blocks = getattr(getattr(model, "transformer", None), "resblocks", [None])
    return (
        getattr(model, "attn_mask", None) is not None
        and getattr(model, "text_pool_type", "") == "argmax"
        and isinstance(getattr(model, "text_projection", None), torch.Tensor)
        and all(
            type(block) is open_clip.transformer.ResidualAttentionBlock and not hasattr(block, "ln_1_kv")
            for block in blocks
        )
    )


def shared_tokens(tokens_BL: torch.Tensor, shortest: int) -> int:
    """Length of the prefix that all texts share; it excludes the last token of every text."""
    differs_L = (tokens_BL != tokens_BL[0]).any(dim=0)
    same = int(differs_L.to(torch.int8).argmax()) if bool(differs_L.any()) else tokens_BL.shape[1]
    return min(same, shortest - 1)


def encode_together(model: Any, tokens_BL: torch.Tensor, ends_B: torch.Tensor) -> torch.Tensor:
    """Features [B, D], not normalised.

    Args:
        model: an open_clip model for which `is_causal_clip` is true.
        tokens_BL: token ids, as long as the longest text.
        ends_B: position of each text's end token.
    """
    shared = shared_tokens(tokens_BL, int(ends_B.min()) + 1)
    embedded_BLD = model.token_embedding(tokens_BL) + model.positional_embedding[: tokens_BL.shape[1]]
    prefix_1PD, rest_BLD = embedded_BLD[:1, :shared], embedded_BLD[:, shared:]
    *blocks, last = model.transformer.resblocks
    for block in blocks:
        prefix = _keys_and_values(block, prefix_1PD)
        rest_BLD = _apply_block(block, rest_BLD, prefix)
        prefix_1PD = _apply_block(block, prefix_1PD, None)
    ends_B = ends_B - shared
    ends_BD = _apply_block(last, rest_BLD, _keys_and_values(last, prefix_1PD), ends_B)[:, 0]
    features: torch.Tensor = model.ln_final(ends_BD) @ model.text_projection
    return features


def _apply_block(
    block: Any, x_BLD: torch.Tensor, prefix: KeysAndValues | None, positions_B: torch.Tensor | None = None
) -> torch.Tensor:
    """A block's output for all tokens, or [B, 1, D] for one token of each text.

    Args:
        block: a block of the text tower.
        x_BLD: its input.
        prefix: keys and values of the shared prefix, each [1, H, P, D / H].
        positions_B: position of the one token of each text.
    """
    keys, values = _keys_and_values(block, x_BLD)
    length = x_BLD.shape[1]
    all_L = torch.arange(length, device=x_BLD.device)
    queried_BQ = all_L[None] if positions_B is None else positions_B[:, None]
    if positions_B is not None:
        x_BLD = x_BLD[torch.arange(len(positions_B), device=x_BLD.device), positions_B][:, None]
    mask_B1QK = (all_L <= queried_BQ[..., None])[:, None]
    if prefix is not None and prefix[0].shape[2]:
        shape = (len(keys), -1, -1, -1)
        keys, values = (
            torch.cat([shared.expand(shape), own], dim=2) for shared, own in zip(prefix, (keys, values), strict=True)
        )
        mask_B1QK = torch.nn.functional.pad(mask_B1QK, (prefix[0].shape[2], 0), value=True)
    weight, bias = block.attn.in_proj_weight, block.attn.in_proj_bias
    width = x_BLD.shape[2]
    queries = _heads(block, linear(block.ln_1(x_BLD), weight[:width], bias[:width]))
    attended = scaled_dot_product_attention(queries, keys, values, attn_mask=mask_B1QK)
    x_BLD = x_BLD + block.ls_1(block.attn.out_proj(attended.transpose(1, 2).flatten(2)))
    output: torch.Tensor = x_BLD + block.ls_2(block.mlp(block.ln_2(x_BLD)))
    return output


def _keys_and_values(block: Any, x_BLD: torch.Tensor) -> KeysAndValues:
    width = x_BLD.shape[2]
    weight, bias = block.attn.in_proj_weight[width:], block.attn.in_proj_bias[width:]
    keys, values = linear(block.ln_1(x_BLD), weight, bias).chunk(2, dim=-1)
    return _heads(block, keys), _heads(block, values)


def _heads(block: Any, x_BLD: torch.Tensor) -> torch.Tensor:
    return x_BLD.unflatten(-1, (block.attn.num_heads, -1)).transpose(1, 2)
