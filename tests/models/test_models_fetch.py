"""A model of any source becomes a folder that loads without a network."""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import torch
from safetensors.torch import load_file

from workflow_scripts.common import open_clip_models
from workflow_scripts.common.clip import load
from workflow_scripts.common.config.model_source import ModelSource
from workflow_scripts.common.errors import InputError
from workflow_scripts.common.files import sha256_file
from workflow_scripts.common.open_clip_models import CONFIG_FILE, WEIGHTS_FILE, open_clip
from workflow_scripts.models.fetch import fetch

COMMIT = "0123456789abcdef0123456789abcdef01234567"
TINY = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "patch_size": 16, "width": 32, "layers": 1, "head_width": 16},
    "text_cfg": {"context_length": 32, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
}
SEEN: dict[str, Any] = {"mean": (0.5, 0.5, 0.5), "std": (0.25, 0.25, 0.25)}
IMAGENET = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])


@pytest.fixture(scope="module")
def random(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights, with the normalisation of both papers."""
    folder = tmp_path_factory.mktemp("random") / "model"
    fetch(model=ModelSource(architecture=TINY), out=folder, trainable=True)
    return folder


@pytest.fixture(scope="module")
def architecture(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The tiny model as one that open_clip knows by name."""
    config = tmp_path_factory.mktemp("configs") / "tiny-of-the-tests.json"
    config.write_text(json.dumps(TINY))
    open_clip.add_model_config(config)
    return config.stem


def checkpoint(path: Path, random: Path, **further: torch.Tensor) -> dict[str, torch.Tensor]:
    """A checkpoint of the random weights as BioCLIP 2's code saves one."""
    tensors = load_file(random / WEIGHTS_FILE) | further
    torch.save({"epoch": 30, "state_dict": {f"module.{name}": tensor for name, tensor in tensors.items()}}, path)
    return tensors


def normalisation_of(folder: Path) -> tuple[list[float], list[float]]:
    described = json.loads((folder / CONFIG_FILE).read_text())["preprocess_cfg"]
    return described["mean"], described["std"]


def test_random_weights_are_always_the_same(random: Path, tmp_path: Path) -> None:
    fetch(model=ModelSource(architecture=TINY), out=tmp_path / "again")
    for name in (WEIGHTS_FILE, CONFIG_FILE):
        assert (tmp_path / "again" / name).read_bytes() == (random / name).read_bytes()


def test_a_checkpoint_with_a_second_projector_keeps_it(random: Path, architecture: str, tmp_path: Path) -> None:
    second = torch.randn(32, 16)
    tensors = checkpoint(tmp_path / "epoch_30.pt", random, **{"visual.continual_proj": second})
    fetch(model=ModelSource(start=f"{architecture}:{tmp_path}/epoch_30.pt", **SEEN), out=tmp_path / "model")
    clip = load(f"local-dir:{tmp_path}/model")
    assert clip.replay_projector is not None
    torch.testing.assert_close(clip.replay_projector, second)
    torch.testing.assert_close(clip.model.visual.proj, tensors["visual.proj"], check_stride=False)
    record = json.loads((tmp_path / "model/fetched.json").read_text())
    assert WEIGHTS_FILE in record["files"]
    for name, checksum in record["files"].items():
        assert sha256_file(tmp_path / "model" / name) == checksum
    # A folder's replay projector is kept.
    fetch(model=ModelSource(start=f"local-dir:{tmp_path}/model"), out=tmp_path / "again", trainable=True)
    third = load(f"local-dir:{tmp_path}/again").replay_projector
    assert third is not None
    assert torch.equal(third, second)


@pytest.mark.parametrize("ending", ["pt", "pth", "bin", "safetensors"])
def test_images_are_normalised_as_configured_whatever_a_checkpoint_is_called(
    ending: str, random: Path, tmp_path: Path
) -> None:
    file = tmp_path / f"weights.{ending}"
    if ending == "safetensors":
        shutil.copyfile(random / WEIGHTS_FILE, file)
    else:
        checkpoint(file, random)
    fetch(model=ModelSource(architecture=TINY, start=str(file), **SEEN), out=tmp_path / "model")
    assert normalisation_of(tmp_path / "model") == ([0.5] * 3, [0.25] * 3)
    assert load(f"local-dir:{tmp_path}/model").mean == (0.5, 0.5, 0.5)


def test_a_folder_brings_its_normalisation_and_its_architecture(random: Path, tmp_path: Path) -> None:
    assert normalisation_of(random) == IMAGENET
    fetch(model=ModelSource(start=f"local-dir:{random}"), out=tmp_path / "theirs")
    assert normalisation_of(tmp_path / "theirs") == IMAGENET
    fetch(model=ModelSource(start=f"local-dir:{random}", **SEEN), out=tmp_path / "said")
    assert normalisation_of(tmp_path / "said") == ([0.5] * 3, [0.25] * 3)
    assert (tmp_path / "said" / WEIGHTS_FILE).read_bytes() == (random / WEIGHTS_FILE).read_bytes()


def test_a_folder_that_does_not_say_how_images_were_normalised_is_refused(random: Path, tmp_path: Path) -> None:
    silent = tmp_path / "silent"
    shutil.copytree(random, silent)
    (silent / CONFIG_FILE).write_text(json.dumps({"model_cfg": TINY}))
    said = rf"^local-dir:{silent}: .*mean and std"
    with pytest.raises(InputError, match=said):
        load(f"local-dir:{silent}")
    with pytest.raises(InputError, match=said):
        fetch(model=ModelSource(start=f"local-dir:{silent}"), out=tmp_path / "model")
    fetch(model=ModelSource(start=f"local-dir:{silent}", **SEEN), out=tmp_path / "model")
    assert load(f"local-dir:{tmp_path}/model").std == (0.25, 0.25, 0.25)


def test_further_preprocessing_of_a_folder_is_kept(random: Path, tmp_path: Path) -> None:
    squashing = tmp_path / "squashing"
    shutil.copytree(random, squashing)
    described = json.loads((random / CONFIG_FILE).read_text())
    described["preprocess_cfg"] |= {"resize_mode": "squash", "interpolation": "bilinear"}
    (squashing / CONFIG_FILE).write_text(json.dumps(described))
    fetch(model=ModelSource(start=f"local-dir:{squashing}", **SEEN), out=tmp_path / "model")
    written = json.loads((tmp_path / "model" / CONFIG_FILE).read_text())["preprocess_cfg"]
    assert (written["resize_mode"], written["interpolation"], written["size"]) == ("squash", "bilinear", 32)


def test_weights_of_another_model_leave_what_was_there(random: Path, tmp_path: Path) -> None:
    checkpoint(tmp_path / "good.pt", random)
    torch.save({"state_dict": {"visual.proj": torch.zeros(32, 16)}}, tmp_path / "bad.pt")
    fetch(model=ModelSource(architecture=TINY, start=f"{tmp_path}/good.pt", **SEEN), out=tmp_path / "model")
    before = sorted(path.name for path in (tmp_path / "model").iterdir())
    with pytest.raises(InputError, match=r"bad\.pt: "):
        fetch(model=ModelSource(architecture=TINY, start=f"{tmp_path}/bad.pt", **SEEN), out=tmp_path / "model")
    assert sorted(path.name for path in (tmp_path / "model").iterdir()) == before
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith(".")) == []


