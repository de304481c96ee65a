"""Imports without torch, for libraries that load it for parts which no light step uses.

webdataset and img2dataset (by webdataset, and by albumentations) and mlcroissant import torch where they find it: 1.2
seconds and 200 MB in a step that writes a tar. Their writers, readers and downloaders work without.
"""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_TURN = threading.RLock()


@contextmanager
def torch_hidden() -> Iterator[None]:
    """Let imports in the block find no torch, unless this process has loaded it already."""
    with _TURN:
        if "torch" in sys.modules:
            yield
            return
        # The import system takes None for a module that cannot be imported.
        sys.modules["torch"] = None  # type: ignore[assignment]
        try:
            yield
        finally:
            del sys.modules["torch"]
