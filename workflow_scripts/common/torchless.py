"""Hide torch from libraries that import it for features that light steps do not use.

webdataset, img2dataset (through webdataset and albumentations) and mlcroissant import torch if it is installed, which
takes 1.2 seconds and 200 MB in a step that writes a tar. Their writers, readers and downloaders work without it.
"""

import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

_TURN = threading.RLock()


@contextmanager
def torch_hidden() -> Iterator[None]:
    """Make imports of torch fail within the block, unless this process has imported it already."""
    with _TURN:
        if "torch" in sys.modules:
            yield
            return
        with modules_replaced({"torch": None}):
            yield


@contextmanager
def modules_replaced(modules: Mapping[str, Any]) -> Iterator[None]:
    """Replace modules for imports within the block, even loaded ones; None makes the import fail."""
    before = {name: sys.modules[name] for name in modules if name in sys.modules}
    sys.modules |= modules
    try:
        yield
    finally:
        for name in modules:
            del sys.modules[name]
        sys.modules |= before
