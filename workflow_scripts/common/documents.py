"""JSON files that pass from one stage to another, checked against their contracts."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from workflow_scripts.common.errors import InputError
from workflow_scripts.common.files import write_json
from workflow_scripts.contracts import Document


def read_document(path: Path, document: Document) -> dict[str, Any]:
    """A JSON file that has the keys of its contract.

    Raises:
        InputError: it is missing, no JSON, or lacks a key.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: no readable JSON: {error}") from None
    if missing := _missing(found, document):
        raise InputError(f"{path}: no {', '.join(missing)} ({document.name}); make it again")
    return dict(found)


def write_document(path: Path, value: Mapping[str, Any], document: Document) -> None:
    """Write what a contract asks for, whole and with sorted keys.

    Raises:
        ValueError: a key is missing; that is a fault of the code that made it.
    """
    if missing := _missing(value, document):
        raise ValueError(f"{path}: no {', '.join(missing)} ({document.name})")
    write_json(path, value)


def without_folders(value: Any) -> Any:
    """A nested value in which each absolute path is its last name alone: where files lie is one machine's affair."""
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
