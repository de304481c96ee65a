"""The judge `clip`: which class embedding an image is nearest to, as TreeOfLife-200M's museum images were looked at.

In: the parts of one group, a model, class embeddings. Out: a table of findings for each part.
"""

from collections.abc import Sequence
from pathlib import Path

import torch

from workflow_scripts.common.cli import run
from workflow_scripts.common.clip import preprocess
from workflow_scripts.common.config.evaluate import EmbedLimits
from workflow_scripts.common.files import sha256_file
from workflow_scripts.common.step_versions import versioned
from workflow_scripts.screen.embeddings import read_embeddings
from workflow_scripts.screen.judging import Finding, Group, Judge, judge_group
from workflow_scripts.screen.model import ImageEncoder


def judge_by_class(
    *,
    name: str,
    of: str,
    model: str,
    classes: Path,
    parts: tuple[Path, ...],
    manifests: tuple[Path, ...],
    out_dir: Path,
    account: Path,
    work: Path,
    limits: EmbedLimits = EmbedLimits(),  # noqa: B008 (frozen)
    threads: int = 1,
) -> None:
    """Find the nearest class of each image of a group of parts, and the cosine similarity to it.

    Args:
        name: the judge's name in the config.
        of: SQL predicate over the catalog: the images to look at.
        model: the model's source, such as `local-dir:PATH`.
        classes: class embeddings (safetensors).
        parts: the catalog parts.
        manifests: the manifests of their downloads, in the same order.
        out_dir: the folder of the parts' findings.
        account: the account of the group.
        work: where the work folders are.
        limits: images a forward pass on a GPU, and threads that read images.
        threads: threads of the forward pass.

    Raises:
        InputError: no model, no class embeddings, or tables and tars that do not belong together.
    """
    torch.set_num_threads(threads)
    encoder = ImageEncoder(model, limits.batch)
    embeddings = read_embeddings(classes, encoder.dimensions)

    def judge(images: Sequence[torch.Tensor]) -> list[list[Finding]]:
        return [[Finding(label, cosine)] for label, cosine in embeddings.nearest(encoder.features(images))]

    key = {**encoder.key, "classes": sha256_file(classes), **versioned("screen.clip")}
    group = Group(parts, manifests, of, out_dir, account, work, limits.workers)
    judge_group(Judge(name, key, preprocess(encoder.clip), judge, encoder.batch), group)


if __name__ == "__main__":
    run(judge_by_class)
