"""Benches of judges: images a second by the whole step, beside the model's forward pass alone. `screening.py clip`."""

import io
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from rows import MeasuredValues, print_rows, sized

from workflow_scripts.common import tables, tars
from workflow_scripts.common.clip import preprocess
from workflow_scripts.common.config.evaluate import EmbedLimits
from workflow_scripts.common.open_clip_models import open_clip, save_model
from workflow_scripts.contracts import CATALOG, DOWNLOADS
from workflow_scripts.screen.clip import judge_by_class
from workflow_scripts.screen.embeddings import write_embeddings
from workflow_scripts.screen.model import CPU_BATCH, ImageEncoder

THREADS = 2
# The image tower of a ViT-B/32; no text is embedded.
VISION = sized(
    {"image_size": 224, "layers": 12, "width": 768, "patch_size": 32},
    {"image_size": 32, "layers": 1, "width": 64, "patch_size": 16},
)
TEXT = {"context_length": 16, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1}
IMAGES = sized(192, 16)
# As downloads are kept: the longer side 720 px, JPEG quality 95.
SIDES = (720, 540)


def pictures(folder: Path) -> None:
    """A part of downloaded photo-like images."""
    random = np.random.default_rng(0)
    samples, rows, downloads = [], [], []
    for number in range(IMAGES):
        coarse = random.integers(0, 255, (27, 36, 3), dtype=np.uint8)
        data = io.BytesIO()
        Image.fromarray(coarse).resize(SIDES, Image.Resampling.BICUBIC).save(data, "JPEG", quality=95)
        samples.append((f"u{number:05d}", {"jpg": data.getvalue()}))
    places = tars.write_tar(folder / "download/part-0000/images.tar", samples)
    for (name, _), place in zip(samples, places, strict=True):
        rows.append(
            {"uuid": name, "label_id": "l", "data_source": "t", "source_url": "http://a/", "host": "a"}
            | {"generation": 0, "part": 0}
        )
        spot = {"tar": "images.tar", "offset": place["jpg"].offset, "size": place["jpg"].size}
        downloads.append({"uuid": name, "status": "ok", "attempts": 1, "md5": name} | spot)
    tables.write_rows(rows, CATALOG, folder / "catalog.parquet")
    tables.write_rows(downloads, DOWNLOADS, folder / "download/part-0000/manifest.parquet")


def clip() -> MeasuredValues:
    """The judge `clip` with a ViT-B/32, beside the forward pass of images that are ready."""
    torch.set_num_threads(THREADS)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        pictures(folder)
        architecture = {"embed_dim": 512, "vision_cfg": VISION, "text_cfg": TEXT}
        config = {"model_cfg": architecture, "preprocess_cfg": {"mean": [0.5] * 3, "std": [0.5] * 3}}
        network = open_clip.CLIP(**architecture)
        save_model(folder / "model", config, network.state_dict(), None)
        model = f"local-dir:{folder / 'model'}"
        encoder = ImageEncoder(model, CPU_BATCH)
        random = np.random.default_rng(1)
        write_embeddings(
            folder / "classes.safetensors",
            {name: random.normal(size=(20, encoder.dimensions)).astype(np.float32) for name in ("a", "b", "c")},
        )
        ready = [preprocess(encoder.clip)(Image.new("RGB", SIDES))] * CPU_BATCH
        encoder.features(ready)
        started = time.perf_counter()
        for _ in range(IMAGES // CPU_BATCH):
            encoder.features(ready)
        bare = IMAGES // CPU_BATCH * CPU_BATCH / (time.perf_counter() - started)

        def judge(name: str, of: str) -> float:
            started = time.perf_counter()
            judge_by_class(
                name=name,
                of=of,
                model=model,
                classes=folder / "classes.safetensors",
                parts=(folder / "catalog.parquet",),
                manifests=(folder / "download/part-0000/manifest.parquet",),
                out_dir=folder / "screen",
                account=folder / f"{name}.json",
                work=folder / "work",
                limits=EmbedLimits(workers=2),
                threads=THREADS,
            )
            return time.perf_counter() - started

        # Of a job, its start is spread over a part's hundred thousand images.
        start = judge("start", "false")
        rate = IMAGES / (judge("whole", "true") - start)
    yield "screen_images_per_s_clip", rate, "images/s", "the forward pass alone (ViT-B/32)", bare


if __name__ == "__main__":
    print_rows([clip])
