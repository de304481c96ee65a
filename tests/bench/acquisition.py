"""Benches of downloads, each in a separate process."""

import io
import json
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import numpy as np
from PIL import Image
from rows import MeasuredValues, sized

from tests.common.test_common_images import ADOBE_RGB

HERE = Path(__file__)
IMAGES = sized(600, 12)
REPEATS = sized(3, 1)
TURNED = sized(48, 4)
KINDS = ("plain", "md5", "pdq")
THREADS = 16
USUAL_ROOM = {"body_memory_mb": 128, "image_memory_mb": 1200, "max_bytes": 50_000_000, "max_pixels": 100_000_000}
ROOM = {"body_memory_mb": 64, "image_memory_mb": 128, "max_bytes": 5_000_000, "max_pixels": 4_000_000}

OURS = """
import json, resource, sys, time
from pathlib import Path
from workflow_scripts.common import images
from workflow_scripts.common.config.download import DownloadLimits, DownloadSettings
from workflow_scripts.download.fetch import fetch
folder, with_pdq = Path(sys.argv[1]), sys.argv[2] == "pdq"
if not with_pdq:
    images.pdq = lambda image: None
room = json.loads(sys.argv[3])
limits = DownloadLimits(
    threads=%d, default_host={"connections": 64, "rate": 100000},
    body_memory_mb=room["body_memory_mb"], image_memory_mb=room["image_memory_mb"],
)
settings = DownloadSettings(
    max_bytes=room["max_bytes"], max_pixels=room["max_pixels"], allow_hosts=["127.0.0.0/8"],
)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
started, used = time.perf_counter(), time.process_time()
fetch(part=folder / "part.parquet", settings=settings, limits=limits, work=folder / "w", out_dir=folder / "o")
print(before, time.process_time() - used, time.perf_counter() - started)
"""
PLAIN = """
import os, sys, time
os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"
import pyarrow as pa, pyarrow.parquet as pq
from img2dataset.downloader import Downloader
from img2dataset.resizer import Resizer
from img2dataset.writer import WebDatasetSampleWriter
folder = sys.argv[1]
table = pq.read_table(folder + "/part.parquet", columns=["source_url"]).rename_columns(["url"])
started, used = time.perf_counter(), time.process_time()
for shard in range(-(-len(table) // 1000)):
    name = f"{folder}/{shard}.arrow"
    with pa.OSFile(name, "wb") as file, pa.ipc.new_file(file, table.schema) as out:
        out.write_table(table.slice(shard * 1000, 1000))
    Downloader(
        WebDatasetSampleWriter,
        Resizer(720, "keep_ratio_largest", True, min_image_size=224),
        %d, False, False, folder, ["url"], 20, 1000, 5, "md5", None, "jpg", 0, None, ["noai"],
    )((shard, name))
print(0, time.process_time() - used, time.perf_counter() - started, file=sys.stderr)
"""


class Taken(NamedTuple):
    """Cost of a run: wall seconds, CPU seconds, peak memory and memory at its start, MB."""

    seconds: float
    of_a_core: float
    peak: float
    before: float


def download_rate() -> Iterator[MeasuredValues]:
    """Images per second from a fast host on loopback, compared with img2dataset's downloader with as many threads."""
    taken = _taken(_photos(), IMAGES, KINDS, ROOM)
    plain = f"img2dataset, {THREADS} threads"
    for kind, suffix, what in (("md5", "", "verified and md5"), ("pdq", "_pdq", "with PDQ too")):
        # On a shared machine, wall time depends on the number of busy threads; CPU seconds measure the cost.
        ours, theirs = taken[kind], taken["plain"]
        of, on = f"{plain}, {what}", "download_images_per"
        yield f"{on}_s{suffix}", IMAGES / ours.seconds, "/s", of, IMAGES / theirs.seconds
        yield f"{on}_core_s{suffix}", IMAGES / ours.of_a_core, "/s", of, IMAGES / theirs.of_a_core
    bodies = ROOM["body_memory_mb"] + ROOM["max_bytes"] / 1e6
    bound = taken["pdq"].before + bodies + ROOM["image_memory_mb"]
    yield "download_part_peak_mb", taken["pdq"].peak, "MB", "at its start, and the rooms of the config", bound


def turned_rate() -> Iterator[MeasuredValues]:
    """Images per second of 24-megapixel photos with an EXIF rotation and an Adobe RGB profile."""
    taken = _taken(_turned_photos(), TURNED, ("plain", "pdq"), USUAL_ROOM)
    ours, theirs = taken["pdq"], taken["plain"]
    peer = f"img2dataset, {THREADS} threads, which neither turns nor converts"
    yield "download_turned_per_s", TURNED / ours.seconds, "/s", peer, TURNED / theirs.seconds
    yield "download_turned_per_core_s", TURNED / ours.of_a_core, "/s", peer, TURNED / theirs.of_a_core
    yield "download_turned_peak_mb", ours.peak, "MB", peer, theirs.peak


