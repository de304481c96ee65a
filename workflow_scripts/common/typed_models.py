"""A model as a person types it: a folder in any spelling, or a source as the config has it."""

import re
from pathlib import Path

from workflow_scripts.common.config.model_source import CHECKPOINTS, FOLDER, HUB, TIMM, ModelSource, model_source
from workflow_scripts.common.errors import InputError
from workflow_scripts.common.hub import hub_errors
from workflow_scripts.common.model_files import CONFIG_FILE

TIMM_CONFIG = "config.json"


def typed_model(text: str) -> ModelSource:
    """The model that a command line names.

    Besides the forms of a config's `start`: the path of a model's folder, of a file that is read of
    it, or of a run's folder; and
    `hf-hub:NAME` without a commit, which is the newest one, or without a network the newest one fetched before.

    Raises:
        InputError: it names no model.
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
            f"{text}: no such folder; a model of the Hugging Face hub is hf-hub:NAME, one of open_clip's "
            "ARCHITECTURE:TAG"
        )
    return model_source(text)


def model_name(source: ModelSource) -> str:
    """A model's name without the folders of one machine: of a run's model the run's name."""
    if source.kind == "folder":
        folder = Path(source.place).resolve()
        return folder.parent.name if folder.name == "model" else folder.name
    return Path(source.place).name if source.kind == "file" else str(source)


def _model_folder(path: Path) -> tuple[Path, str]:
    """The folder of a model, and `timm:` where it is one of timm's.

    Raises:
        InputError: it is no model's folder.
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
    raise InputError(f"{folder}: not a model's folder, it has no {CONFIG_FILE}; give a run's model, or hf-hub:NAME")


def _check_read(path: Path, folder: Path, prefix: str = "") -> None:
    """Check that a file of weights is the one that the model of a folder is read from.

    Raises:
        InputError: it is another one, such as a checkpoint.
    """
    if path.suffix not in CHECKPOINTS:
        return
    # It takes PyTorch, which a folder's name does not.
    from workflow_scripts.common.open_clip_models import TIMM_WEIGHTS, weights_of

    read = [folder / name for name in TIMM_WEIGHTS] if prefix else [weights_of(folder)]
    if not any(one.is_file() and one.samefile(path) for one in read):
        raise InputError(f"{path}: not read, the model of {folder} is in {read[0].name}; give this one's own folder")


def _with_commit(name: str) -> str:
    """NAME@COMMIT of a repository of the hub."""
    if "@" in name:
        return name
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", name):
        raise InputError(f"{HUB}{name}: names no model of the hub; it takes {HUB}OWNER/NAME")
    from huggingface_hub import HfApi, constants, try_to_load_from_cache

    if constants.HF_HUB_OFFLINE:
        found = try_to_load_from_cache(name, CONFIG_FILE)
        if not isinstance(found, str):
            raise InputError(f"{HUB}{name}: not fetched yet, and HF_HUB_OFFLINE is set; name it once with a network")
        return f"{name}@{Path(found).parent.name}"
    with hub_errors(f"{HUB}{name}: cannot be fetched"):
        return f"{name}@{HfApi().model_info(name).sha}"
