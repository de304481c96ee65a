"""The process's memory stays within its limits for all kinds of images."""

import io
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.cgroups import run_within
from tests.common.test_common_images import ADOBE_RGB
from workflow_scripts.common import tables
from workflow_scripts.common.config.download import DownloadLimits, DownloadSettings
from workflow_scripts.contracts import DOWNLOADS

# Limits that images of a few megapixels reach.
LIMITS = DownloadLimits(body_memory_mb=8, image_memory_mb=160)
SETTINGS = DownloadSettings(max_bytes=40_000_000, max_pixels=30_000_000)
# Runs a command and prints its peak memory in KiB, including shared libraries.
MEASURED = (
    "import resource, subprocess, sys; status = subprocess.run(sys.argv[1:]).returncode; "
    "print('peak', resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss); sys.exit(status)"
)
ROOT = Path(__file__).resolve().parents[2]


def mixture() -> dict[str, bytes]:
    """Pictures of 6 to 12 megapixels, of the kinds that need the most memory."""
    smooth = np.random.default_rng(0).integers(0, 256, (30, 40, 3), np.uint8)
    image = Image.fromarray(smooth).resize((4000, 3000), Image.Resampling.BILINEAR)
    half = image.resize((3000, 2000))
    turned = Image.Exif()
    turned[0x0112] = 6
    made: dict[str, tuple[Image.Image, str, dict[str, Any]]] = {
        "turned": (image, "JPEG", {"exif": turned, "icc_profile": ADOBE_RGB}),
        "progressive": (image, "JPEG", {"progressive": True, "subsampling": 0}),
        "ink": (half.convert("CMYK"), "JPEG", {}),
        "webp": (half, "WEBP", {"method": 0}),
        "png": (image.convert("RGBA"), "PNG", {"compress_level": 1, "exif": turned, "icc_profile": ADOBE_RGB}),
        "tiff": (half.convert("CMYK"), "TIFF", {"compression": "tiff_lzw"}),
    }
    encoded = {}
    for name, (picture, form, options) in made.items():
        out = io.BytesIO()
        picture.save(out, form, **options)
        encoded[name] = out.getvalue()
    return encoded


def test_a_job_stays_within_its_memory_in_a_control_group(tmp_path: Path, make_part: Callable[..., Path]) -> None:
    urls = {}
    for name, data in mixture().items():
        for number in range(2):
            (tmp_path / f"{name}-{number}").write_bytes(data)
            urls[f"{name}-{number}"] = str(tmp_path / f"{name}-{number}")
    words = [sys.executable, "-c", MEASURED, sys.executable, "-m", "workflow_scripts.download.fetch"]
    words += ["--part", str(make_part(tmp_path, urls)), "--settings", SETTINGS.to_json(), "--limits", LIMITS.to_json()]
    words += ["--work", str(tmp_path / "work"), "--out-dir", str(tmp_path / "out"), "--log", str(tmp_path / "log.txt")]
    outcome = run_within(LIMITS.memory_mb(SETTINGS.max_bytes) * 2**20, words, ROOT)
    if outcome is None:
        pytest.skip("no control group with a memory limit can be made here")
    assert outcome.status == 0, outcome.said
    rows = tables.read_rows(tmp_path / "out/manifest.parquet", DOWNLOADS).to_pylist()
    assert {row["status"] for row in rows} == {"ok"}
    resident = int(outcome.said.split("peak")[-1]) / 1024
    print(f"peak: {outcome.peak >> 20} MiB charged, {resident:.0f} MiB resident")
    # Without images a process uses 300 MiB, including shared libraries.
    assert resident < 330 + LIMITS.image_memory_mb + LIMITS.body_memory_mb + SETTINGS.max_bytes / 2**20
