"""Hides torch from libraries that import it for parts that light steps do not use.

webdataset and img2dataset (by webdataset, and by albumentations) and mlcroissant import torch where they find it: 1.2
seconds and 200 MB in a step that writes a tar. Their writers, readers and downloaders work without.
"""

import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

_TURN = threading.RLock()


@contextmanager
def torch_hidden() -> Iterator[None]:
    """Let imports in the block find no torch, unless this process has loaded it already."""
    with _TURN:
        if "torch" in sys.modules:
            yield
            return
        with modules_replaced({"torch": None}):
            yield


@contextmanager
def modules_replaced(modules: Mapping[str, Any]) -> Iterator[None]:
    """Imports find these modules instead of their own, also where those are loaded; None: the import fails."""
    before = {name: sys.modules[name] for name in modules if name in sys.modules}
    sys.modules |= modules
    try:
        yield
    finally:
        for name in modules:
            del sys.modules[name]
        sys.modules |= before