def _taken(photos: list[bytes], images: int, kinds: Sequence[str], room: dict[str, int]) -> dict[str, Taken]:
    """The cost of downloading `images` images, by kind: the best of several runs, interleaved between kinds.

    Interleaving keeps other load on the machine from affecting one kind only.
    """
    found: dict[str, list[Taken]] = {kind: [] for kind in kinds}
    with tempfile.TemporaryDirectory() as name, _served(photos) as port:
        folder = Path(name)
        duckdb.sql(
            f"COPY (SELECT printf('u%06d', i) AS uuid, 'http://127.0.0.1:{port}/' || i AS source_url, "
            f"'127.0.0.1:{port}' AS host, NULL::STRUCT(x BIGINT, y BIGINT, width BIGINT, height BIGINT) AS crop "
            f"FROM range({images}) AS t(i)) TO '{folder}/part.parquet'"
        )
        for number, kind in product(range(REPEATS), kinds):
            run = folder / f"{kind}-{number}"
            run.mkdir()
            (run / "part.parquet").symlink_to(folder / "part.parquet")
            script = (PLAIN if kind == "plain" else OURS) % THREADS
            said, peak = _run([sys.executable, "-c", script, str(run), kind, json.dumps(room)])
            before, used, passed = map(float, said.split()[-3:])
            found[kind].append(Taken(passed, used, peak, before / 1000))
            shutil.rmtree(run)
    return {kind: Taken(*(min(values) for values in zip(*runs, strict=True))) for kind, runs in found.items()}


def _run(words: list[str]) -> tuple[str, float]:
    """The output of a command, and its peak memory, MB."""
    script = (
        "import resource, subprocess, sys; done = subprocess.run(sys.argv[1:], capture_output=True, text=True); "
        "sys.stderr.write(done.stderr if done.returncode else ''); print(done.stdout + ' ' + done.stderr[-200:]); "
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss); sys.exit(done.returncode)"
    )
    done = subprocess.run([sys.executable, "-c", script, *words], capture_output=True, text=True, check=True)
    *said, peak = done.stdout.split()
    return " ".join(said), int(peak) / 1000


def _photos() -> list[bytes]:
    """Some JPEGs with the detail of photographs."""
    random = np.random.default_rng(0)
    photos = []
    for _ in range(8):
        small = random.integers(0, 256, (90, 120, 3), np.uint8)
        out = io.BytesIO()
        Image.fromarray(small).resize((1024, 768), Image.Resampling.BICUBIC).save(out, "JPEG", quality=90)
        photos.append(out.getvalue())
    return photos


def _turned_photos() -> list[bytes]:
    """Photos with an EXIF rotation and an Adobe RGB profile, as from a camera held upright."""
    exif = Image.Exif()
    exif[0x0112] = 6
    out = io.BytesIO()
    small = np.random.default_rng(1).integers(0, 256, (300, 450, 3), np.uint8)
    large = Image.fromarray(small).resize(sized((6000, 4000), (1500, 1000)), Image.Resampling.BICUBIC)
    large.save(out, "JPEG", quality=90, exif=exif, icc_profile=ADOBE_RGB)
    return [out.getvalue()]


class _served:
    """Serves the photos over HTTP from a separate process."""

    def __init__(self, photos: list[bytes]) -> None:
        self.folder = tempfile.TemporaryDirectory()
        for number, photo in enumerate(photos):
            (Path(self.folder.name) / str(number)).write_bytes(photo)

    def __enter__(self) -> int:
        words = [sys.executable, str(HERE), "serve", self.folder.name]
        self.process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        return int(self.process.stdout.readline())

    def __exit__(self, *error: Any) -> None:
        self.process.terminate()
        self.process.wait()
        self.folder.cleanup()


def serve(folder: Path) -> None:
    """Serve the files of a folder in turn, whatever the path, until the process is terminated."""
    photos = [path.read_bytes() for path in sorted(folder.iterdir())]

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def log_message(self, *words: Any) -> None:
            pass

        def do_GET(self) -> None:
            body = photos[int(self.path[1:]) % len(photos)]
            head = f"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\nContent-Length: {len(body)}\r\n\r\n"
            self.wfile.write(head.encode() + body)

    class Listener(ThreadingHTTPServer):
        request_queue_size = 256
        daemon_threads = True

    listener = Listener(("127.0.0.1", 0), Handler)
    sys.stdout.write(f"{listener.server_port}\n")
    sys.stdout.flush()
    threading.Thread(target=listener.serve_forever, daemon=True).start()
    threading.Event().wait()


if __name__ == "__main__" and sys.argv[1:2] == ["serve"]:
    serve(Path(sys.argv[2]))
