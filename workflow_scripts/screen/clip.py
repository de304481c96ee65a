"""Judge `clip`: find the class embedding nearest to each image, as TreeOfLife-200M did for museum images.

In: the parts of one group, a model and class embeddings. Out: a table of findings for each part.
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
    """Find the class nearest to each image of a group of parts, and the cosine similarity to it.

    Args:
        model: the model's source, such as `local-dir:PATH`.
        classes: class embeddings (safetensors).
        group: the images to examine, and the output tables.

    Raises:
        InputError: the model or the class embeddings cannot be loaded, or a table does not match its tars.
    """
    torch.set_num_threads(group.threads)
    encoder = ImageEncoder(model, group.limits.batch)
    embeddings = read_embeddings(classes, encoder.dimensions)

    def judge(images: Sequence[RgbImage]) -> list[list[Finding]]:
        return [[Finding(label, cosine)] for label, cosine in embeddings.nearest(encoder.features(images))]

    key = {**encoder.key, "classes": sha256_file(classes), **versioned("screen.clip")}
    # On a CPU the forward pass uses all cores, so reading ahead would only delay it.
    ahead = AHEAD if encoder.on_gpu else 0
    judge_group(Judge(key, encoder.prepare, judge, encoder.batch, ahead), group)


if __name__ == "__main__":
    run(judge_by_class)
