"""Layer depths of parameters, for tuning only the last blocks and for layer-wise learning rates.

Depths count from a tower's output: the layers after the blocks have depth 0, the last of n transformer blocks 1, the
first n, and the embeddings n + 1.
"""

import re
from collections.abc import Iterable

BLOCK = re.compile(r"\bresblocks\.(\d+)\.")
# Layers after a tower's blocks, by the last component of their name in open_clip, or by any component.
HEADS = {"proj", "replay_projector", "text_projection", "logit_scale", "logit_bias"}
HEAD_MODULES = {"ln_post", "ln_final", "attn_pool"}


def is_block(module: str) -> bool:
    """Whether a module of this name is a transformer block (not a module inside one)."""
    return module.rpartition(".")[0].endswith(".resblocks")


def layer_depths(names: Iterable[str]) -> dict[str, int]:
    """Layer depth of every parameter, by name.

    Args:
        names: names of all parameters of a `TwoProjectorClip`.
    """
    names = list(names)
    blocks: dict[str, int] = {}
    for name in names:
        if found := BLOCK.search(name):
            tower = _tower(name)
            blocks[tower] = max(blocks.get(tower, 0), int(found[1]) + 1)
    return {name: _layer_depth(name, blocks.get(_tower(name), 0)) for name in names}


def _layer_depth(name: str, blocks: int) -> int:
    if found := BLOCK.search(name):
        return blocks - int(found[1])
    words = name.split(".")
    return 0 if words[-1] in HEADS or HEAD_MODULES & set(words) else blocks + 1


def _tower(name: str) -> str:
    return "image" if "visual" in name.split(".") or name in ("proj", "replay_projector") else "text"
