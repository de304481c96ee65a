"""Benches of evaluation, each in a separate process: `evaluation.py NAME` prints its rows."""

import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from PIL import Image
from rows import TORCH_THREADS, MeasuredValues, peak_mb, print_rows, sized
from safetensors.torch import save_file
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from workflow_scripts.common.clip import Clip, encode_image, encode_text, load
from workflow_scripts.common.config.evaluate import EmbedLimits
from workflow_scripts.common.geometry import unit
from workflow_scripts.common.model_files import CONFIG_FILE, WEIGHTS_FILE
from workflow_scripts.common.open_clip_models import open_clip
from workflow_scripts.common.prompts import TEMPLATES, class_weights, text_features
from workflow_scripts.common.tables import write_rows
from workflow_scripts.contracts import BENCHMARK_IMAGES
from workflow_scripts.evaluate.classes import Classes
from workflow_scripts.evaluate.embed import embed
from workflow_scripts.evaluate.features import Features, Origin
from workflow_scripts.evaluate.herbarium19.score import ITERATIONS, cluster, labelled_images
from workflow_scripts.evaluate.newt.search import DRAWS, FOLDS, SEEDS, search
from workflow_scripts.evaluate.simpleshot import simpleshot

DIMENSIONS = sized(768, 32)
# The demo's model: a full-sized one takes two cores half an hour for the texts.
TINY_MODEL = {
    "embed_dim": 128,
    "vision_cfg": {"image_size": 64, "patch_size": 8, "width": 128, "layers": 4, "head_width": 32},
    "text_cfg": {"context_length": 48, "vocab_size": 49408, "width": 128, "heads": 4, "layers": 3},
}
BASE_MODEL = {
    "embed_dim": 512,
    "vision_cfg": {"image_size": 224, "patch_size": 16, "width": 768, "layers": 12},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 512, "heads": 8, "layers": 1},
}
EMBEDDING_MODEL: dict[str, Any] = sized(BASE_MODEL, TINY_MODEL)
EMBEDDED = sized(64, 16)
# The peer's time is linear in classes, so a few are enough.
PEER_EVERY = 10
NEWT_TASKS = 164
# All of them would take one core a quarter of an hour.
NEWT_SEARCHED = sized(2, 1)
# Images and classes: of Rare Species, and of Herbarium19.
RARE_SPECIES = sized((11_983, 400), (120, 8))
HERBARIUM19 = sized((34_225, 683), (400, 20))
TEXTS = sized(400, 10)

Rows = list[MeasuredValues]


