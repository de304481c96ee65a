"""A small corpus of downloaded images in two parts, and a tiny model with random weights."""

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from workflow_scripts.common import tables, tars
from workflow_scripts.common.open_clip_models import CONFIG_FILE, WEIGHTS_FILE, open_clip
from workflow_scripts.contracts import CATALOG, DOWNLOADS, FINDINGS
from workflow_scripts.screen.judging import Group

MODEL = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "patch_size": 16, "width": 32, "layers": 1, "head_width": 16},
    "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1},
}


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An open_clip directory with random weights."""
    folder = tmp_path_factory.mktemp("judge") / "clip"
    folder.mkdir()
    torch.manual_seed(3)
    save_file(open_clip.CLIP(**MODEL).state_dict(), folder / WEIGHTS_FILE)
    described = {"model_cfg": MODEL, "preprocess_cfg": {"mean": [0.5] * 3, "std": [0.5] * 3}}
    (folder / CONFIG_FILE).write_text(json.dumps(described))
    return f"local-dir:{folder}"


def jpeg(pixels: np.ndarray) -> bytes:
    """Pixels (uint8, RGB) as JPEG."""
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, "JPEG", quality=92)
    return data.getvalue()


def noise(number: int, side: int = 48) -> bytes:
    """A JPEG of noise over a colour, another one for each number."""
    random = np.random.default_rng(number)
    colour = random.integers(40, 215, 3)
    return jpeg((colour + random.integers(-40, 40, (side, side + 8, 3))).clip(0, 255).astype(np.uint8))


@dataclass
class Downloaded:
    """A corpus whose images are in tars."""

    folder: Path

    def add(self, part: int, images: Mapping[str, bytes], **columns: Any) -> None:
        """Store images as a new part; `columns` are columns of the catalog."""
        folder = self.folder / "download" / f"part-{part:04d}"
        names = sorted(images)
        places = []
        for number, start in enumerate(range(0, len(names), 10)):
            some = names[start : start + 10]
            tar = folder / f"images-{number:05d}.tar"
            spans = tars.write_tar(tar, ((name, {"jpg": images[name]}) for name in some))
            places += [(tar.name, span["jpg"]) for span in spans]
        rows, downloads = [], []
        for name, (tar_name, span) in zip(names, places, strict=True):
            own = {key: value[name] if isinstance(value, dict) else value for key, value in columns.items()}
            rows.append(
                {
                    "uuid": name,
                    "label_id": "l",
                    "data_source": "test",
                    "source_url": f"http://a.test/{name}",
                    "host": "a.test",
                    "generation": 0,
                    "part": part,
                }
                | own
            )
            downloads.append(
                {"uuid": name, "status": "ok", "attempts": 1, "md5": f"md5 {name}", "tar": tar_name}
                | {"offset": span.offset, "size": span.size}
            )
        self.write(part, rows, downloads)

    def drop(self, part: int, uuids: set[str]) -> None:
        """Mark images as taken down: their downloads have failed."""
        rows = tables.read_rows(self.manifest(part), DOWNLOADS).to_pylist()
        gone = {"status": "refused", "error": "taken_down", "tar": None, "offset": None, "size": None, "md5": None}
        rows = [row | gone if row["uuid"] in uuids else row for row in rows]
        tables.write_rows(rows, DOWNLOADS, self.manifest(part))

    def write(self, part: int, rows: Sequence[dict[str, Any]], downloads: Sequence[dict[str, Any]]) -> None:
        """Write a part's catalog and manifest."""
        tables.write_rows(rows, CATALOG, self.catalog(part))
        tables.write_rows(downloads, DOWNLOADS, self.manifest(part))

    def catalog(self, part: int) -> Path:
        """A part of the catalog."""
        return self.folder / "catalog" / f"part-{part:04d}.parquet"

    def manifest(self, part: int) -> Path:
        """The manifest of a part's download."""
        return self.folder / "download" / f"part-{part:04d}" / "manifest.parquet"

    def group(self, name: str, parts: Sequence[int] = (0, 1), of: str = "true", **more: Any) -> Group:
        """The group of parts that a judge examines."""
        return Group(
            name=name,
            of=of,
            parts=tuple(map(self.catalog, parts)),
            manifests=tuple(map(self.manifest, parts)),
            out_dir=self.folder / "screen" / name,
            account=self.folder / "screen" / name / "g000" / "group-000.account.json",
            work=self.folder / ".work" / "screen",
            **more,
        )

    def findings(self, name: str, parts: Sequence[int] = (0, 1)) -> list[dict[str, Any]]:
        """A judge's findings."""
        paths = [self.folder / "screen" / name / f"part-{part:04d}.parquet" for part in parts]
        return tables.read_rows(paths, FINDINGS).to_pylist()


@pytest.fixture
def corpus(tmp_path: Path) -> Downloaded:
    """Two parts of 24 images of noise; the odd ones are specimens. One image is broken."""
    made = Downloaded(tmp_path / "corpus")
    for part in (0, 1):
        images = {f"u{part}{number:02d}": noise(100 * part + number) for number in range(24)}
        if part:
            images["u107"] = images["u107"][:200]
        kinds = {name: "Museum Specimen: Plant" if int(name[-1]) % 2 else "Camera-trap" for name in images}
        made.add(part, images, img_type=kinds)
    return made
