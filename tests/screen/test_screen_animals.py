"""Judge `animals`: detections become findings, whatever the format of the exported detector."""

import os
from pathlib import Path

import cv2
import numpy as np
import pytest
import torchvision
from PIL import Image

from tests.curate.inputs import Corpus, verdicts
from tests.screen.conftest import Downloaded, jpeg
from workflow_scripts.common.config.screen import AnimalsJudge
from workflow_scripts.common.errors import InputError
from workflow_scripts.screen.animals import highest, judge_animals
from workflow_scripts.screen.boxes import suppress
from workflow_scripts.screen.detections import Detections, from_rtdetr, from_yolo, letterbox, squash

pytest.importorskip("onnx", reason="left out: onnx is not installed")
pytest.importorskip("onnxruntime", reason="left out: onnxruntime is not installed")
from tests.screen.detectors import detector

SIDE = 64
COLOURS = {"animal": (230, 20, 20), "person": (20, 230, 20), "vehicle": (20, 20, 230), "empty": (20, 20, 20)}


@pytest.fixture
def frames(tmp_path: Path) -> Downloaded:
    """One part with a frame of each kind and a broken one."""
    made = Downloaded(tmp_path / "corpus")
    images = {kind: jpeg(np.full((SIDE, SIDE, 3), colour, np.uint8)) for kind, colour in COLOURS.items()}
    made.add(0, images | {"broken": images["animal"][:150]}, img_type="Camera-trap")
    return made


@pytest.mark.parametrize(("kind", "batch"), [("rtdetr", "batch"), ("rtdetr", 2), ("yolo", 1)])
def test_animals_stay_and_empty_frames_and_persons_go(
    frames: Downloaded, corpus_of_verdicts: Corpus, tmp_path: Path, kind: str, batch: int | str
) -> None:
    weights = detector(tmp_path, kind, side=SIDE, batch=batch)
    settings = AnimalsJudge.model_validate(
        {"judge": "animals", "weights": str(weights), "size": SIDE, "refuse": {"empty": 0.2, "person": 0.5}}
    )
    group = frames.group("traps", parts=(0,), of="img_type = 'Camera-trap'")
    judge_animals(settings=settings, weights=weights, group=group)
    found = frames.findings("traps", parts=(0,))
    scores = {(row["uuid"], row["label"]): row["score"] for row in found}
    for kind_of_frame, colour in COLOURS.items():
        for label, channel in zip(("animal", "person", "vehicle"), colour, strict=True):
            assert scores[kind_of_frame, label] == pytest.approx(channel / 255, abs=0.02)
    assert [row["label"] for row in found if row["uuid"] == "broken"] == ["unjudged"]
    out = corpus_of_verdicts.decide(
        [{"uuid": uuid, "label": "magpie"} for uuid in sorted([*COLOURS, "broken"])],
        findings=found,
        refusals=[rule.model_dump() for rule in settings.refusals("traps")],
    )
    ended = {uuid: row["detail"] for uuid, row in verdicts(out).items()}
    assert ended == {
        "animal": None,
        "broken": None,
        "empty": "traps: empty",
        "person": "traps: empty",
        "vehicle": "traps: empty",
    }


@pytest.fixture
def corpus_of_verdicts(tmp_path: Path) -> Corpus:
    return Corpus(tmp_path / "curate")


def reference_suppression(boxes: np.ndarray, scores: np.ndarray, most: float) -> list[int]:
    """By the definition: a box is kept unless it overlaps a kept box of a higher score by more than `most` (IoU)."""
    kept: list[int] = []
    for one in sorted(range(len(boxes)), key=lambda place: -scores[place]):
        shared = []
        for other in kept:
            width = max(0, min(boxes[one][2], boxes[other][2]) - max(boxes[one][0], boxes[other][0]))
            height = max(0, min(boxes[one][3], boxes[other][3]) - max(boxes[one][1], boxes[other][1]))
            areas = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (boxes[one], boxes[other]))
            shared.append(width * height / (areas - width * height))
        if all(share <= most for share in shared):
            kept.append(one)
    return kept


