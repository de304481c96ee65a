"""The judge `clip`: the nearest class embedding of an image, as for museum images in TreeOfLife-200M.

In: the parts of one group, a model, class embeddings. Out: a table of findings for each part.
"""

from collections.abc import Sequence
from pathlib import Path

import torch

from workflow_scripts.common.cli import run
from workflow_scripts.common.files import sha256_file
from workflow_scripts.common.images import RgbImage
from workflow_scripts.common.step_versions import versioned
from workflow_scripts.screen.embeddings import read_embeddings
from workflow_scripts.screen.judging import AHEAD, Finding, GroupOptions, Judge, judge_group
from workflow_scripts.screen.model import ImageEncoder


def judge_by_class(
    *,
    model: str,
    classes: Path,
    group: GroupOptions,
) -> None:
    """Find the nearest class of each image of a group of parts, and the cosine similarity to it.

    Args:
        model: the model's source, such as `local-dir:PATH`.
        classes: class embeddings (safetensors).
        group: the images to examine, and the output tables.

    Raises:
        InputError: no model, no class embeddings, or tables and tars that do not belong together.
    """
    torch.set_num_threads(group.threads)
    encoder = ImageEncoder(model, group.limits.batch)
    embeddings = read_embeddings(classes, encoder.dimensions)

    def judge(images: Sequence[RgbImage]) -> list[list[Finding]]:
        return [[Finding(label, cosine)] for label, cosine in embeddings.nearest(encoder.features(images))]

    key = {**encoder.key, "classes": sha256_file(classes), **versioned("screen.clip")}
    # A forward pass takes all cores; its threads would wait for the one whose core reads images.
    ahead = AHEAD if encoder.on_gpu else 0
    judge_group(Judge(key, encoder.prepare, judge, encoder.batch, ahead), group)


if __name__ == "__main__":
    run(judge_by_class)
