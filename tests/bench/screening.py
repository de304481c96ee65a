"""Benches of judges: images per second of the complete step, compared with decoding and inference alone.

`screening.py NAME` prints the rows of one judge.
"""

import io
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from rows import TORCH_THREADS, MeasuredValues, print_rows, sized

from tests.screen.detectors import detector as made_detector
from workflow_scripts.common import tables, tars
from workflow_scripts.common.config.evaluate import EmbedLimits
from workflow_scripts.common.config.screen import AnimalsJudge, FacesJudge
from workflow_scripts.common.images import decode
from workflow_scripts.common.open_clip_models import open_clip, save_model
from workflow_scripts.contracts import CATALOG, DOWNLOADS
from workflow_scripts.screen.animals import Detector, judge_animals
from workflow_scripts.screen.clip import judge_by_class
from workflow_scripts.screen.embeddings import write_embeddings
from workflow_scripts.screen.faces import judge_faces
from workflow_scripts.screen.judging import Group
from workflow_scripts.screen.model import CPU_BATCH, ImageEncoder
from workflow_scripts.screen.mtcnn import Mtcnn

# The image tower of a ViT-B/32; no text is embedded.
VISION = sized(
    {"image_size": 224, "layers": 12, "width": 768, "patch_size": 32},
    {"image_size": 32, "layers": 1, "width": 64, "patch_size": 16},
)
TEXT = {"context_length": 16, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1}
IMAGES = sized(96, 32)
# As downloads are stored: longer side 720 px, JPEG quality 95.
SIDES = (720, 540)
# Channels of a small detector, each layer at half the resolution of the previous one.
CHANNELS = sized((16, 64, 128, 256), (4,))
REPEATS = sized(3, 1)


def pictures(folder: Path) -> list[bytes]:
    """A part of downloaded photo-like images, and their bytes."""
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
    return [content["jpg"] for _, content in samples]


def rates(folder: Path, judge: Callable[..., None], bare: Callable[[], object], **options: Any) -> tuple[float, float]:
    """Images a second by a judge's whole step and by what it is held against, in turn, the best of a few.

    What a step takes for a part, whatever is in it, is spread over a hundred thousand images: what it takes for the
    first batch alone is left out.
    """

    def seconds(name: str, of: str) -> float:
        group = Group(
            name=name,
            of=of,
            parts=(folder / "catalog.parquet",),
            manifests=(folder / "download/part-0000/manifest.parquet",),
            out_dir=folder / "screen" / name,
            account=folder / f"{name}.json",
            work=folder / "work",
            limits=EmbedLimits(workers=2),
            threads=TORCH_THREADS,
        )
        started = time.perf_counter()
        judge(group=group, **options)
        return time.perf_counter() - started

    def bare_seconds() -> float:
        started = time.perf_counter()
        bare()
        return time.perf_counter() - started

    first = f"uuid < 'u{CPU_BATCH:05d}'"
    start = min(seconds(f"start{number}", first) for number in range(REPEATS))
    ours, theirs = [], []
    for number in range(REPEATS):
        ours.append(seconds(f"whole{number}", "true") - start)
        theirs.append(bare_seconds())
    return (IMAGES - CPU_BATCH) / min(ours), IMAGES / min(theirs)


def clip() -> MeasuredValues:
    """The judge `clip` with a ViT-B/32, compared with the forward pass of preprocessed images."""
    torch.set_num_threads(TORCH_THREADS)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        pictures(folder)
        architecture = {"embed_dim": 512, "vision_cfg": VISION, "text_cfg": TEXT}
        config = {"model_cfg": architecture, "preprocess_cfg": {"mean": [0.5] * 3, "std": [0.5] * 3}}
        save_model(folder / "model", config, open_clip.CLIP(**architecture).state_dict(), None)
        model, classes = f"local-dir:{folder / 'model'}", folder / "classes.safetensors"
        encoder = ImageEncoder(model, CPU_BATCH)
        random = np.random.default_rng(1)
        write_embeddings(
            classes, {name: random.normal(size=(20, encoder.dimensions)).astype(np.float32) for name in "abc"}
        )
        ready = torch.rand(CPU_BATCH, 3, VISION["image_size"], VISION["image_size"])

        def bare() -> None:
            with torch.inference_mode():
                for _ in range(IMAGES // CPU_BATCH):
                    encoder.clip.model.encode_image(ready)

        found = rates(folder, judge_by_class, bare, model=model, classes=classes)
    yield "screen_images_per_s_clip", found[0], "images/s", "the forward pass alone (ViT-B/32)", found[1]


def faces() -> MeasuredValues:
    """The judge `faces`, beside decoding and its networks one after the other."""
    torch.set_num_threads(TORCH_THREADS)
    settings = FacesJudge(judge="faces", size=sized(720, 96))
    detector = Mtcnn(None, settings.thresholds, torch.device("cpu"))
    with tempfile.TemporaryDirectory() as temporary:
        images = pictures(Path(temporary))

        def bare() -> None:
            for data in images:
                square = Image.fromarray(decode(data)).resize((settings.size, settings.size), Image.Resampling.BILINEAR)
                detector.detect([np.asarray(square)])

        found = rates(Path(temporary), judge_faces, bare, settings=settings)
    yield "screen_images_per_s_faces", found[0], "images/s", "decoding and MTCNN, image by image", found[1]


def animals() -> MeasuredValues:
    """The judge `animals` with a small detector, beside decoding and the detector one after the other."""
    side = sized(640, 64)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        images = pictures(folder)
        weights = made_detector(folder, "rtdetr", side=side, channels=CHANNELS)
        settings = AnimalsJudge(judge="animals", weights=str(weights), size=side)
        detector = Detector(weights, settings, TORCH_THREADS)

        def bare() -> None:
            for data in images:
                detector.detect([detector.prepare(decode(data))])

        found = rates(folder, judge_animals, bare, settings=settings, weights=weights)
    yield "screen_images_per_s_animals", found[0], "images/s", "decoding and the detector, image by image", found[1]


if __name__ == "__main__":
    print_rows([clip, faces, animals])
