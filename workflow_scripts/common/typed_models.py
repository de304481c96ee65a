"""Parse models given on a command line: a path, or a source as in the config."""

import re
from pathlib import Path

from workflow_scripts.common.config.model_source import CHECKPOINTS, FOLDER, HUB, TIMM, ModelSource, model_source
from workflow_scripts.common.errors import InputError
from workflow_scripts.common.hub import hub_errors
from workflow_scripts.common.model_files import CONFIG_FILE

TIMM_CONFIG = "config.json"


def typed_model(text: str) -> ModelSource:
    """Parse a model given on a command line.

    Besides the forms of a config's `start`, it may be the path of a model's folder, of its weights file, or of a run's
    folder, or `hf-hub:NAME` without a commit: the latest commit, or when offline the latest one that was downloaded.

    Raises:
        InputError: the text is not a model.
    """
    prefix = TIMM if text.startswith(TIMM) else ""
    named = text.removeprefix(prefix)
    if named.startswith(HUB):
        return model_source(f"{prefix}{HUB}{_with_commit(named.removeprefix(HUB))}")
    path = Path(named.removeprefix(FOLDER)).expanduser()
    if named.startswith(FOLDER) or path.exists():
        folder, kind = _model_folder(path)
        return model_source(f"{prefix or kind}{FOLDER}{folder}")
    if ":" not in named:
        raise InputError(
            f"{text}: no such folder; for a model on the Hugging Face Hub use hf-hub:NAME, for one of open_clip's "
            "ARCHITECTURE:TAG"
        )
    return model_source(text)


def model_name(source: ModelSource) -> str:
    """Name of a model without local paths; for a run's model, the name of the run."""
    if source.kind == "folder":
        folder = Path(source.place).resolve()
        return folder.parent.name if folder.name == "model" else folder.name
    return Path(source.place).name if source.kind == "file" else str(source)


def _model_folder(path: Path) -> tuple[Path, str]:
    """The folder of a model, and the prefix `timm:` for a timm model.

    Raises:
        InputError: the path is not that of a model.
    """
    if not path.exists():
        raise InputError(f"{path}: no such folder")
    folder = path if path.is_dir() else path.parent
    for candidate in (folder, folder / "model"):
        if (candidate / CONFIG_FILE).is_file():
            _check_read(path, candidate)
            return candidate, ""
    if (folder / TIMM_CONFIG).is_file():
        _check_read(path, folder, TIMM)
        return folder, TIMM
    raise InputError(f"{folder}: not a model folder: no {CONFIG_FILE}; give the folder of a model, or hf-hub:NAME")


def _check_read(path: Path, folder: Path, prefix: str = "") -> None:
    """Check that a given weights file is the one that the folder's model is loaded from.

    Raises:
        InputError: it is another file, such as a checkpoint.
    """
    if path.suffix not in CHECKPOINTS:
        return
    # Imports PyTorch, which is not needed for a folder.
    from workflow_scripts.common.open_clip_models import TIMM_WEIGHTS, weights_of

    read = [folder / name for name in TIMM_WEIGHTS] if prefix else [weights_of(folder)]
    if not any(one.is_file() and one.samefile(path) for one in read):
        raise InputError(
            f"{path}: not loaded, the weights of {folder} are {read[0].name}; give the folder of this file's model"
        )


def _with_commit(name: str) -> str:
    """NAME@COMMIT of a repository on the hub."""
    if "@" in name:
        return name
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", name):
        raise InputError(f"{HUB}{name}: expected {HUB}OWNER/NAME")
    from huggingface_hub import HfApi, constants, try_to_load_from_cache

    if constants.HF_HUB_OFFLINE:
        found = try_to_load_from_cache(name, CONFIG_FILE)
        if not isinstance(found, str):
            raise InputError(f"{HUB}{name}: not downloaded yet, and HF_HUB_OFFLINE is set; unset it for the first run")
        return f"{name}@{Path(found).parent.name}"
    with hub_errors(f"{HUB}{name}: could not be fetched"):
        return f"{name}@{HfApi().model_info(name).sha}"
