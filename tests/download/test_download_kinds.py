"""Every kind of image is decoded or refused with a reason; renditions, robots and memory follow the config."""

import io
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

from workflow_scripts.common import colours, images
from workflow_scripts.common.errors import InputError
from workflow_scripts.download.memory import DecodingMemory, Memory

SIZE = (300, 260)


def encoded(image: Image.Image, form: str, **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, form, **options)
    return out.getvalue()


def kinds() -> dict[str, bytes]:
    red = Image.new("RGB", SIZE, (200, 30, 30))
    rotated = Image.Exif()
    rotated[0x0112] = 6
    deep = Image.fromarray(np.full((SIZE[1], SIZE[0]), 200 << 8, np.uint16))
    palette = red.quantize(4)
    palette.info["transparency"] = palette.getpixel((0, 0))
    swapped = ImageCms.createProfile("LAB")
    return {
        "plain": encoded(red, "JPEG", quality=95),
        "cmyk": encoded(red.convert("CMYK"), "JPEG", quality=95),
        "sixteen-bit": encoded(deep, "PNG"),
        "rotated": encoded(red, "JPEG", exif=rotated),
        "animated": encoded(red, "GIF", save_all=True, append_images=[Image.new("RGB", SIZE, (0, 0, 255))]),
        "palette": encoded(palette, "PNG", transparency=0),
        "icc-srgb": encoded(red, "JPEG", icc_profile=ImageCms.ImageCmsProfile(colours.SRGB).tobytes()),
        "icc-other": encoded(red, "JPEG", icc_profile=ImageCms.ImageCmsProfile(swapped).tobytes()),
        "icc-broken": encoded(red, "JPEG", icc_profile=b"no profile at all"),
        "small": encoded(red.resize((100, 300)), "JPEG"),
        "float": encoded(Image.fromarray(np.zeros((260, 300), np.float32)), "TIFF"),
        "svg": b"<svg xmlns='http://www.w3.org/2000/svg' width='300' height='300'/>",
    }


COLOURS = {
    "plain": (200, 30, 30),
    "cmyk": (200, 30, 30),
    "sixteen-bit": (200, 200, 200),
    "rotated": (200, 30, 30),
    "animated": (200, 30, 30),
    "palette": (255, 255, 255),
    "icc-srgb": (200, 30, 30),
    "icc-broken": (200, 30, 30),
}
REFUSED = {"small": "too_small", "float": "unsupported", "svg": "unsupported"}


def test_every_kind_of_image_is_decoded_or_refused_with_a_reason(tmp_path: Path, make_part: Any, make_run: Any) -> None:
    given = kinds()
    for name, data in given.items():
        (tmp_path / name).write_bytes(data)
    run = make_run(tmp_path, make_part(tmp_path, {name: str(tmp_path / name) for name in given}))
    rows, tars = run(), run.tars()
    for name, colour in COLOURS.items():
        row = rows[name]
        assert row["status"] == "ok", (name, row["error"])
        kept = images.decode(tars[row["tar"]][row["offset"] : row["offset"] + row["size"]])
        assert np.abs(kept.reshape(-1, 3).mean(axis=0) - colour).max() < 6, name
    assert (rows["rotated"]["width"], rows["rotated"]["height"]) == SIZE[::-1]
    assert {name: rows[name]["error"].partition(":")[0] for name in REFUSED} == REFUSED
    assert rows["icc-other"]["status"] == "ok"


def test_a_smaller_rendition_is_requested_first(tmp_path: Path, server: Any, make_part: Any, make_run: Any) -> None:
    server.asked.clear()
    hosts = {server.host: {"rewrite": {"pattern": r"/large/(\d+)$", "replacement": r"/ok/\1"}}}
    urls = {"a": server.url("large/801"), "b": server.url("ok/802")}
    rows = make_run(tmp_path, make_part(tmp_path, urls))({"hosts": hosts})
    assert rows["a"]["final_url"] == server.url("ok/801")
    assert (server.asked["/large/801"], server.asked["/ok/801"], server.asked["/ok/802"]) == (0, 1, 1)


