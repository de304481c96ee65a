"""Export a CLIP model for Hugging Face transformers: `CLIPModel.from_pretrained(FOLDER)`.

In: an open_clip model. Out: `config.json`, `model.safetensors`, `preprocessor_config.json`, and the tokenizer's
`vocab.json`, `merges.txt` and `tokenizer_config.json`. Tensors are renamed, not changed, so the features are the same.
transformers need not be installed. The format has no second projector.

Shapes: W width of a tower, D embedding dimensions.
"""

import logging
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from workflow_scripts.common.cli import run
from workflow_scripts.common.errors import InputError
from workflow_scripts.common.files import write_json, write_text
from workflow_scripts.common.open_clip_models import open_clip, read_model, save_tensors
from workflow_scripts.common.typed_models import typed_model

logger = logging.getLogger(__name__)

# Keys of an open_clip model config that transformers' CLIPModel can represent; other keys must be empty.
SUPPORTED = {
    "": {"embed_dim", "quick_gelu", "vision_cfg", "text_cfg", "init_logit_scale"},
    "vision_cfg": {"image_size", "patch_size", "width", "layers", "head_width", "mlp_ratio", "patch_dropout"},
    "text_cfg": {"context_length", "vocab_size", "width", "heads", "layers", "mlp_ratio"},
}
RESAMPLING = {"bilinear": 2, "bicubic": 3}
# open_clip's names of the special tokens, and OpenAI's.
SPECIAL = {"<start_of_text>": "<|startoftext|>", "<end_of_text>": "<|endoftext|>"}
# Modules of a block: open_clip's names, and transformers'.
BLOCK_MODULES = {
    "ln_1": "layer_norm1",
    "ln_2": "layer_norm2",
    "mlp.c_fc": "mlp.fc1",
    "mlp.c_proj": "mlp.fc2",
    "attn.out_proj": "self_attn.out_proj",
}
OTHER_TENSORS = {
    "logit_scale": "logit_scale",
    "token_embedding.weight": "text_model.embeddings.token_embedding.weight",
    "positional_embedding": "text_model.embeddings.position_embedding.weight",
    "ln_final.weight": "text_model.final_layer_norm.weight",
    "ln_final.bias": "text_model.final_layer_norm.bias",
    "visual.class_embedding": "vision_model.embeddings.class_embedding",
    "visual.positional_embedding": "vision_model.embeddings.position_embedding.weight",
    "visual.conv1.weight": "vision_model.embeddings.patch_embedding.weight",
    # Spelled like this in transformers.
    "visual.ln_pre.weight": "vision_model.pre_layrnorm.weight",
    "visual.ln_pre.bias": "vision_model.pre_layrnorm.bias",
    "visual.ln_post.weight": "vision_model.post_layernorm.weight",
    "visual.ln_post.bias": "vision_model.post_layernorm.bias",
}
# [W, D] in open_clip, [D, W] in transformers' linear layers.
TRANSPOSED = {"text_projection": "text_projection.weight", "visual.proj": "visual_projection.weight"}
TOWERS = {
    "transformer.resblocks.": "text_model.encoder.layers.",
    "visual.transformer.resblocks.": "vision_model.encoder.layers.",
}


def export_transformers(*, model: str, out: Path) -> None:
    """Export a model for Hugging Face transformers.

    Args:
        model: folder of a model, such as a run's `model`, or `hf-hub:NAME`.
        out: output folder, new or empty.

    Raises:
        InputError: the model does not exist, CLIPModel cannot represent it, or the output folder is not empty.
    """
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise InputError(f"{out}: not an empty folder; set --out to a new or empty folder")
    source = typed_model(model)
    if not source.has_text:
        raise InputError(f"{model}: has no text tower; transformers loads timm models without an export")
    found = read_model(source)
    try:
        config = config_for(found.config["model_cfg"], found.network.logit_scale.detach().item())
        preprocessing = preprocessing_for(found.config["preprocess_cfg"])
        weights = weights_for(found.network.state_dict())
        tokenizer = found.tokenizer
        if type(tokenizer) is not open_clip.tokenizer.SimpleTokenizer:
            raise ValueError(f"expected CLIP's tokenizer, found {type(tokenizer).__name__}")
    except ValueError as error:
        raise InputError(f"{model}: transformers' CLIPModel cannot represent this model: {error}") from None
    out.mkdir(parents=True, exist_ok=True)
    save_tensors(out / "model.safetensors", weights, {"format": "pt"})
    write_json(out / "preprocessor_config.json", preprocessing)
    write_tokenizer(out, tokenizer)
    # Last, because readers look for it first.
    write_json(out / "config.json", config)
    if found.replay_projector is not None:
        sys.stderr.write(f"{model}: the replay projector is not exported\n")
    sys.stdout.write(f"{out}\n")


