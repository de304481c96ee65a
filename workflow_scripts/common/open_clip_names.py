"""Names of open_clip's architectures and pretrained weights. Imports no torch."""

import ast
import importlib
import importlib.util
import json
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from workflow_scripts.common.errors import did_you_mean
from workflow_scripts.common.torchless import modules_replaced

# Imports of open_clip's table of pretrained weights that are only needed to download them.
HEAVY = ("torch", "safetensors.torch", "huggingface_hub")
REQUIRED = ("embed_dim", "vision_cfg", "text_cfg")
# Classes whose arguments are the keys of a model config and of its sections.
MODELS = ("CLIP", "CustomTextCLIP")
SECTIONS = {"vision_cfg": "CLIPVisionCfg", "text_cfg": "CLIPTextCfg"}
# Keys that open_clip's factory removes from a config before it builds the model.
FACTORY_KEYS = {"custom_text", "multimodal_cfg"}


def architectures() -> list[str]:
    """Names of open_clip's architectures."""
    if loaded := _loaded():
        return list(loaded.list_models())
    return sorted(path.stem for path in (_folder() / "model_configs").glob("*.json"))


def model_config(name: str) -> dict[str, Any] | None:
    """The model config of an architecture, or None."""
    if loaded := _loaded():
        found: dict[str, Any] | None = loaded.get_model_config(name)
        return found
    path = _folder() / "model_configs" / f"{name}.json"
    found = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return found if all(key in found for key in REQUIRED) else None


def check_model_config(config: Mapping[str, Any]) -> None:
    """Check the keys of a model config against those of open_clip.

    Raises:
        ValueError: a key is unknown or missing, or a section is not a mapping.
    """
    if missing := [key for key in REQUIRED if key not in config]:
        raise ValueError(f"no {', '.join(missing)}; an open_clip model config has {', '.join(REQUIRED)}")
    for section, known in _config_keys().items():
        values = config[section] if section else config
        if not isinstance(values, Mapping):
            raise ValueError(f"{section}: must be a section of keys")
        for key in values:
            if key not in known:
                name = f"{section}.{key}" if section else key
                raise ValueError(f"{name}: unknown key{did_you_mean(str(key), known)}")


@cache
def _config_keys() -> dict[str, set[str]]:
    """The keys of open_clip's model configs, by section ("" for the config itself).

    They are read from its source code, because importing it imports torch.
    """
    source = (_folder() / "model.py").read_text(encoding="utf-8")
    classes = {node.name: node for node in ast.parse(source).body if isinstance(node, ast.ClassDef)}
    keys = {"": set(FACTORY_KEYS)}
    for name in MODELS:
        for method in classes[name].body:
            if isinstance(method, ast.FunctionDef) and method.name == "__init__":
                keys[""] |= {argument.arg for argument in method.args.args} - {"self"}
    for section, name in SECTIONS.items():
        fields = [field.target for field in classes[name].body if isinstance(field, ast.AnnAssign)]
        keys[section] = {target.id for target in fields if isinstance(target, ast.Name)}
    return keys


def pretrained_tags(name: str) -> Sequence[str]:
    """Tags of the pretrained weights of an architecture."""
    tags: Sequence[str] = _pretrained().list_pretrained_tags_by_model(name)
    return tags


def pretrained_config(name: str, tag: str) -> Mapping[str, Any]:
    """open_clip's settings for pretrained weights: `mean`, `std`, maybe `quick_gelu`; empty for unknown tags."""
    found: Mapping[str, Any] = _pretrained().get_pretrained_cfg(name, tag)
    return found


def _loaded() -> ModuleType | None:
    """open_clip if it is imported already, because further architectures may be registered there; else None."""
    return sys.modules.get("open_clip")


def _folder() -> Path:
    spec = importlib.util.find_spec("open_clip")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError("open_clip is not installed", name="open_clip")
    return Path(spec.submodule_search_locations[0])


@cache
def _pretrained() -> ModuleType:
    """open_clip's table of pretrained weights, imported without its package, which imports torch."""
    package = ModuleType("_open_clip_names")
    package.__path__ = [str(_folder())]
    sys.modules[package.__name__] = package
    with modules_replaced(dict.fromkeys(HEAVY)):
        return importlib.import_module(f"{package.__name__}.pretrained")
