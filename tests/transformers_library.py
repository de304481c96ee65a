"""The library transformers, where `make transformers` has put it or an environment has it."""

from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).resolve().parents[1] / ".transformers"


def transformers(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module, to be found for the length of a test; without one the test is left out."""
    if FOLDER.is_dir():
        monkeypatch.syspath_prepend(str(FOLDER))
    return pytest.importorskip("transformers", reason="make transformers")
