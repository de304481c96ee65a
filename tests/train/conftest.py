"""A small corpus for training tests: coloured shapes as species, with labels, and captioned replay."""

import hashlib
import io
import json
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest
import simplejpeg

from workflow_scripts.common import tables
from workflow_scripts.common.config.train import CorpusShards, ModelSettings
from workflow_scripts.contracts import LABELS, RANKS, REPLAY_INDEX, SHARD_INDEX, SHARD_MANIFEST

COLOURS = ("red", "green", "blue", "yellow", "white", "purple")
RGB = {
    "red": (200, 30, 30),
    "green": (30, 180, 60),
    "blue": (40, 60, 200),
    "yellow": (220, 200, 40),
    "white": (240, 240, 240),
    "purple": (150, 40, 170),
}
SHAPES = ("circle", "square", "bar", "ring")


@dataclass(frozen=True)
class Corpus:
    """Paths of a test corpus."""

    shards: Path
    labels: Path
    replay: Path

    @property
    def biology(self) -> CorpusShards:
        """Its biology shards, as a training's input."""
        return CorpusShards(shards=[str(self.shards)], labels=str(self.labels))


def tiny_model(size: int = 32) -> ModelSettings:
    """A CLIP with a few thousand weights, not counting its token embedding."""
    return ModelSettings(
        architecture={
            "embed_dim": 16,
            "vision_cfg": {"image_size": size, "patch_size": 16, "width": 32, "layers": 2, "head_width": 16},
            "text_cfg": {"context_length": 32, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
        }
    )


def draw(kind: int, size: int, chance: np.random.Generator) -> bytes:
    """A JPEG of a kind (colour x shape) at a random place on a noisy background."""
    image = chance.integers(60, 110, (size, size, 3), dtype=np.uint8)
    colour = RGB[COLOURS[kind % len(COLOURS)]]
    shape = SHAPES[kind // len(COLOURS) % len(SHAPES)]
    x, y = (int(v) for v in chance.integers(size // 3, 2 * size // 3, 2))
    r = size // 4
    if shape == "circle":
        cv2.circle(image, (x, y), r, colour, -1)
    elif shape == "square":
        cv2.rectangle(image, (x - r, y - r), (x + r, y + r), colour, -1)
    elif shape == "bar":
        cv2.rectangle(image, (x - r, y - r // 4), (x + r, y + r // 4), colour, -1)
    else:
        cv2.circle(image, (x, y), r, colour, max(1, r // 4))
    return simplejpeg.encode_jpeg(np.ascontiguousarray(image), quality=90, colorspace="RGB")


def write_split(folder: Path, images: list[bytes], texts: list[str], column: str, per_shard: int) -> None:
    """Write tars, manifest and index of one split; `column` is label_id or caption."""
    folder.mkdir(parents=True)
    manifest, index = [], []
    for number, first in enumerate(range(0, len(images), per_shard)):
        name = f"shard-{number:06d}.tar"
        with tarfile.open(folder / name, "w") as tar:
            for position, image in enumerate(images[first : first + per_shard]):
                uuid = hashlib.md5(f"{folder.parent.name}{folder.name}{first + position}".encode()).hexdigest()
                member = tarfile.TarInfo(f"{uuid}.jpg")
                member.size = len(image)
                offset = tar.offset + tarfile.BLOCKSIZE
                tar.addfile(member, io.BytesIO(image))
                row = {"uuid": uuid, "shard": name, "position": position, "offset": offset, "size": len(image)}
                index.append(row | {column: texts[first + position]})
        data = (folder / name).read_bytes()
        samples = len(images[first : first + per_shard])
        sha256 = hashlib.sha256(data).hexdigest()
        manifest.append({"shard": name, "samples": samples, "bytes": len(data), "sha256": sha256})
    tables.write_rows(manifest, SHARD_MANIFEST, folder / "manifest.parquet")
    contract = SHARD_INDEX if column == "label_id" else REPLAY_INDEX
    tables.write_rows(index, contract, folder / "index.parquet")


def label_row(kind: int) -> dict[str, object]:
    """The label of a kind: its genus is its shape, its epithet its colour."""
    shape, colour = SHAPES[kind // len(COLOURS) % len(SHAPES)], COLOURS[kind % len(COLOURS)]
    names = dict(zip(RANKS, ("Formae", "Planae", "", "", "", shape.capitalize(), colour), strict=True))
    return {
        "label_id": label_id(kind),
        **names,
        "scientific_name": f"{shape.capitalize()} {colour}",
        "common_name": f"{colour} {shape}",
        "match_type": "exact",
        "strategy": "exact",
        "confidence": 1.0,
        "images": 1,
    }


def label_id(kind: int) -> str:
    """The label_id of a kind."""
    return hashlib.sha256(f"kind {kind}".encode()).hexdigest()[:16]


def build_corpus(
    root: Path, *, train: int = 40, val: int = 8, replay: int = 20, kinds: int = 12, size: int = 40, per_shard: int = 7
) -> Corpus:
    """Write a corpus of `train` and `val` images of `kinds` kinds and `replay` captioned pairs."""
    chance = np.random.default_rng(0)
    for split, count in (("train", train), ("val", val)):
        images = [draw(n % kinds, size, chance) for n in range(count)]
        ids = [label_id(n % kinds) for n in range(count)]
        write_split(root / "shards" / "g000" / split, images, ids, "label_id", per_shard)
    for split, count in (("train", replay), ("val", 6)):
        images = [draw(n % 24, size, chance) for n in range(count)]
        captions = [f"picture of a {COLOURS[n % 6]} thing number {n // 6 % 4}" for n in range(count)]
        write_split(root / "replay" / split, images, captions, "caption", per_shard)
    tables.write_rows([label_row(kind) for kind in range(kinds)], LABELS, root / "labels.parquet")
    return Corpus(root / "shards" / "g000", root / "labels.parquet", root / "replay")


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """A corpus shared by tests, which must not change it."""
    return build_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture
def make_corpus(tmp_path: Path) -> Callable[..., Corpus]:
    """Builds a corpus that a test may change."""
    return lambda **sizes: build_corpus(tmp_path / "corpus", **sizes)


@pytest.fixture(scope="session")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random starting weights."""
    from workflow_scripts.models.fetch import fetch

    folder = tmp_path_factory.mktemp("start") / "model"
    fetch(model=tiny_model().fetched, out=folder, trainable=True)
    return folder


@pytest.fixture(scope="session")
def model_settings() -> ModelSettings:
    """The settings of `start`."""
    return tiny_model()


def read_metrics(path: Path) -> list[dict[str, object]]:
    """The rows of a metrics file."""
    return [json.loads(line) for line in path.read_text().splitlines()]
