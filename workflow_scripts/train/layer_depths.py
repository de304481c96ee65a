"""Layer depths of parameters, for tuning the last blocks only and for layer-wise learning rates.

A tower is embeddings, transformer blocks, and what follows them. What follows has depth 0, the last block 1, the
first block as many as there are blocks, and the embeddings one more.
"""

import re
from collections.abc import Iterable

BLOCK = re.compile(r"\bresblocks\.(\d+)\.")
# What stands behind a tower's blocks, by the last words of its name in open_clip.
HEADS = {"proj", "replay_projector", "text_projection", "logit_scale", "logit_bias"}
HEAD_MODULES = {"ln_post", "ln_final", "attn_pool"}


def is_block(module: str) -> bool:
    """Whether a module of this name is a transformer block, and no part of one."""
    return module.rpartition(".")[0].endswith(".resblocks")


def layer_depths(names: Iterable[str]) -> dict[str, int]:
    """The layer depth of every parameter of a model, by name.

    Args:
        names: all of its parameters' names, as `TwoProjectorClip` has them.
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