def test_without_a_rendition_the_url_of_the_catalog_is_requested(
    tmp_path: Path, server: Any, make_part: Any, make_run: Any
) -> None:
    server.asked.clear()
    hosts = {server.host.partition(":")[0]: {"rewrite": {"pattern": "/ok/", "replacement": "/missing/"}}}
    rows = make_run(tmp_path, make_part(tmp_path, {"a": server.url("ok/803")}))({"hosts": hosts})
    assert (rows["a"]["status"], rows["a"]["attempts"]) == ("ok", 1)
    assert (server.asked["/missing/803"], server.asked["/ok/803"]) == (1, 1)


def test_content_types_sizes_and_robots_are_as_configured(
    tmp_path: Path, server: Any, make_part: Any, make_run: Any
) -> None:
    run = make_run(tmp_path, make_part(tmp_path, {"a": server.url("ok/804"), "b": server.url("noai/804")}))
    assert {row["status"] for row in run({"respect_robots": False}).values()} == {"ok"}
    rows = run({"content_types": ["image/png"]})
    assert rows["a"]["error"] == "not_an_image: content type image/jpeg"
    rows = run({"hosts": {server.host: {"max_bytes": 100}}})
    assert rows["a"]["error"] == "too_large: more than 100 bytes"
    with pytest.raises(InputError, match="user agent"):
        run({"jpeg_quality": 94}, hosts={"x.example": {"contact": "line\nbreak"}})


def test_bodies_wait_for_memory_and_the_oldest_always_gets_it() -> None:
    memory = Memory(100, threading.Event())
    first, second = memory.begin(), memory.begin()
    first.grow(50)
    second.grow(40)
    first.grow(50)
    waiting = threading.Thread(target=second.grow, args=(40,), daemon=True)
    waiting.start()
    waiting.join(0.2)
    assert waiting.is_alive()
    first.share(2)
    first.give_back()
    waiting.join(0.2)
    assert memory.peak <= 180
    first.give_back()
    waiting.join(2)
    assert not waiting.is_alive()


def test_images_stay_within_their_memory_and_one_that_needs_more_is_deferred(
    tmp_path: Path, make_part: Any, make_run: Any, make_picture: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[DecodingMemory] = []
    hold = DecodingMemory.hold

    def noted(memory: DecodingMemory, size: int) -> Any:
        made.append(memory)
        return hold(memory, size)

    monkeypatch.setattr(DecodingMemory, "hold", noted)
    (tmp_path / "large.png").write_bytes(make_picture(1, 3000, 2000, form="PNG"))
    (tmp_path / "larger.png").write_bytes(make_picture(2, 4000, 3000, form="PNG"))
    urls = {f"u{number}": str(tmp_path / "large.png") for number in range(4)} | {"v": str(tmp_path / "larger.png")}
    run = make_run(tmp_path, make_part(tmp_path, urls))
    rows = run(image_memory_mb=64, threads=4)
    assert [rows[uuid]["status"] for uuid in sorted(rows)] == 4 * ["ok"] + ["deferred"]
    error = rows["v"]["error"]
    assert all(part in error for part in ("needs_memory", "4000 x 3000", "image_memory_mb", "64"))
    held = {memory.peak for memory in made}
    assert all(3000 * 2000 * 4 < most <= 64 * 2**20 for most in held)
    part = make_part(tmp_path, {"v": urls["v"]}, "part-0001")
    assert make_run(tmp_path / "again", part)(image_memory_mb=100)["v"]["status"] == "ok"


def test_many_large_bodies_at_once_stay_within_the_memory_for_bodies(
    tmp_path: Path, server: Any, make_part: Any, make_run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Memory] = []
    begin = Memory.begin

    def noted(memory: Memory) -> Any:
        made.append(memory)
        return begin(memory)

    monkeypatch.setattr(Memory, "begin", noted)
    body = 3_000_000
    monkeypatch.setattr(
        type(server), "do_padded", lambda self, to, number, asked: self.answer(to, 200, bytes(body)), raising=False
    )
    urls = {f"u{number}": server.url(f"padded/{number}") for number in range(12)}
    rows = make_run(tmp_path, make_part(tmp_path, urls))(body_memory_mb=4)
    assert {row["error"].partition(":")[0] for row in rows.values()} == {"not_an_image"}
    assert max(memory.peak for memory in made) <= 4 * 2**20 + body
