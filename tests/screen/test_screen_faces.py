"""Judge `faces`: a portrait is found in any surroundings, and monkeys are not taken for people."""

import io
import os
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.screen.conftest import Downloaded, noise
from workflow_scripts.common.config.screen import FacesJudge
from workflow_scripts.common.errors import InputError
from workflow_scripts.screen.faces import judge_faces

REAL = os.environ.get("TREEOFLIFE_REAL_DATA")
# All 340 monkeys take forty seconds; every tenth is judged here.
MONKEYS = sorted(Path(REAL, "real", "photos").glob("*/*/*.jp*g"))[::10] if REAL else []

with_weights = pytest.mark.skipif(find_spec("facenet_pytorch") is None, reason="left out: no facenet-pytorch here")


def as_jpeg(image: Image.Image) -> bytes:
    data = io.BytesIO()
    image.convert("RGB").save(data, "JPEG", quality=92)
    return data.getvalue()


@pytest.fixture
def portrait() -> Image.Image:
    """NASA's portrait of Eileen Collins, in the public domain, which scikit-image ships."""
    data = pytest.importorskip("skimage.data", reason="left out: no scikit-image here")
    return Image.fromarray(data.astronaut())


def variants(portrait: Image.Image) -> dict[str, Image.Image]:
    """The portrait at several scales, cut several ways, and pasted into other pictures."""
    side = portrait.width
    made = {f"scale {scale}": portrait.resize((int(side * scale),) * 2) for scale in (0.3, 0.5, 1.0, 1.4)}
    boxes = ((100, 0, 400, 300), (140, 0, 420, 280), (0, 0, 512, 300))
    made |= {f"crop {box}": portrait.crop(box) for box in boxes}
    for number, size in enumerate((128, 210, 320)):
        picture = Image.open(io.BytesIO(noise(number, 400))).resize((640, 480))
        picture.paste(portrait.crop((100, 0, 400, 300)).resize((size, size)), (40 + 60 * number, 30 + 40 * number))
        made[f"paste {size}"] = picture
    return made


@with_weights
def test_the_recipe_s_threshold_keeps_monkeys_and_finds_a_portrait(tmp_path: Path, portrait: Image.Image) -> None:
    torch.set_num_threads(1)
    settings = FacesJudge(judge="faces")
    found = variants(portrait)
    images = {f"face{number}": as_jpeg(image) for number, image in enumerate(found.values())}
    images |= {f"monkey{number:03d}": path.read_bytes() for number, path in enumerate(MONKEYS)}
    images["noise"] = noise(3)
    images["torn"] = noise(4)[:300]
    corpus = Downloaded(tmp_path / "corpus")
    corpus.add(0, images)
    judge_faces(settings=settings, group=corpus.group("people", parts=(0,)))
    rows = {row["uuid"]: row for row in corpus.findings("people", parts=(0,))}
    assert rows["torn"]["label"] == "unjudged"
    refused = {
        uuid for uuid, row in rows.items() if row["score"] is not None and row["score"] >= settings.refuse["face"]
    }
    faces = {uuid for uuid in refused if uuid.startswith("face")}
    assert len(faces) >= 9 / 10 * len(found), {name: rows[f"face{n}"]["score"] for n, name in enumerate(found)}
    assert len(refused - faces) <= max(1, 0.03 * len(MONKEYS))
    assert rows["noise"]["score"] == 0.0


@with_weights
def test_company_changes_no_score(portrait: Image.Image) -> None:
    from workflow_scripts.screen.mtcnn import Mtcnn

    detector = Mtcnn(None, (0.9, 0.95, 0.95), torch.device("cpu"))
    images = [np.asarray(portrait.resize((240, 240))), np.zeros((240, 240, 3), np.uint8)]
    images.append(np.asarray(portrait.crop((100, 0, 400, 300)).resize((240, 240))))
    together = detector.detect(images)
    for image, (boxes, scores) in zip(images, together, strict=True):
        ((alone, sure),) = detector.detect([image])
        np.testing.assert_allclose(boxes, alone, atol=0.05)
        np.testing.assert_allclose(scores, sure, atol=1e-5)


def test_missing_weights_are_named_with_the_remedy(tmp_path: Path) -> None:
    corpus = Downloaded(tmp_path / "corpus")
    corpus.add(0, {"a": noise(1)})
    settings = FacesJudge(judge="faces", weights=str(tmp_path / "nowhere"))
    with pytest.raises(InputError, match=r"nowhere/pnet\.pt"):
        judge_faces(settings=settings, group=corpus.group("people", parts=(0,)))
