"""Read and write JSON files between stages, checked against their contracts."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from workflow_scripts.common.errors import InputError
from workflow_scripts.common.files import write_json
from workflow_scripts.contracts import Document


def read_document(path: Path, document: Document) -> dict[str, Any]:
    """Read a JSON file and check that it has the keys of its contract.

    Raises:
        InputError: the file does not exist, is not JSON, or lacks a key.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as JSON: {error}") from None
    if missing := _missing(found, document):
        raise InputError(f"{path}: no {', '.join(missing)} ({document.name}); rerun the step that writes it")
    return dict(found)


def write_document(path: Path, value: Mapping[str, Any], document: Document) -> None:
    """Write a JSON file atomically, with sorted keys, after checking it against its contract.

    Raises:
        ValueError: a key is missing, which is a bug.
    """
    if missing := _missing(value, document):
        raise ValueError(f"{path}: no {', '.join(missing)} ({document.name})")
    write_json(path, value)


def without_folders(value: Any) -> Any:
    """A nested value with each absolute path reduced to its last component, to be independent of the machine."""
    if isinstance(value, dict):
        return {name: without_folders(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [without_folders(inner) for inner in value]
    scheme, separator, path = value.rpartition(":") if isinstance(value, str) else ("", "", "")
    return f"{scheme}{separator}{Path(path).name}" if path.startswith("/") and not path.startswith("//") else value


def _missing(value: Any, document: Document) -> list[str]:
    return [key for key in document.keys if not _has(value, key.split("."))]


def _has(value: Any, keys: list[str]) -> bool:
    for key in keys:
        if not isinstance(value, Mapping) or key not in value:
            return False
        value = value[key]
    return True