def seconds(work: Callable[[], object]) -> float:
    """Wall seconds of `work`."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def random_features(images: int) -> Any:
    """Normalised features."""
    return unit(np.random.default_rng(0).standard_normal((images, DIMENSIONS), dtype=np.float32))


def few_shot() -> Rows:
    """Ten folds over features as many as Rare Species has, beside the ten matrix products alone."""
    images, classes = RARE_SPECIES
    features = random_features(images)
    numbered = Classes.in_order([str(number % classes) for number in range(images)])
    before = peak_mb()
    ours = seconds(lambda: simpleshot(features, numbered, [1, 5], accumulate=False))
    memory = peak_mb()
    bare = seconds(lambda: [features @ features[:classes].T for _ in range(10)])
    return [
        ("simpleshot_seconds", ours, "s", "its ten matrix products alone", bare),
        ("simpleshot_peak_mb", memory, "MiB", "the process before it", before),
    ]


def zero_shot_weights() -> Rows:
    """Class weights of 400 classes by 81 templates, beside one class after the other."""
    names = [
        f"Animalia Chordata Aves Passeriformes Corvidae Genus{n} species{n} with common name bird {n}"
        for n in range(TEXTS)
    ]
    with tempfile.TemporaryDirectory() as folder:
        clip = made_model(Path(folder), TINY_MODEL)
    ours = seconds(lambda: class_weights(names, TEMPLATES, lambda texts: text_features(clip, texts)))

    def one_by_one() -> None:
        for name in names[::PEER_EVERY]:
            features = encode_text(clip, [template(name) for template in TEMPLATES])
            torch.nn.functional.normalize(features.mean(dim=0), dim=0)

    with torch.inference_mode():
        peer = seconds(one_by_one) * PEER_EVERY
    return [("zero_shot_weights_seconds", ours, "s", f"class by class, every {PEER_EVERY}th times {PEER_EVERY}", peer)]


def embedding() -> Rows:
    """Images per second of the embedding step without its start-up, compared with bare forward passes."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        clip = made_model(folder, EMBEDDING_MODEL)
        tables = [images_table(folder, count) for count in (EMBEDDED, 2 * EMBEDDED)]
        limits = EmbedLimits(batch=16, workers=1)

        def step(table: Path) -> float:
            # Finished work would be adopted.
            place = Path(tempfile.mkdtemp(dir=folder))
            out = place / "features.safetensors"
            return seconds(
                lambda: embed(
                    model=f"local-dir:{folder}", images=table, out=out, work=place, limits=limits, threads=TORCH_THREADS
                )
            )

        step(tables[0])
        few, many = (step(table) for table in tables)
        size = EMBEDDING_MODEL["vision_cfg"]["image_size"]
        batch = torch.randn(16, 3, size, size)

        def bare() -> None:
            for _ in range(EMBEDDED // len(batch)):
                encode_image(clip, batch, "proj")

        with torch.inference_mode():
            bare()
            forward = seconds(bare)
    return [("embed_images_per_s", EMBEDDED / (many - few), "1/s", "bare forward, ViT-B/16", EMBEDDED / forward)]


def category_discovery() -> Rows:
    """Herbarium19's clustering by one seed at its true size, beside the distances of its iterations alone."""
    images, classes = HERBARIUM19
    features = random_features(images)
    numbers = np.sort(np.arange(images) % classes)
    labelled = labelled_images(numbers < classes // 2)
    before = peak_mb()
    ours = seconds(lambda: cluster(features, numbers, labelled, clusters=classes))
    memory = peak_mb()
    bare = seconds(lambda: [features @ features[:classes].T for _ in range(ITERATIONS)])
    return [
        ("herbarium19_seconds", ours, "s", "its matrix products alone", bare),
        ("herbarium19_peak_mb", memory, "MiB", "the process before it", before),
    ]


def newt_searches() -> Rows:
    """All searches of a set like NeWT on one core: 164 tasks by three seeds, of which some are searched.

    A task is two classes of 50 training and 50 test images each, as most of NeWT's are.
    """
    generator = np.random.default_rng(0)
    labels = np.arange(NEWT_SEARCHED * 200) % 2
    features = unit(generator.standard_normal((len(labels), DIMENSIONS), dtype=np.float32) + labels[:, None] * 0.05)
    table = pl.DataFrame(
        {
            "position": np.arange(len(labels)),
            "task": [f"task {row // 200}" for row in range(len(labels))],
            "split": ["train" if row % 200 < 100 else "test" for row in range(len(labels))],
            "class": labels.astype(str),
        }
    )
    found = Features(features, np.arange(len(labels)), Origin("", "", "", "proj"))
    times = NEWT_TASKS / NEWT_SEARCHED
    ours = seconds(lambda: search(found, table, threads=1)) * times
    # One fit and prediction of the same data, as often as all searches do.
    machine = make_pipeline(StandardScaler(), SVC())
    fits = len(SEEDS) * NEWT_TASKS * (DRAWS * FOLDS + 1)
    bare = seconds(lambda: [machine.fit(features[:80], labels[:80]).predict(features[80:100]) for _ in range(100)])
    return [("newt_seconds", ours, "s", f"bare fits as many, {NEWT_SEARCHED} of {NEWT_TASKS} tasks", bare / 100 * fits)]


def made_model(folder: Path, config: dict[str, Any]) -> Clip:
    """An open_clip directory with random weights, loaded."""
    torch.manual_seed(0)
    save_file(open_clip.CLIP(**config).state_dict(), folder / WEIGHTS_FILE)
    described = {"model_cfg": config, "preprocess_cfg": {"mean": [0.5] * 3, "std": [0.5] * 3}}
    (folder / CONFIG_FILE).write_text(json.dumps(described))
    return load(f"local-dir:{folder}", torch.device("cpu"))


def images_table(folder: Path, count: int) -> Path:
    """A benchmark's table of JPEGs of 640 x 480 pixels."""
    coarse = np.random.default_rng(0).integers(0, 256, (24, 32, 3), np.uint8)
    Image.fromarray(coarse).resize((640, 480), Image.Resampling.BICUBIC).save(folder / "image.jpg")
    rows = [
        {"position": number, "image": "image.jpg", "path": str(folder / "image.jpg"), "md5": "0", "class": "a"}
        for number in range(count)
    ]
    table = folder / f"{count}.parquet"
    write_rows(rows, BENCHMARK_IMAGES, table)
    return table


if __name__ == "__main__":
    torch.set_num_threads(TORCH_THREADS)
    print_rows((few_shot, zero_shot_weights, embedding, category_discovery, newt_searches))
