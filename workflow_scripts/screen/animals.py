"""Judge `animals`: detect animals, persons and vehicles with MegaDetector, as TreeOfLife-200M did for camera traps.

In: the parts of one group, and a detector exported to ONNX. Out: a table of findings for each part.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from workflow_scripts.common.cli import run
from workflow_scripts.common.config.screen import DETECTED, AnimalsJudge
from workflow_scripts.common.errors import InputError
from workflow_scripts.common.files import sha256_file
from workflow_scripts.common.images import RgbImage
from workflow_scripts.common.step_versions import versioned
from workflow_scripts.screen.detections import Detections, Layout, from_rtdetr, from_yolo, letterbox, squash
from workflow_scripts.screen.judging import Finding, GroupOptions, Judge, judge_group

if TYPE_CHECKING:
    import onnxruntime

CUDA = "CUDAExecutionProvider"


def judge_animals(
    *,
    settings: AnimalsJudge,
    weights: Path,
    group: GroupOptions,
) -> None:
    """Find the highest score of an animal, a person and a vehicle in each image; 0 if none is detected.

    Args:
        settings: the judge's settings.
        weights: the detector (ONNX).
        group: the images to examine, and the output tables.

    Raises:
        InputError: the detector cannot be loaded, or a table does not match its tars.
    """
    detector = Detector(weights, settings, group.threads)

    def judge(images: Sequence[RgbImage]) -> list[list[Finding]]:
        return [highest(found, settings.classes) for found in detector.detect(images)]

    how = {"classes": settings.classes, "size": settings.size, "overlap": settings.overlap}
    key = {"weights": sha256_file(weights), **how, **versioned("screen.animals")}
    judge_group(Judge(key, detector.prepare, judge, group.limits.batch if detector.is_on_gpu else 1), group)


def highest(found: Detections, classes: Sequence[str]) -> list[Finding]:
    """The highest score of each kind of object in `DETECTED`.

    Args:
        found: the detections; those of unnamed classes are ignored.
        classes: the names of the detector's classes, in the order of their numbers.
    """
    best = dict.fromkeys(DETECTED, 0.0)
    for score, number in zip(found.scores.tolist(), found.classes.tolist(), strict=True):
        if number < len(classes) and classes[number] in best:
            best[classes[number]] = max(best[classes[number]], score)
    return [Finding(label, score) for label, score in best.items()]


class Detector:
    """An object detector that runs in ONNX Runtime.

    Attributes:
        layout: the layout of its inputs and outputs.
        is_on_gpu: whether it runs on a GPU.
    """

    def __init__(self, weights: Path, settings: AnimalsJudge, threads: int) -> None:
        """Load the detector.

        Raises:
            InputError: ONNX Runtime is missing, or the file is not a supported detector.
        """
        self._settings = settings
        self._session = _session(weights, threads)
        self.is_on_gpu = CUDA in self._session.get_providers()
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        self._inputs, self._outputs = [one.name for one in inputs], [one.name for one in outputs]
        has_fixed_batch = isinstance(inputs[0].shape[0], int)
        self._batch = inputs[0].shape[0] if has_fixed_batch else None
        self.layout: Layout
        if len(inputs) == 2 and {"labels", "boxes", "scores"} <= set(self._outputs):
            self.layout = "rtdetr"
        elif len(inputs) == 1 and len(outputs) == 1 and len(outputs[0].shape) == 3:
            self.layout = "yolo"
        else:
            raise InputError(
                f"{weights}: not a supported detector (inputs {', '.join(self._inputs)}; outputs "
                f"{', '.join(self._outputs)}); export RT-DETR with its tools/export_onnx.py, or YOLO with ultralytics"
            )

    def prepare(self, image: RgbImage) -> RgbImage:
        """Scale an image to the detector's square input."""
        return (letterbox if self.layout == "yolo" else squash)(image, self._settings.size)

    def detect(self, images: Sequence[RgbImage]) -> list[Detections]:
        """Detect the objects in each of the prepared images."""
        size = self._batch or len(images)
        found: list[Detections] = []
        for start in range(0, len(images), size):
            batch = np.stack(images[start : start + size])
            padded = np.concatenate([batch, np.zeros((size - len(batch), *batch.shape[1:]), np.uint8)])
            found += self._detect(padded.transpose(0, 3, 1, 2).astype(np.float32) / 255)[: len(batch)]
        return found

    def _detect(self, pixels: np.ndarray) -> list[Detections]:
        inputs: dict[str, Any] = {self._inputs[0]: pixels}
        if self.layout == "rtdetr":
            inputs[self._inputs[1]] = np.full((len(pixels), 2), self._settings.size, np.int64)
            output = dict(zip(self._outputs, self._session.run(None, inputs), strict=True))
            return [from_rtdetr(*one) for one in zip(output["labels"], output["boxes"], output["scores"], strict=True)]
        return [from_yolo(one, self._settings.overlap) for one in self._session.run(None, inputs)[0]]


def _session(weights: Path, threads: int) -> "onnxruntime.InferenceSession":
    try:
        import onnxruntime
    except ModuleNotFoundError:
        raise InputError(
            "the judge `animals` needs ONNX Runtime: .venv/bin/pip install onnxruntime (onnxruntime-gpu for GPUs)"
        ) from None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    providers = [name for name in (CUDA, "CPUExecutionProvider") if name in onnxruntime.get_available_providers()]
    try:
        return onnxruntime.InferenceSession(str(weights), options, providers=providers)
    except Exception as error:
        # ONNX Runtime's errors have no common base class.
        first = next(iter(str(error).splitlines()), "")
        raise InputError(f"{weights}: ONNX Runtime cannot load it: {first}") from None


if __name__ == "__main__":
    run(judge_animals)
