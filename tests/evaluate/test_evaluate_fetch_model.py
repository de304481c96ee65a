"""A baseline of any source becomes a folder that loads without a network."""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from workflow_scripts.common.clip import CONFIG_FILE, load, open_clip
from workflow_scripts.common.config.baselines import parse_baseline
from workflow_scripts.common.errors import InputError
from workflow_scripts.common.files import sha256_file
from workflow_scripts.evaluate import fetch_model as module
from workflow_scripts.evaluate.fetch_model import fetch_model

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def architecture(models: dict[str, str], tmp_path: Path) -> str:
    """A tiny model that open_clip knows by name."""
    config = tmp_path / "tiny-of-the-tests.json"
    described = (Path(models["start"].removeprefix("local-dir:")) / CONFIG_FILE).read_text()
    config.write_text(json.dumps(json.loads(described)["model_cfg"]))
    open_clip.add_model_config(config)
    return config.stem


def checkpoint(path: Path, architecture: str, **further: torch.Tensor) -> dict[str, Any]:
    """A checkpoint as BioCLIP 2's code saves one."""
    torch.manual_seed(3)
    tensors = open_clip.create_model(architecture).state_dict() | further
    saved = {f"module.{name}": tensor for name, tensor in tensors.items()}
    torch.save({"epoch": 30, "state_dict": saved}, path)
    return dict(tensors)


def test_a_checkpoint_with_a_second_projector_keeps_it(tmp_path: Path, architecture: str) -> None:
    second = torch.randn(32, 16)
    tensors = checkpoint(tmp_path / "epoch_30.pt", architecture, **{"visual.continual_proj": second})
    fetch_model(source=f"{architecture}:{tmp_path}/epoch_30.pt", out=tmp_path / "model")
    clip = load(f"local-dir:{tmp_path}/model")
    assert clip.replay_projector is not None
    torch.testing.assert_close(clip.replay_projector, second)
    torch.testing.assert_close(clip.model.visual.proj, tensors["visual.proj"], check_stride=False)
    record = json.loads((tmp_path / "model/fetched.json").read_text())
    for name, checksum in record["files"].items():
        assert sha256_file(tmp_path / "model" / name) == checksum


def test_weights_of_another_model_leave_what_was_there(tmp_path: Path, architecture: str) -> None:
    checkpoint(tmp_path / "good.pt", architecture)
    torch.save({"state_dict": {"visual.proj": torch.zeros(32, 16)}}, tmp_path / "bad.pt")
    fetch_model(source=f"{architecture}:{tmp_path}/good.pt", out=tmp_path / "model")
    before = sorted(path.name for path in (tmp_path / "model").iterdir())
    with pytest.raises(InputError, match=r"bad\.pt: not the weights of this model"):
        fetch_model(source=f"{architecture}:{tmp_path}/bad.pt", out=tmp_path / "model")
    assert sorted(path.name for path in (tmp_path / "model").iterdir()) == before
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith(".")) == []


def test_a_timm_model_of_the_hub_is_had_at_its_commit(
    vision_model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved = Path(vision_model.removeprefix("timm:local-dir:"))
    asked = []

    def snapshot(name: str, *, revision: str, allow_patterns: list[str]) -> str:
        asked.append((name, revision))
        return str(saved)

    monkeypatch.setattr(module, "snapshot_download", snapshot)
    fetch_model(source=f"timm:hf-hub:timm/tiny@{COMMIT}", out=tmp_path / "model")
    assert asked == [("timm/tiny", COMMIT)]
    assert not load(f"timm:local-dir:{tmp_path}/model").has_text
    empty = tmp_path / "empty"
    shutil.copytree(saved, empty, ignore=shutil.ignore_patterns("*.safetensors", "*.bin"))
    monkeypatch.setattr(module, "snapshot_download", lambda *_, **__: str(empty))
    with pytest.raises(InputError, match=r"holds no config\.json with model\.safetensors"):
        fetch_model(source=f"timm:hf-hub:timm/tiny@{COMMIT}", out=tmp_path / "none")


def test_what_open_clip_does_not_know_is_named(tmp_path: Path) -> None:
    for source, message in (
        ("ViT-B-16:no_such_tag", "no such weights; tags of ViT-B-16: openai"),
        ("NoSuchModel:openai", "knows no such model"),
        ("ViT-B-16:openai", "want the other GELU; name the model ViT-B-16-quickgelu"),
    ):
        with pytest.raises(InputError, match=message):
            fetch_model(source=source, out=tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_a_package_that_only_some_tokenizers_need_is_named_before_anything_is_fetched(
    tmp_path: Path, models: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # As where the package is not installed, which it is not by this project.
    monkeypatch.setitem(sys.modules, "transformers", None)
    monkeypatch.setattr(module.clip, "weights_of_tag", lambda *_: pytest.fail("fetched"))
    with pytest.raises(InputError, match=r"^ViT-B-16-SigLIP: its tokenizer needs transformers: .*pip install tr"):
        fetch_model(source="ViT-B-16-SigLIP:webli", out=tmp_path / "model")
    folder = tmp_path / "siglip"
    shutil.copytree(models["start"].removeprefix("local-dir:"), folder)
    described = json.loads((folder / CONFIG_FILE).read_text())
    described["model_cfg"]["text_cfg"]["hf_tokenizer_name"] = "timm/ViT-B-16-SigLIP"
    (folder / CONFIG_FILE).write_text(json.dumps(described))
    with pytest.raises(InputError, match=rf"^local-dir:{folder}: its tokenizer needs transformers"):
        load(f"local-dir:{folder}")


@pytest.mark.parametrize(
    ("source", "kind", "place"),
    [
        ("start", "start", ""),
        ("local-dir:models/mine", "folder", "models/mine"),
        (f"hf-hub:imageomics/bioclip-2@{COMMIT}", "hub", f"imageomics/bioclip-2@{COMMIT}"),
        ("ViT-L-14:laion2b_s32b_b82k", "tag", "laion2b_s32b_b82k"),
        ("ViT-L-14:checkpoints/epoch_30.pt", "file", "checkpoints/epoch_30.pt"),
        ("timm:local-dir:dino", "folder", "dino"),
        (f"timm:hf-hub:timm/vit@{COMMIT}", "hub", f"timm/vit@{COMMIT}"),
    ],
)
def test_a_source_is_read(source: str, kind: str, place: str) -> None:
    baseline = parse_baseline(source)
    assert (baseline.kind, baseline.place, baseline.has_text) == (kind, place, not source.startswith("timm:"))


@pytest.mark.parametrize(
    "source",
    ["hf-hub:imageomics/bioclip", "hf-hub:a/b@main", "timm:hf-hub:a/b", "timm:ViT-B-16:openai", "openai", "a:"],
)
def test_an_unpinned_or_unknown_source_is_refused(source: str) -> None:
    with pytest.raises(ValueError, match=r"names no commit|is none of"):
        parse_baseline(source)
