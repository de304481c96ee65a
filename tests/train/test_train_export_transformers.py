"""A model exported for Hugging Face transformers is the same model.

Features are computed from the folder alone, and by transformers itself where `make transformers` has installed it.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import load_file

from tests.messages import says
from tests.transformers_library import transformers
from workflow_scripts.common.clip import Clip, encode_image, encode_text, load, preprocess
from workflow_scripts.common.errors import InputError
from workflow_scripts.common.open_clip_models import open_clip
from workflow_scripts.train.export_transformers import (
    config_for,
    export_transformers,
    preprocessing_for,
    weights_for,
)

TEXTS = [
    "a photo of Animalia Chordata Aves Passeriformes Corvidae Pica hudsonia with common name black-billed magpie.",
    "a photo of Pica.",
    "Kākā 12.5 × 3, s'kay  X",
]
PICTURE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (50, 40, 3), dtype=np.uint8))


@pytest.fixture(params=[False, True], ids=["gelu", "quick_gelu"])
def written(request: pytest.FixtureRequest, start: Path, tmp_path: Path) -> tuple[Clip, Path]:
    """A model, and its exported folder."""
    model = tmp_path / "model"
    model.mkdir()
    for path in start.iterdir():
        (model / path.name).write_bytes(path.read_bytes())
    described = json.loads((model / "open_clip_config.json").read_text())
    described["model_cfg"]["quick_gelu"] = request.param
    (model / "open_clip_config.json").write_text(json.dumps(described))
    export_transformers(model=str(model), out=tmp_path / "out")
    return load(f"local-dir:{model}"), tmp_path / "out"


def linear(weights: dict[str, torch.Tensor], name: str, values: torch.Tensor) -> torch.Tensor:
    return F.linear(values, weights[f"{name}.weight"], weights.get(f"{name}.bias"))


def norm(weights: dict[str, torch.Tensor], name: str, values: torch.Tensor) -> torch.Tensor:
    return F.layer_norm(values, values.shape[-1:], weights[f"{name}.weight"], weights[f"{name}.bias"], 1e-5)


def blocks(
    weights: dict[str, torch.Tensor], tower: str, config: dict[str, Any], x: torch.Tensor, *, causal: bool
) -> torch.Tensor:
    """A tower's blocks, implemented from CLIP's paper and the documentation of transformers."""

    def heads(values: torch.Tensor) -> torch.Tensor:
        return values.unflatten(-1, (config["num_attention_heads"], -1)).transpose(-3, -2)

    for number in range(config["num_hidden_layers"]):
        name = f"{tower}.encoder.layers.{number}"
        normed = norm(weights, f"{name}.layer_norm1", x)
        q, k, v = (heads(linear(weights, f"{name}.self_attn.{letter}_proj", normed)) for letter in "qkv")
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=causal).transpose(-3, -2).flatten(-2)
        x = x + linear(weights, f"{name}.self_attn.out_proj", mixed)
        hidden = linear(weights, f"{name}.mlp.fc1", norm(weights, f"{name}.layer_norm2", x))
        hidden = hidden * torch.sigmoid(1.702 * hidden) if config["hidden_act"] == "quick_gelu" else F.gelu(hidden)
        x = x + linear(weights, f"{name}.mlp.fc2", hidden)
    return x


def test_the_folder_alone_gives_the_models_features(written: tuple[Clip, Path]) -> None:
    ours, folder = written
    weights, config = load_file(folder / "model.safetensors"), json.loads((folder / "config.json").read_text())
    vision, text = config["vision_config"], config["text_config"]
    pixels = preprocess(ours)(PICTURE)[None]
    at = "vision_model.embeddings"
    patches = F.conv2d(pixels, weights[f"{at}.patch_embedding.weight"], stride=vision["patch_size"])
    x = torch.cat([weights[f"{at}.class_embedding"].expand(1, 1, -1), patches.flatten(2).transpose(1, 2)], dim=1)
    x = norm(weights, "vision_model.pre_layrnorm", x + weights[f"{at}.position_embedding.weight"])
    x = norm(weights, "vision_model.post_layernorm", blocks(weights, "vision_model", vision, x, causal=False)[:, 0])
    torch.testing.assert_close(linear(weights, "visual_projection", x), encode_image(ours, pixels), atol=1e-5, rtol=0)
    tokens = ours.tokenizer(TEXTS)
    at = "text_model.embeddings"
    y = weights[f"{at}.token_embedding.weight"][tokens] + weights[f"{at}.position_embedding.weight"]
    y = norm(weights, "text_model.final_layer_norm", blocks(weights, "text_model", text, y, causal=True))
    ends = (tokens == text["eos_token_id"]).int().argmax(dim=1)
    found = linear(weights, "text_projection", y[torch.arange(len(TEXTS)), ends])
    torch.testing.assert_close(found, encode_text(ours, TEXTS), atol=1e-5, rtol=0)
    assert weights["logit_scale"] == ours.model.logit_scale


def test_the_tokenizers_files_are_clips_own(written: tuple[Clip, Path]) -> None:
    ours, folder = written
    vocabulary = json.loads((folder / "vocab.json").read_text())
    tokenizer: Any = ours.tokenizer
    pairs = [tuple(line.split(" ")) for line in (folder / "merges.txt").read_text().splitlines()[1:]]
    assert {pair: rank for rank, pair in enumerate(pairs)} == tokenizer.bpe_ranks
    assert (vocabulary["<|startoftext|>"], vocabulary["<|endoftext|>"]) == (49406, 49407)
    assert sorted(vocabulary.values()) == list(range(49408))
    assert json.loads((folder / "tokenizer_config.json").read_text())["model_max_length"] == ours.context_length


def test_the_library_itself_has_the_same_features_and_tokens(
    written: tuple[Clip, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    library = transformers(monkeypatch)
    ours, folder = written
    theirs = library.CLIPModel.from_pretrained(folder).eval()
    processor = library.CLIPProcessor.from_pretrained(folder)
    given = processor(text=TEXTS, images=PICTURE, return_tensors="pt", padding=True)
    pixels = preprocess(ours)(PICTURE)[None]
    with torch.inference_mode():
        told = theirs(**given | {"pixel_values": pixels})
    expected_image = F.normalize(encode_image(ours, pixels), dim=-1)
    torch.testing.assert_close(told.image_embeds, expected_image, atol=1e-5, rtol=0)
    torch.testing.assert_close(told.text_embeds, F.normalize(encode_text(ours, TEXTS), dim=-1), atol=1e-5, rtol=0)
    # The two libraries resize with different implementations.
    assert float((given["pixel_values"] - pixels).abs().max()) < 0.1


def test_a_model_without_an_equivalent_in_transformers_is_refused(start: Path, tmp_path: Path) -> None:
    config = json.loads((start / "open_clip_config.json").read_text())["model_cfg"]
    for section, setting in (
        ("vision_cfg", "attentional_pool"),
        ("text_cfg", "embed_cls"),
        ("vision_cfg", "timm_model"),
    ):
        with pytest.raises(ValueError, match=rf"{section}\.{setting}"):
            config_for({**config, section: {**config[section], setting: True}}, 1.0)
    with pytest.raises(ValueError, match=r"visual\.attn_pool"):
        weights_for({"visual.attn_pool.query": torch.zeros(1)})
    seen = {"size": 32, "mean": [0.5] * 3, "std": [0.5] * 3}
    with pytest.raises(ValueError, match="longest"):
        preprocessing_for({**seen, "resize_mode": "longest"})
    assert preprocessing_for({**seen, "resize_mode": "squash"})["size"] == {"height": 32, "width": 32}
    with pytest.raises(ValueError, match="not square"):
        preprocessing_for({**seen, "size": [32, 64]})
    (tmp_path / "own").mkdir()
    (tmp_path / "own/config.json").write_text("{}")
    with pytest.raises(InputError) as refused:
        export_transformers(model=str(start), out=tmp_path / "own")
    assert says(str(refused.value), str(tmp_path / "own"), "empty folder", "--out")
    assert [path.name for path in (tmp_path / "own").iterdir()] == ["config.json"]
    with pytest.raises(InputError) as refused:
        export_transformers(model=str(tmp_path / "nowhere"), out=tmp_path / "out")
    assert says(str(refused.value), "nowhere", "no such folder")


@pytest.mark.parametrize("name", ["ViT-B-16", "ViT-L-14", "ViT-H-14", "ViT-B-16-quickgelu"])
def test_the_papers_architectures_can_be_written(name: str) -> None:
    config = config_for(open_clip.get_model_config(name), 1.0)
    assert config["vision_config"]["hidden_size"] % config["vision_config"]["num_attention_heads"] == 0
