"""The judge `faces`: human faces by MTCNN, as TreeOfLife-200M's citizen-science images were looked at.

In: the parts of one group, MTCNN's weights. Out: a table of findings for each part.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from workflow_scripts.common.cli import run
from workflow_scripts.common.config.evaluate import EmbedLimits
from workflow_scripts.common.config.screen import FACE, FacesJudge
from workflow_scripts.common.step_versions import versioned
from workflow_scripts.screen.judging import Finding, Group, Judge, judge_group
from workflow_scripts.screen.mtcnn import Mtcnn


def judge_faces(
    *,
    name: str,
    of: str,
    settings: FacesJudge,
    parts: tuple[Path, ...],
    manifests: tuple[Path, ...],
    out_dir: Path,
    account: Path,
    work: Path,
    limits: EmbedLimits = EmbedLimits(),  # noqa: B008 (frozen)
    threads: int = 1,
) -> None:
    """Find how sure it is that an image shows a human face: the mean score of the faces in it, 0 where there is none.

    Args:
        name: the judge's name in the config.
        of: SQL predicate over the catalog: the images to look at.
        settings: the judge's settings.
        parts: the catalog parts.
        manifests: the manifests of their downloads, in the same order.
        out_dir: the folder of the parts' findings.
        account: the account of the group.
        work: where the work folders are.
        limits: images a forward pass on a GPU, and threads that read images.
        threads: threads of the forward pass.

    Raises:
        InputError: the weights are missing, or tables and tars do not belong together.
    """
    torch.set_num_threads(threads)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    detector = Mtcnn(Path(settings.weights) if settings.weights else None, settings.thresholds, device)
    # One at a time on a CPU, which wins nothing by more, so that company changes no score.
    batch = limits.batch if device.type == "cuda" else 1

    def prepare(image: Image.Image) -> np.ndarray:
        return np.asarray(image.resize((settings.size, settings.size), Image.Resampling.BILINEAR))

    def judge(images: Sequence[np.ndarray]) -> list[list[Finding]]:
        return [
            [Finding(FACE, float(np.mean(scores)) if len(scores) else 0.0)] for _, scores in detector.detect(images)
        ]

    key = {"weights": detector.key, "settings": settings.judged_by(), **versioned("screen.faces")}
    group = Group(parts, manifests, of, out_dir, account, work, limits.workers)
    judge_group(Judge(name, key, prepare, judge, batch), group)


if __name__ == "__main__":
    run(judge_faces)