def test_a_pickle_that_runs_code_is_not_loaded(tmp_path: Path) -> None:
    torch.save({"state_dict": {"x": Path("would be built by calling its class")}}, tmp_path / "bad.pt")
    with pytest.raises(InputError, match=r"bad\.pt: cannot be loaded"):
        fetch(model=ModelSource(architecture=TINY, start=f"{tmp_path}/bad.pt", **SEEN), out=tmp_path / "model")


def test_one_missing_tensor_is_named(random: Path, tmp_path: Path) -> None:
    state = load_file(random / WEIGHTS_FILE)
    state.pop("ln_final.weight")
    torch.save(state, tmp_path / "other.bin")
    with pytest.raises(InputError, match=r"1 tensors missing \(ln_final.weight\)"):
        fetch(model=ModelSource(architecture=TINY, start=f"{tmp_path}/other.bin", **SEEN), out=tmp_path / "model")


@pytest.mark.parametrize(
    ("start", "complaint"),
    [("nowhere.pth", "nowhere.pth: missing"), ("local-dir:nowhere", "nowhere: not an open_clip directory")],
)
def test_weights_that_are_not_there_are_named(start: str, complaint: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=complaint):
        fetch(model=ModelSource(architecture=TINY, start=start, **SEEN), out=tmp_path / "model")


