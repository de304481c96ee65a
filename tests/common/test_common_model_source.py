"""Sources of models are parsed in one place, and errors are reported before anything runs."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from workflow_scripts.common.config.model_source import Baseline, ModelSource, model_source
from workflow_scripts.common.config.root import load_config, read_yaml
from workflow_scripts.common.config.site import SiteSettings
from workflow_scripts.common.config.train import ModelSettings
from workflow_scripts.common.errors import InputError

ROOT = Path(__file__).parents[2]
COMMIT = "0123456789abcdef0123456789abcdef01234567"
TINY = {"embed_dim": 16, "vision_cfg": {}, "text_cfg": {}}
SEEN = {"mean": [0.5] * 3, "std": [0.25] * 3}


@pytest.mark.parametrize(
    ("source", "kind", "place", "architecture"),
    [
        ("start", "run", "", None),
        ("local-dir:models/mine", "folder", "models/mine", None),
        (f"hf-hub:imageomics/bioclip-2@{COMMIT}", "hub", f"imageomics/bioclip-2@{COMMIT}", None),
        ("ViT-L-14:laion2b_s32b_b82k", "tag", "laion2b_s32b_b82k", "ViT-L-14"),
        ("timm:local-dir:dino", "folder", "dino", None),
        (f"timm:hf-hub:timm/vit@{COMMIT}", "hub", f"timm/vit@{COMMIT}", None),
        ({"start": "ViT-L-14:checkpoints/epoch_30.pt", **SEEN}, "file", "checkpoints/epoch_30.pt", "ViT-L-14"),
        ({"architecture": "ViT-L-14", "start": "a:b/epoch_30.bin", **SEEN}, "file", "a:b/epoch_30.bin", "ViT-L-14"),
        ({"architecture": TINY, "start": "epoch_30.safetensors", **SEEN}, "file", "epoch_30.safetensors", TINY),
        ({"architecture": "ViT-L-14", "start": "laion2b_s32b_b82k"}, "tag", "laion2b_s32b_b82k", "ViT-L-14"),
    ],
)
def test_a_source_is_read(source: Any, kind: str, place: str, architecture: Any) -> None:
    found = Baseline.model_validate(source)
    assert (found.kind, found.place, found.given_architecture) == (kind, place, architecture)
    assert found.has_text == ("timm" not in str(source))
    assert Baseline.model_validate_json(found.to_json()) == found


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("hf-hub:imageomics/bioclip", ["start", "hf-hub:NAME@COMMIT"]),
        ("hf-hub:a/b@main", ["hf-hub:a/b@main", "hf-hub:NAME@COMMIT"]),
        ("timm:hf-hub:a/b", ["timm:hf-hub:a/b", "hf-hub:NAME@COMMIT"]),
        ("timm:ViT-B-16:openai", ["timm:ViT-B-16:openai", "local-dir:PATH"]),
        ("openai", ["'openai'", "local-dir:PATH"]),
        ("a:", ["'a:'"]),
        ("strat", ["'strat'", "did you mean start?"]),
        ({}, ["start"]),
        ("pretrain", ["'pretrain'"]),
        ("ViT-B16:openai", ["ViT-B16", "did you mean ViT-B-16?"]),
        ("ViT-B-16-quickgelu:opneai", ["opneai", "ViT-B-16-quickgelu", "did you mean openai?"]),
        ("ViT-L-14:zzz", ["zzz", "laion2b_s32b_b82k"]),
        ("ViT-B-16:openai", ["'openai'", "QuickGELU", "ViT-B-16-quickgelu"]),
        ("ViT-B-16-quickgelu:laion400m_e31", ["laion400m_e31", "ViT-B-16-quickgelu"]),
        ("ViT-B-16:epoch_30.pt", ["epoch_30.pt", "mean", "std"]),
        ("ViT-B-16:epoch_30.bin", ["epoch_30.bin", "mean", "std"]),
        ({"start": "ViT-B-16:epoch_30.pt", "mean": [0.5] * 3}, ["mean and std"]),
        ({"start": "timm:local-dir:dino", **SEEN}, ["timm:local-dir:dino", "mean"]),
        ({"architecture": {"embed_dim": 16}, "start": "x.pt", **SEEN}, ["architecture", "vision_cfg, text_cfg"]),
        ({"architecture": TINY, "start": "openai"}, ["openai", "architecture"]),
        ({"architecture": {**TINY, "embed_dmi": 8}, "start": "x.pt", **SEEN}, ["embed_dmi", "unknown key"]),
        (
            {"architecture": {**TINY, "vision_cfg": {"wdith": 8}}, "start": "x.pt", **SEEN},
            ["architecture", "vision_cfg.wdith", "unknown key", "width"],
        ),
        ({"architecture": {**TINY, "text_cfg": None}, "start": "x.pt", **SEEN}, ["text_cfg"]),
    ],
)
def test_an_invalid_source_is_refused_with_a_remedy(source: Any, said: list[str]) -> None:
    with pytest.raises(ValidationError) as error:
        Baseline.model_validate(source)
    (problem,) = error.value.errors()
    text = f"{problem['loc']} {problem['msg']}"
    assert all(word in text for word in said), text


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, "architecture: missing"),
        ({"start": "pretrain"}, "architecture: missing"),
        ({"start": "hf-hub:imageomics/bioclip-2"}, "NAME@COMMIT"),
        ({"architecture": "ViT-B-16", "start": "weights.pt"}, "give both"),
        ({"architecture": "ViT-B-16", "start": "weights.bin"}, "give both"),
        ({"architecture": "ViT-B-16", "mean": (0.5, 0.5, 0.5)}, "mean and std"),
        ({"architecture": "ViT-B-16-SigLIP", "start": "webli"}, "only open_clip's own ViT CLIP"),
        ({"start": "ViT-B-16-SigLIP:webli"}, "only open_clip's own ViT CLIP"),
        ({"start": "timm:local-dir:dino"}, "timm:local-dir:dino"),
        ({"architecture": "ViT-B-16", "start": "start"}, "'start'"),
    ],
)
def test_what_the_trainer_cannot_start_from_is_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        ModelSettings(**settings)


@pytest.mark.parametrize("architecture", [TINY, "ViT-B-16", None])
def test_a_misspelt_pretrain_is_one_line_before_anything_runs(architecture: Any) -> None:
    values = read_yaml(ROOT / "config/config.yaml")
    values["model"] = {"architecture": architecture, "start": "pretrian"}
    with pytest.raises(InputError) as error:
        load_config(values, "my.yaml", SiteSettings())
    text = str(error.value)
    assert text.startswith("my.yaml: model.start: ") and "\n" not in text
    assert "'pretrian'" in text and "did you mean pretrain?" in text


def test_a_baseline_that_open_clip_does_not_know_is_named_by_its_key() -> None:
    values = read_yaml(ROOT / "config/config.yaml")
    values["baselines"] = {"clip": "ViT-B-16-quickgelu:opneai"}
    with pytest.raises(InputError, match=r"^my.yaml: baselines\.clip: .*opneai.*did you mean openai\?$"):
        load_config(values, "my.yaml", SiteSettings())
    values["baselines"] = {"mine": {"start": "ViT-B-16:mine.pt", **SEEN}}
    assert load_config(values, "my.yaml", SiteSettings()).baselines["mine"].files == ["mine.pt"]


def test_a_folder_is_taken_as_it_is_unless_something_is_said_besides(tmp_path: Path) -> None:
    folder = f"local-dir:{tmp_path}"
    assert ModelSource(start=folder).is_ready
    assert not ModelSource(start=folder, architecture="ViT-B-16").is_ready
    assert not ModelSource.model_validate({"start": folder, **SEEN}).is_ready
    assert ModelSource(start=folder).files == [f"{tmp_path}/open_clip_config.json"]
    for name in ("notes.txt", "open_clip_config.json", "weights.bin"):
        (tmp_path / name).touch()
    assert ModelSource(start=folder).files == [f"{tmp_path}/open_clip_config.json", f"{tmp_path}/weights.bin"]


def test_a_command_takes_a_source_in_a_word_or_as_json() -> None:
    assert model_source("local-dir:a").place == "a"
    assert model_source(ModelSource(architecture=TINY, start="a.pt", **SEEN).to_json()).kind == "file"
    for text in ("nonsense", "start", '{"start": "ViT-B-16:a.pt"}', '{"strat": "x"}', "{"):
        with pytest.raises(InputError, match=r"^[^\n]*$"):
            model_source(text)
