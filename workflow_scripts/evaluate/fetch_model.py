"""Bring a baseline's weights into a folder of its own, so that embedding and scoring need no network.

In: where they come from. Out: an open_clip directory, or a timm one, and `fetched.json` (last), which names the source
and the SHA-256 of every file.
"""

import logging
import shutil
import tempfile
from pathlib import Path
from typing import Any

from huggingface_hub import snapshot_download
from safetensors.torch import save_file

from workflow_scripts.common import clip
from workflow_scripts.common.cli import run
from workflow_scripts.common.clip import open_clip
from workflow_scripts.common.config.baselines import HUB, Baseline, parse_baseline
from workflow_scripts.common.errors import InputError
from workflow_scripts.common.files import sha256_file, write_json
from workflow_scripts.common.hub import hub_errors

logger = logging.getLogger(__name__)

RECORD = "fetched.json"
# Weights in the order of preference; a pickle is read with weights_only.
TIMM_WEIGHTS = ("model.safetensors", "pytorch_model.bin")


def fetch_model(*, source: str, out: Path) -> None:
    """Write a baseline's folder.

    Args:
        source: `hf-hub:NAME@COMMIT`, `timm:hf-hub:NAME@COMMIT`, `NAME:TAG` or `NAME:FILE`.
        out: the folder; what an earlier fetch left there is replaced.

    Raises:
        InputError: the weights cannot be had, or are not those of the model.
    """
    baseline = parse_baseline(source)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as name:
        made = Path(name) / out.name
        made.mkdir()
        _fill(made, baseline)
        files = {path.relative_to(made).as_posix(): sha256_file(path) for path in made.rglob("*") if path.is_file()}
        write_json(made / RECORD, {"source": source, "files": dict(sorted(files.items()))})
        if out.exists():
            shutil.rmtree(out)
        made.replace(out)
    logger.info("%s: %d files in %s", source, len(files), out)


def _fill(folder: Path, baseline: Baseline) -> None:
    if baseline.kind == "hub" and baseline.has_text:
        found = clip.directory_of(f"{HUB}{baseline.place}")
        weights = clip.weights_of(found)
        shutil.copyfile(weights, folder / weights.name)
        for path in found.iterdir():
            if path.suffix in (".json", ".txt", ".model") or path.name == clip.REPLAY_PROJECTOR_FILE:
                shutil.copyfile(path, folder / path.name)
    elif baseline.kind == "hub":
        _timm_files(folder, baseline)
        clip.load(f"{clip.TIMM_FOLDER}{folder}")
        return
    elif baseline.kind == "tag":
        clip.check_tag(baseline.architecture, baseline.place)
        # What is needed besides is missed before a gigabyte is fetched.
        clip.tokenizer_of(baseline.architecture)
        clip.weights_of_tag(baseline.architecture, baseline.place)
        _save(folder, baseline, open_clip.create_model(baseline.architecture, pretrained=baseline.place), None)
    else:
        model = _model(baseline.architecture)
        _save(folder, baseline, model, clip.load_weights(model, Path(baseline.place)))
    clip.load(f"local-dir:{folder}")


def _timm_files(folder: Path, baseline: Baseline) -> None:
    name, _, commit = baseline.place.partition("@")
    with hub_errors(f"{baseline.source}: cannot be had"):
        found = Path(snapshot_download(name, revision=commit, allow_patterns=["config.json", *TIMM_WEIGHTS]))
    weights = next((found / name for name in TIMM_WEIGHTS if (found / name).is_file()), None)
    if weights is None or not (found / "config.json").is_file():
        raise InputError(f"{baseline.source}: holds no config.json with {' or '.join(TIMM_WEIGHTS)}")
    for path in (found / "config.json", weights):
        shutil.copyfile(path, folder / path.name)


def _model(architecture: str) -> Any:
    if open_clip.get_model_config(architecture) is None:
        raise InputError(f"{architecture}: open_clip knows no such model")
    return open_clip.create_model(architecture)


def _save(folder: Path, baseline: Baseline, model: Any, projector: Any) -> None:
    """An open_clip directory of a loaded model, with its tokenizer where that has files of its own."""
    tokenizer = clip.tokenizer_of(baseline.architecture)
    if hasattr(tokenizer, "save_pretrained"):
        tokenizer.save_pretrained(folder)
    save_file({name: tensor.contiguous() for name, tensor in model.state_dict().items()}, folder / clip.WEIGHTS_FILE)
    if projector is not None:
        save_file({clip.REPLAY_PROJECTOR_KEY: projector.contiguous()}, folder / clip.REPLAY_PROJECTOR_FILE)
    described = {
        "model_cfg": open_clip.get_model_config(baseline.architecture),
        "preprocess_cfg": open_clip.get_model_preprocess_cfg(model),
    }
    write_json(folder / clip.CONFIG_FILE, described)


if __name__ == "__main__":
    run(fetch_model)
