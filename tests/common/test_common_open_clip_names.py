"""Names of open_clip's models are available without importing it."""

import json
import subprocess
import sys

from workflow_scripts.common.open_clip_models import open_clip

LIGHT = """
import json, sys
from workflow_scripts.common import open_clip_names as names
known = {"architectures": sorted(names.architectures()), "config": names.model_config("ViT-L-14")}
known |= {"tags": list(names.pretrained_tags("ViT-B-16")), "weights": names.pretrained_config("ViT-B-16", "openai")}
known |= {"none": [names.model_config("No-Such"), names.pretrained_config("ViT-B-16", "no_such")]}
known |= {"heavy": [name for name in ("torch", "open_clip", "huggingface_hub") if name in sys.modules]}
import safetensors.torch, torch
assert torch.zeros(1).item() == 0
print(json.dumps(known))
"""


def test_names_tags_and_configs_are_those_of_open_clip_without_its_imports() -> None:
    ran = subprocess.run([sys.executable, "-c", LIGHT], capture_output=True, text=True, check=True)
    known = json.loads(ran.stdout)
    # What other tests told open_clip of is not in its package.
    assert set(known["architectures"]) == {name for name in open_clip.list_models() if not name.endswith("tests")}
    assert known["config"] == open_clip.get_model_config("ViT-L-14")
    assert known["tags"] == open_clip.list_pretrained_tags_by_model("ViT-B-16")
    assert known["weights"] == json.loads(json.dumps(open_clip.get_pretrained_cfg("ViT-B-16", "openai")))
    assert known["none"] == [None, {}]
    assert known["heavy"] == []
