"""A tiny random model and a small benchmark of drawn images."""

import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from workflow_scripts.common.open_clip_models import (
    CONFIG_FILE,
    REPLAY_PROJECTOR_FILE,
    REPLAY_PROJECTOR_KEY,
    WEIGHTS_FILE,
    open_clip,
)
from workflow_scripts.common.tables import write_rows
from workflow_scripts.contracts import BENCHMARK_IMAGES, RANKS

CONFIG = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "patch_size": 16, "width": 32, "layers": 1, "head_width": 16},
    "text_cfg": {"context_length": 48, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2},
}
CLASSES = ("Pica hudsonia", "Corvus corax", "Apis mellifera")
IMAGES_PER_CLASS = 4


def make_model(folder: Path, seed: int, *, replay: bool = False) -> Path:
    """An open_clip directory with random weights."""
    folder.mkdir()
    torch.manual_seed(seed)
    model = open_clip.CLIP(**CONFIG)
    save_file(model.state_dict(), folder / WEIGHTS_FILE)
    if replay:
        save_file({REPLAY_PROJECTOR_KEY: torch.randn(32, 16)}, folder / REPLAY_PROJECTOR_FILE)
    described = {"model_cfg": CONFIG, "preprocess_cfg": {"mean": [0.5] * 3, "std": [0.5] * 3}}
    (folder / CONFIG_FILE).write_text(json.dumps(described))
    return folder


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Two models by name, the first one with a replay projector."""
    folder = tmp_path_factory.mktemp("models")
    ours, start = make_model(folder / "ours", 0, replay=True), make_model(folder / "start", 1)
    return {"ours": f"local-dir:{ours}", "start": f"local-dir:{start}"}


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """The images table of a benchmark of twelve images, every other one within a tar."""
    generator = np.random.default_rng(0)
    rows = []
    with tarfile.open(tmp_path / "images.tar", "w") as tar:
        for position in range(len(CLASSES) * IMAGES_PER_CLASS):
            name = CLASSES[position % len(CLASSES)]
            packed = io.BytesIO()
            pixels = generator.integers(0, 255, (40, 50, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(packed, "PNG")
            path: Path = tmp_path / f"{position}.png"
            path.write_bytes(packed.getvalue())
            member = tarfile.TarInfo(path.name)
            member.size = path.stat().st_size
            offset = tar.offset + tarfile.BLOCKSIZE
            tar.addfile(member, io.BytesIO(packed.getvalue()))
            in_tar = position % 2
            genus, species = name.split()
            ranks = dict(zip(RANKS, ("Animalia", None, None, None, None, genus, species), strict=True))
            rows.append(
                {
                    "position": position,
                    "image": f"{name}/{position}.png",
                    "path": str(tmp_path / "images.tar" if in_tar else path),
                    "offset": offset if in_tar else None,
                    "size": member.size if in_tar else None,
                    "md5": f"{position:032x}",
                    "class": name,
                    **{f"taxon_{rank}": value for rank, value in ranks.items()},
                }
            )
    table = tmp_path / "images.parquet"
    write_rows(rows, BENCHMARK_IMAGES, table)
    return table