def config_for(model_cfg: Mapping[str, Any], logit_scale: float) -> dict[str, Any]:
    """Convert an open_clip model config to a transformers CLIPConfig.

    Raises:
        ValueError: a key has no equivalent.
    """
    for section, known in SUPPORTED.items():
        settings = model_cfg[section] if section else model_cfg
        if unknown := sorted(name for name, value in settings.items() if name not in known and value):
            where = f"{section}." if section else ""
            raise ValueError(f"no equivalent of {', '.join(where + name for name in unknown)}")
    vision, text = model_cfg["vision_cfg"], model_cfg["text_cfg"]
    vision_width, text_width = vision.get("width", 768), text.get("width", 512)
    activation = {"hidden_act": "quick_gelu" if model_cfg.get("quick_gelu") else "gelu", "layer_norm_eps": 1e-5}
    start, end = (open_clip.tokenizer.SimpleTokenizer().encoder[name] for name in SPECIAL)
    return {
        "architectures": ["CLIPModel"],
        "model_type": "clip",
        "projection_dim": model_cfg["embed_dim"],
        "logit_scale_init_value": logit_scale,
        "text_config": {
            "model_type": "clip_text_model",
            "hidden_size": text_width,
            "intermediate_size": int(text_width * text.get("mlp_ratio", 4.0)),
            "num_hidden_layers": text.get("layers", 12),
            "num_attention_heads": text.get("heads", 8),
            "max_position_embeddings": text.get("context_length", 77),
            "vocab_size": text.get("vocab_size", 49408),
            "projection_dim": model_cfg["embed_dim"],
            "bos_token_id": start,
            "eos_token_id": end,
            "pad_token_id": end,
            **activation,
        },
        "vision_config": {
            "model_type": "clip_vision_model",
            "hidden_size": vision_width,
            "intermediate_size": int(vision_width * vision.get("mlp_ratio", 4.0)),
            "num_hidden_layers": vision.get("layers", 12),
            "num_attention_heads": vision_width // vision.get("head_width", 64),
            "image_size": _side(vision.get("image_size", 224)),
            "patch_size": _side(vision.get("patch_size", 16)),
            "projection_dim": model_cfg["embed_dim"],
            **activation,
        },
    }


def preprocessing_for(preprocess_cfg: Mapping[str, Any]) -> dict[str, Any]:
    """Convert open_clip's preprocessing to a transformers CLIPImageProcessor config.

    Raises:
        ValueError: the resizing has no equivalent.
    """
    side, mode = _side(preprocess_cfg["size"]), preprocess_cfg.get("resize_mode", "shortest")
    resampling = preprocess_cfg.get("interpolation", "bicubic")
    if mode not in ("shortest", "squash") or resampling not in RESAMPLING:
        raise ValueError(f"no equivalent of resize mode {mode} with {resampling} interpolation")
    square = {"height": side, "width": side}
    return {
        "image_processor_type": "CLIPImageProcessor",
        "do_convert_rgb": True,
        "do_resize": True,
        "size": {"shortest_edge": side} if mode == "shortest" else square,
        "resample": RESAMPLING[resampling],
        "do_center_crop": mode == "shortest",
        "crop_size": square,
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": list(preprocess_cfg["mean"]),
        "image_std": list(preprocess_cfg["std"]),
    }


def weights_for(weights: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Rename the tensors from open_clip's names to transformers'.

    Raises:
        ValueError: a tensor has no equivalent.
    """
    renamed: dict[str, torch.Tensor] = {}
    for name, tensor in weights.items():
        if name in OTHER_TENSORS:
            renamed[OTHER_TENSORS[name]] = tensor
        elif name in TRANSPOSED:
            renamed[TRANSPOSED[name]] = tensor.T
        else:
            renamed |= _block_tensors(name, tensor)
    return renamed


def _block_tensors(name: str, tensor: torch.Tensor) -> dict[str, torch.Tensor]:
    for tower, prefix in TOWERS.items():
        number, _, part = name.removeprefix(tower).partition(".")
        if not name.startswith(tower) or not number.isdecimal():
            continue
        module, _, kind = part.rpartition(".")
        if module in BLOCK_MODULES:
            return {f"{prefix}{number}.{BLOCK_MODULES[module]}.{kind}": tensor}
        if part in ("attn.in_proj_weight", "attn.in_proj_bias"):
            kind = part.removeprefix("attn.in_proj_")
            parts = zip("qkv", tensor.chunk(3), strict=True)
            return {f"{prefix}{number}.self_attn.{letter}_proj.{kind}": one for letter, one in parts}
    raise ValueError(f"no equivalent of tensor {name}")


def write_tokenizer(out: Path, tokenizer: Any) -> None:
    """Write CLIP's tokenizer as vocabulary and merges, which all versions of transformers read."""
    vocabulary = {SPECIAL.get(token, token): number for token, number in tokenizer.encoder.items()}
    merges = sorted(tokenizer.bpe_ranks, key=tokenizer.bpe_ranks.get)
    write_json(out / "vocab.json", vocabulary)
    write_text(out / "merges.txt", "\n".join(["#version: 0.2", *(" ".join(pair) for pair in merges)]) + "\n")
    start, end = SPECIAL.values()
    write_json(
        out / "tokenizer_config.json",
        {
            "tokenizer_class": "CLIPTokenizer",
            "model_max_length": tokenizer.context_length,
            "bos_token": start,
            "eos_token": end,
            "pad_token": end,
            "unk_token": end,
        },
    )


def _side(size: Any) -> int:
    """The side of a square size, pixels.

    Raises:
        ValueError: the size is not square.
    """
    sides = {size} if isinstance(size, int) else set(size)
    if len(sides) != 1:
        raise ValueError(f"images or patches of {size} pixels are not square")
    return int(sides.pop())


if __name__ == "__main__":
    run(export_transformers)
