"""open_clip is imported without the packages that CLIP does not need, and they can be imported afterwards."""

import subprocess
import sys

CODE = """
import sys
from workflow_scripts.common.open_clip_import import import_open_clip
assert import_open_clip().create_model
assert not {"torch._dynamo.utils", "sympy", "wandb"} & sys.modules.keys()
import torch, torchvision
roi_align = sys.modules["torchvision.ops.roi_align"]
print(roi_align.is_compile_supported("cpu"))
import torch._dynamo.utils
assert roi_align.is_compile_supported("cpu") == torch._dynamo.utils.is_compile_supported("cpu")
boxes = torch.tensor([[0.0, 0.0, 0.0, 4.0, 4.0]])
print(tuple(torchvision.ops.roi_align(torch.ones(1, 1, 8, 8), boxes, 2).shape))
assert torch.compile(lambda x: x + 1, backend="eager")(torch.ones(2)).tolist() == [2.0, 2.0]
assert __import__("wandb").init
"""
TIMM = """
from workflow_scripts.common import clip
from workflow_scripts.common.vision_model import VisionModel
import timm
print(VisionModel(timm.create_model("test_resnet", num_classes=0)).transform())
"""


def test_open_clip_is_imported_without_the_compiler_which_works_when_it_is_called() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n")[1] == "(1, 1, 2, 2)"


def test_a_timm_model_brings_its_preprocessing_in_a_process_of_its_own() -> None:
    done = subprocess.run([sys.executable, "-c", TIMM], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Normalize" in done.stdout
