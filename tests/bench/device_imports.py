"""Import open_clip and its trainer on a machine that has PyTorch and little else.

open_clip imports torchvision for images, and transformers, timm and the hub's clients where it finds them. The towers,
the losses and the training loop of CLIP use none of them. So these imports load nothing, whatever the machine has.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import MagicMock

from workflow_scripts.common.torchless import modules_replaced

OPTIONAL = ("horovod", "huggingface_hub", "timm", "transformers", "wandb")
TORCHVISION = (
    "torchvision",
    "torchvision.ops",
    "torchvision.ops.misc",
    "torchvision.transforms",
    "torchvision.transforms.functional",
)


@contextmanager
def only_what_clip_needs() -> Iterator[None]:
    """Block these imports in the block, so that open_clip imports without them; they can be imported afterwards."""
    # A class of open_clip's is derived from this one.
    torchvision = MagicMock(ToTensor=object)
    with modules_replaced(dict.fromkeys(OPTIONAL) | dict.fromkeys(TORCHVISION, torchvision)):
        yield
