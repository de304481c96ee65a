"""Models on a command line, in all accepted forms."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.messages import says
from workflow_scripts.common.errors import InputError
from workflow_scripts.common.typed_models import model_name, typed_model

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run's folder in the working folder."""
    model = tmp_path / "results/runs/demo/model"
    model.mkdir(parents=True)
    (model / "open_clip_config.json").write_text("{}")
    for name in ("model/open_clip_model.safetensors", "model/epoch_9.pt", "epoch_9.pt"):
        (model.parent / name).touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    return model.parent


@pytest.mark.parametrize(
    "typed",
    [
        "results/runs/demo/model",
        "results/runs/demo/model/",
        "./results/runs/demo/model",
        "results/runs/demo",
        "results/runs/demo/model/open_clip_config.json",
        "results/runs/demo/model/open_clip_model.safetensors",
        "local-dir:results/runs/demo/model/",
        "local-dir:~/results/runs/demo/model",
        "~/results/runs/demo/model",
        "{absolute}/model",
    ],
)
def test_a_models_folder_is_found_in_any_spelling(run: Path, typed: str) -> None:
    source = typed_model(typed.format(absolute=run))
    assert (source.kind, Path(source.place).resolve()) == ("folder", run / "model")
    assert model_name(source) == "demo"


def test_a_timm_models_folder_needs_no_prefix(run: Path, tmp_path: Path) -> None:
    folder = tmp_path / "dino"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"architecture": "vit"}))
    assert not typed_model("dino").has_text
    assert model_name(typed_model("timm:local-dir:dino")) == "dino"


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ("results/runs/dmeo/model", ["results/runs/dmeo/model", "no such folder"]),
        ("imageomics/bioclip-2", ["imageomics/bioclip-2", "hf-hub:NAME"]),
        ("results", ["results", "open_clip_config.json"]),
        ("local-dir:nowhere", ["nowhere", "no such folder"]),
        ("results/runs/demo/model/epoch_9.pt", ["epoch_9.pt", "open_clip_model.safetensors"]),
        ("local-dir:results/runs/demo/epoch_9.pt", ["epoch_9.pt", "open_clip_model.safetensors"]),
        ("hf-hub:", ["hf-hub:", "hf-hub:OWNER/NAME"]),
        ("timm:hf-hub:bioclip-2", ["bioclip-2", "hf-hub:OWNER/NAME"]),
        ("bioclip", ["bioclip", "no such folder", "ARCHITECTURE:TAG"]),
        ("ViT-B-16:openia", ["ViT-B-16", "openia"]),
    ],
)
def test_an_invalid_model_is_named(run: Path, typed: str, told: list[str]) -> None:
    with pytest.raises(InputError) as refused:
        typed_model(typed)
    assert says(str(refused.value), *told)


def test_other_sources_are_those_of_the_config(run: Path) -> None:
    assert str(typed_model("ViT-B-16-quickgelu:openai")) == "ViT-B-16-quickgelu:openai"
    assert typed_model(f"hf-hub:imageomics/bioclip-2@{COMMIT}").place == f"imageomics/bioclip-2@{COMMIT}"


def test_a_hub_model_without_a_commit_is_the_newest_or_the_one_that_was_fetched(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.HfApi.model_info", lambda _, name: SimpleNamespace(sha=COMMIT))
    assert typed_model("hf-hub:a/b").place == f"a/b@{COMMIT}"
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    cached = f"/cache/models--a--b/snapshots/{COMMIT[::-1]}/open_clip_config.json"
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda name, file: cached)
    assert typed_model("hf-hub:a/b").place == f"a/b@{COMMIT[::-1]}"
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda name, file: None)
    with pytest.raises(InputError, match="HF_HUB_OFFLINE"):
        typed_model("hf-hub:a/b")
