"""Steps that tests start as commands find the project, and use one thread each; tests may fork."""

import gc
import importlib
import os
from pathlib import Path

import pytest

os.environ["PYTHONPATH"] = str(Path(__file__).resolve().parents[1])
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"

# A forked rank must not free what earlier tests left to the collector: that may wait for threads it does not have.
os.register_at_fork(after_in_child=gc.freeze)


@pytest.fixture(scope="session")
def vision_model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A tiny timm model with random weights, saved as its library saves one."""
    importlib.import_module("workflow_scripts.common.open_clip_models")
    timm, torch = importlib.import_module("timm"), importlib.import_module("torch")
    folder = tmp_path_factory.mktemp("vision") / "vit"
    arguments = {"img_size": 32, "patch_size": 16, "embed_dim": 24, "depth": 1, "num_heads": 2}
    torch.manual_seed(0)
    model = timm.create_model("vit_tiny_patch16_224", **arguments)
    described = {"input_size": (3, 32, 32), "mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
    timm.models.save_for_hf(model, folder, model_config=described, model_args=arguments, safe_serialization=True)
    return f"timm:local-dir:{folder}"
