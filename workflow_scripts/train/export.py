"""Export a trained model as an open_clip directory, and as a checkpoint for BioCLIP 2's code.

In: a run's `model.safetensors`, `best.safetensors` and `summary.json`, and the directory of its starting weights. Out:
`open_clip_model.safetensors`; with replay also `replay_projector.safetensors` and `bioclip2.pt`; `lineage.json`;
`open_clip_config.json` (last). `open_clip.create_model_and_transforms("local-dir:OUT")` loads the directory without
this project.
"""

import json
import logging
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from workflow_scripts.common.cli import run
from workflow_scripts.common.config.train import ExportSettings
from workflow_scripts.common.documents import read_document, write_document
from workflow_scripts.common.errors import InputError, first_line
from workflow_scripts.common.files import atomic
from workflow_scripts.common.model_files import BIOCLIP2_FILE, LINEAGE_FILE
from workflow_scripts.common.open_clip_models import (
    CONFIG_FILE,
    PUBLISHED_REPLAY_PROJECTOR,
    REPLAY_PROJECTOR_FILE,
    REPLAY_PROJECTOR_KEY,
    WEIGHTS_FILE,
    save_model,
)
from workflow_scripts.contracts import LINEAGE, TRAINING

logger = logging.getLogger(__name__)

WEIGHTS = {"last": "model.safetensors", "best": "best.safetensors"}

Weights = dict[str, torch.Tensor]


def export(*, trained: Path, start: Path, settings: ExportSettings, out: Path) -> None:
    """Export the trained model for users and evaluation.

    Args:
        trained: folder of the training's results.
        start: open_clip directory of the starting weights, for the architecture and the preprocessing.
        settings: choice of weights, as JSON.
        out: output directory.

    Raises:
        InputError: a file is missing or unreadable.
    """
    try:
        config = json.loads((start / CONFIG_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{start / CONFIG_FILE}: cannot be read: {error}") from None
    weights = _read(trained / WEIGHTS[settings.weights])
    if settings.start_share:
        logger.info("averaging with the starting weights (share %s)", settings.start_share)
        weights = averaged(weights, starting_weights(start), settings.start_share)
    projector = weights.pop(REPLAY_PROJECTOR_KEY, None)
    out.mkdir(parents=True, exist_ok=True)
    if projector is None:
        (out / BIOCLIP2_FILE).unlink(missing_ok=True)
    else:
        save_for_bioclip2(out / BIOCLIP2_FILE, weights, projector)
    write_lineage(trained, start, out)
    save_model(out, config, weights, projector)


def write_lineage(trained: Path, start: Path, out: Path) -> None:
    """Write the model's lineage: the digests of this training's inputs, then those of the starting weights' lineage."""
    digests = read_document(trained / "summary.json", TRAINING)["digests"]
    own = {name: digests.get(name) for name in ("data", "start", "code")} | {"name": trained.resolve().parent.name}
    earlier = start / LINEAGE_FILE
    older = read_document(earlier, LINEAGE)["trainings"] if earlier.is_file() else []
    write_document(out / LINEAGE_FILE, {"trainings": [own, *older]}, LINEAGE)


def starting_weights(start: Path) -> Weights:
    """The weights of an open_clip directory, with its replay projector or, if it has none, a copy of `visual.proj`."""
    weights = _read(start / WEIGHTS_FILE)
    second = start / REPLAY_PROJECTOR_FILE
    return weights | (_read(second) if second.is_file() else {REPLAY_PROJECTOR_KEY: weights["visual.proj"]})


def averaged(trained: Weights, start: Mapping[str, torch.Tensor], share: float) -> Weights:
    """Interpolate between starting and trained weights (WiSE-FT, Wortsman et al. 2022, arXiv:2109.01903).

    Args:
        trained: trained weights by name.
        start: starting weights, with at least the same names.
        share: share of the starting weights, from 0 (trained weights) to 1.
    """
    return {
        name: torch.lerp(value.float(), start[name].float(), share).to(value.dtype)
        if value.is_floating_point()
        else value
        for name, value in trained.items()
    }


def save_for_bioclip2(path: Path, weights: Weights, projector: torch.Tensor) -> None:
    """Write a checkpoint for `--pretrained` of BioCLIP 2's code, with the second projector in the visual tower.

    It does not work with `--resume`, which also needs the optimiser's state.
    """
    state = {**weights, f"visual.{PUBLISHED_REPLAY_PROJECTOR}": projector}
    # Given a path, torch.save writes the temporary file's random name into the archive.
    with atomic(path) as temporary, temporary.open("wb") as file:
        torch.save({"epoch": 0, "name": path.stem, "state_dict": state}, file)


def _read(path: Path) -> Weights:
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise InputError(f"{path}: cannot be read: {first_line(error)}; rerun the training") from None


if __name__ == "__main__":
    run(export)