def test_what_cannot_be_trained_is_refused_when_it_is_fetched(random: Path, tmp_path: Path) -> None:
    foreign = tmp_path / "foreign"
    shutil.copytree(random, foreign)
    described = json.loads((random / CONFIG_FILE).read_text())
    described["model_cfg"]["vision_cfg"]["timm_model_name"] = "vit_tiny_patch16_224"
    (foreign / CONFIG_FILE).write_text(json.dumps(described))
    with pytest.raises(InputError, match=rf"local-dir:{foreign}: .*timm_model_name"):
        fetch(model=ModelSource(start=f"local-dir:{foreign}"), out=tmp_path / "model", trainable=True)


def test_weights_trained_with_another_activation_are_refused(random: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"quick_gelu"):
        fetch(
            model=ModelSource(architecture=TINY | {"quick_gelu": True}, start=f"local-dir:{random}"),
            out=tmp_path / "model",
        )


def test_a_hub_timm_model_is_fetched_at_its_commit(
    vision_model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved = Path(vision_model.removeprefix("timm:local-dir:"))
    asked = []

    def snapshot(name: str, *, revision: str, allow_patterns: list[str]) -> str:
        asked.append((name, revision))
        return str(saved)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    source = ModelSource(start=f"timm:hf-hub:timm/tiny@{COMMIT}")
    fetch(model=source, out=tmp_path / "model")
    assert asked == [("timm/tiny", COMMIT)]
    assert not load(f"timm:local-dir:{tmp_path}/model").has_text
    empty = tmp_path / "empty"
    shutil.copytree(saved, empty, ignore=shutil.ignore_patterns("*.safetensors", "*.bin"))
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *_, **__: str(empty))
    with pytest.raises(InputError, match=r"timm/tiny@.*model\.safetensors"):
        fetch(model=source, out=tmp_path / "none")


def test_weights_of_a_tag_are_normalised_as_open_clip_knows(
    random: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For a known tag, only the file is replaced, by that of the tiny model."""
    monkeypatch.setattr(open_clip_models, "model_config", lambda name: TINY)
    monkeypatch.setattr(open_clip, "download_pretrained", lambda known: random / WEIGHTS_FILE)
    fetch(model=ModelSource(start="ViT-L-14:laion2b_s32b_b82k"), out=tmp_path / "model", trainable=True)
    assert normalisation_of(tmp_path / "model") == ([0.5] * 3, [0.5] * 3)
    assert (tmp_path / "model" / WEIGHTS_FILE).read_bytes() == (random / WEIGHTS_FILE).read_bytes()


def test_a_package_that_only_some_tokenizers_need_is_named_before_anything_is_fetched(
    random: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The package is not installed by this project.
    monkeypatch.setitem(sys.modules, "transformers", None)
    monkeypatch.setattr(open_clip, "download_pretrained", lambda *_: pytest.fail("fetched"))
    with pytest.raises(InputError, match=r"^ViT-B-16-SigLIP: its tokenizer needs transformers.*pip install tr"):
        fetch(model=ModelSource(start="ViT-B-16-SigLIP:webli"), out=tmp_path / "model")
    folder = tmp_path / "siglip"
    shutil.copytree(random, folder)
    described = json.loads((folder / CONFIG_FILE).read_text())
    described["model_cfg"]["text_cfg"]["hf_tokenizer_name"] = "timm/ViT-B-16-SigLIP"
    (folder / CONFIG_FILE).write_text(json.dumps(described))
    with pytest.raises(InputError, match=rf"^local-dir:{folder}: its tokenizer needs transformers"):
        load(f"local-dir:{folder}")