@pytest.mark.parametrize("most", [0.2, 0.45, 0.7])
def test_suppression_and_both_layouts_of_yolo_equal_plain_arithmetic(most: float) -> None:
    random = np.random.default_rng(7)
    centre, size = random.uniform(10, 60, (2, 80)), random.uniform(5, 40, (2, 80))
    sure = random.uniform(0, 1, (3, 80))
    boxes = np.concatenate([centre - size / 2, centre + size / 2]).T.astype(np.float32)
    assert suppress(boxes, sure[0].astype(np.float32), most).tolist() == reference_suppression(boxes, sure[0], most)
    raw = from_yolo(np.concatenate([centre, size, sure]).astype(np.float32), most)
    expected = set()
    for number in range(3):
        own = np.flatnonzero(sure.argmax(axis=0) == number)
        kept = own[reference_suppression(boxes[own], sure.max(axis=0)[own], most)]
        expected |= {(number, round(float(sure.max(axis=0)[place]), 5)) for place in kept}
    assert {(int(c), round(float(s), 5)) for c, s in zip(raw.classes, raw.scores, strict=True)} == expected
    ended = from_yolo(np.column_stack([boxes, sure[0], np.arange(80) % 3]).astype(np.float32), most)
    np.testing.assert_allclose(ended.boxes, boxes, rtol=1e-6)
    assert ended.classes.tolist() == [number % 3 for number in range(80)]


@pytest.mark.parametrize(("height", "width"), [(48, 96), (97, 50), (64, 64), (31, 200)])
def test_letterbox_fits_the_image_in_the_middle_of_grey(height: int, width: int) -> None:
    image = np.random.default_rng(1).integers(0, 255, (height, width, 3)).astype(np.uint8)
    square = letterbox(image, SIDE)
    scale = min(SIDE / height, SIDE / width)
    new = (round(width * scale), round(height * scale))
    left, top = (round((SIDE - side) / 2 - 0.1) for side in new)
    expected = np.full((SIDE, SIDE, 3), 114, np.uint8)
    expected[top : top + new[1], left : left + new[0]] = cv2.resize(image, new, interpolation=cv2.INTER_LINEAR)
    np.testing.assert_array_equal(square, expected)


def test_squashing_is_what_megadetector_s_own_code_does() -> None:
    image = np.random.default_rng(1).integers(0, 255, (300, 200, 3)).astype(np.uint8)
    own = torchvision.transforms.Resize((SIDE, SIDE))(Image.fromarray(image))
    np.testing.assert_array_equal(squash(image, SIDE), np.asarray(own))


def test_classes_are_told_apart_by_name_and_unknown_ones_do_not_count() -> None:
    found = from_rtdetr(
        np.array([1, 0, 1, 7]), np.zeros((4, 4), np.float32), np.array([0.3, 0.6, 0.5, 0.9], np.float32)
    )
    assert {label: round(score, 3) for label, score in highest(found, ["person", "animal", "bird"])} == {
        "animal": 0.5,
        "person": 0.6,
        "vehicle": 0.0,
    }
    none = Detections(np.empty((0, 4), np.float32), np.empty(0, np.float32), np.empty(0, np.int64))
    assert {score for _, score in highest(none, ["animal"])} == {0.0}


def test_an_invalid_detector_is_refused_by_its_name(frames: Downloaded, tmp_path: Path) -> None:
    weights = tmp_path / "weights.onnx"
    weights.write_bytes(os.urandom(64))
    settings = AnimalsJudge(judge="animals", weights=str(weights))
    with pytest.raises(InputError, match=r"weights\.onnx"):
        judge_animals(settings=settings, weights=weights, group=frames.group("traps", parts=(0,)))
