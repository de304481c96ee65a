"""Judge `faces`: detect human faces with MTCNN, as TreeOfLife-200M did for citizen-science images.

In: the parts of one group, and MTCNN's weights. Out: a table of findings for each part.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from workflow_scripts.common.cli import run
from workflow_scripts.common.config.screen import FACE, FacesJudge
from workflow_scripts.common.images import RgbImage
from workflow_scripts.common.step_versions import versioned
from workflow_scripts.screen.detections import squash
from workflow_scripts.screen.judging import Finding, GroupOptions, Judge, judge_group
from workflow_scripts.screen.mtcnn import Mtcnn


def judge_faces(
    *,
    settings: FacesJudge,
    group: GroupOptions,
) -> None:
    """Score human faces in each image: the mean score of its faces; 0 if none is detected.

    Args:
        settings: the judge's settings.
        group: the images to examine, and the output tables.

    Raises:
        InputError: the weights are missing, or a table does not match its tars.
    """
    torch.set_num_threads(group.threads)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    detector = Mtcnn(Path(settings.weights) if settings.weights else None, settings.thresholds, device)
    # One image at a time on a CPU: larger batches are no faster, and would let images change one another's scores.
    batch = group.limits.batch if device.type == "cuda" else 1

    def prepare(image: RgbImage) -> RgbImage:
        return squash(image, settings.size)

    def judge(images: Sequence[RgbImage]) -> list[list[Finding]]:
        return [
            [Finding(FACE, float(np.mean(scores)) if len(scores) else 0.0)] for _, scores in detector.detect(images)
        ]

    how = {"thresholds": settings.thresholds, "size": settings.size}
    key = {"weights": detector.key, **how, **versioned("screen.faces")}
    judge_group(Judge(key, prepare, judge, batch), group)


if __name__ == "__main__":
    run(judge_faces)
