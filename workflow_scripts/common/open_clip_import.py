"""Import open_clip quickly, and beside any build of torch."""

import importlib
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

import torch

logger = logging.getLogger(__name__)

COMPILER = "torch._dynamo.utils"


def import_open_clip() -> ModuleType:
    """Import open_clip, also where torchvision was built for another version of torch.

    Such a torchvision fails on import because its operators are not declared. CLIP uses none of them, so declaring
    their schemas is enough. With matching builds nothing is declared.
    """
    with _light_imports():
        try:
            importlib.import_module("torchvision")
        except RuntimeError as error:
            if "torchvision::" not in str(error):
                raise
            logger.info("torchvision does not match this torch (%s); its operators are declared without code", error)
            for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
                del sys.modules[name]
            for operator in ("nms", "qnms"):
                torch.library.define(
                    f"torchvision::{operator}", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
                )
        return importlib.import_module("open_clip")


@contextmanager
def _light_imports() -> Iterator[None]:
    """Keep two heavy packages from being imported along with open_clip.

    - torch's compiler takes as long to import as torch itself. torchvision wants one function of it, for operators
      that CLIP does not use: a stand-in imports the compiler when it is called.
    - timm imports wandb wherever it is installed, and wandb makes temporary folders on import.
    """
    stand_in = ModuleType(COMPILER)
    stand_in.__dict__["is_compile_supported"] = _is_compile_supported
    placed: dict[str, ModuleType | None] = {
        name: module for name, module in {COMPILER: stand_in, "wandb": None}.items() if name not in sys.modules
    }
    # None makes an import fail as if the package were not installed.
    sys.modules.update(placed)  # type: ignore[arg-type]
    try:
        yield
    finally:
        for name in placed:
            del sys.modules[name]


def _is_compile_supported(device_type: str) -> bool:
    return bool(importlib.import_module(COMPILER).is_compile_supported(device_type))
