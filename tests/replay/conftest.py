"""Small replay inputs: LAION-like metadata, and downloads as written by the download stage."""

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from workflow_scripts.common import tables
from workflow_scripts.common.config.replay import ReplaySettings
from workflow_scripts.common.config.shards import ShardSettings
from workflow_scripts.common.tars import write_tar
from workflow_scripts.contracts import DOWNLOADS, REPLAY_SELECTION


def picture(seed: int, width: int = 96, height: int = 64) -> bytes:
    """A distinct JPEG of soft blocks."""
    blocks = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), np.uint8)
    out = io.BytesIO()
    Image.fromarray(blocks).resize((width, height)).save(out, "JPEG", quality=95)
    return out.getvalue()


@pytest.fixture
def make_settings() -> Callable[..., ReplaySettings]:
    """Settings with small shards."""

    def make(samples: int = 8, **values: Any) -> ReplaySettings:
        shards = ShardSettings(image_size=32, samples_per_shard=samples)
        return ReplaySettings(**({"metadata": ["unused.parquet"], "shards": shards} | values))

    return make


@pytest.fixture
def make_metadata(tmp_path: Path) -> Callable[..., Path]:
    """Write LAION-like metadata; each row gives its differences from a good pair."""

    def make(rows: Sequence[dict[str, Any]], name: str = "metadata") -> Path:
        good = {"WIDTH": 300, "HEIGHT": 300, "similarity": 0.3, "punsafe": 0.1, "pwatermark": 0.1}
        full = [
            {"URL": f"https://images.example/{number}.jpg", "TEXT": f"a picture of thing {number}"} | good | row
            for number, row in enumerate(rows)
        ]
        path = tmp_path / f"{name}.parquet"
        pq.write_table(pa.Table.from_pylist(full), path)
        return path

    return make


@pytest.fixture
def downloaded(tmp_path: Path) -> tuple[list[Path], list[Path]]:
    """Two parts of 20 downloaded pairs each, every fifth for val, and one in each part that a host refused."""
    selections, manifests = [], []
    for part in range(2):
        folder = tmp_path / f"download-{part}"
        names = [f"pair-{part}-{number:02d}" for number in range(20)]
        places = write_tar(
            folder / "images-00000.tar",
            [(name, {"jpg": picture(20 * part + number)}) for number, name in enumerate(names)],
        )
        rows: list[dict[str, Any]] = [
            {"uuid": name, "status": "ok", "attempts": 1, "tar": "images-00000.tar", **span["jpg"]._asdict()}
            for name, span in zip(names, places, strict=True)
        ]
        rows.append({"uuid": f"lost-{part}", "status": "failed", "error": "http_error: 404", "attempts": 1})
        manifests.append(folder / "manifest.parquet")
        tables.write_rows(rows, DOWNLOADS, manifests[-1])
        selections.append(tmp_path / f"part-{part:04d}.parquet")
        selected = [
            {
                "uuid": row["uuid"],
                "source_url": f"https://images.example/{row['uuid']}.jpg",
                "host": "images.example",
                "caption": f"caption of {row['uuid']} — naïve",
                "split": "val" if number % 5 == 0 else "train",
                "part": part,
            }
            for number, row in enumerate(rows)
        ]
        tables.write_rows(selected, REPLAY_SELECTION, selections[-1])
    return selections, manifests
