"""Fetch a model's weights from any source into a folder that training and evaluation load offline.

In: the model's source. Out: an open_clip (or timm) directory with config, safetensors, the replay projector if the
weights have one, and `fetched.json` with the source and the SHA-256 of every file.
"""

import logging
import shutil
import tempfile
from pathlib import Path

from workflow_scripts.common.cli import run
from workflow_scripts.common.config.model_source import ModelSource
from workflow_scripts.common.errors import InputError
from workflow_scripts.common.files import sha256_file, write_json
from workflow_scripts.common.open_clip_models import TIMM_WEIGHTS, directory_of, read_model, save_model, tokenizer_of

logger = logging.getLogger(__name__)

RECORD = "fetched.json"


def fetch(*, model: ModelSource, out: Path, trainable: bool = False) -> None:
    """Fetch a model into a folder.

    Args:
        model: the model's source, as JSON.
        out: the folder to write; it replaces an earlier one.
        trainable: refuse a model that the trainer cannot train.

    Raises:
        InputError: the weights cannot be fetched, do not match the architecture or do not say how images were
            normalised; or, with `trainable`, the model cannot be trained.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as name:
        made = Path(name) / out.name
        if model.has_text:
            found = read_model(model, trainable=trainable)
            save_model(made, found.config, found.network.state_dict(), found.replay_projector, found.tokenizer)
            tokenizer_of(f"local-dir:{made}")
        else:
            _copy_timm(model, made)
        files = {path.relative_to(made).as_posix(): sha256_file(path) for path in made.rglob("*") if path.is_file()}
        write_json(made / RECORD, {"source": model.model_dump(mode="json"), "files": dict(sorted(files.items()))})
        if out.exists():
            shutil.rmtree(out)
        made.replace(out)
    logger.info("%s: %d files in %s", model, len(files), out)


def _copy_timm(model: ModelSource, folder: Path) -> None:
    # Only these models need timm, which takes a second to import.
    from workflow_scripts.common.vision_model import load_vision_model

    found = directory_of(model)
    weights = next((found / name for name in TIMM_WEIGHTS if (found / name).is_file()), None)
    if weights is None:
        raise InputError(f"{model}: contains no {' or '.join(TIMM_WEIGHTS)}")
    folder.mkdir()
    for path in (found / model.config_name, weights):
        shutil.copyfile(path, folder / path.name)
    load_vision_model(folder)


if __name__ == "__main__":
    run(fetch)
