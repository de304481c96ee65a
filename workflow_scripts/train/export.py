"""Export a trained model as an open_clip directory.

In: a run's `model.safetensors` and `summary.json`, and the directory that it started from. Out:
`open_clip_model.safetensors`, `replay_projector.safetensors` (with replay), `README.md`, `open_clip_config.json`
(last). `open_clip.create_model_and_transforms("local-dir:OUT")` loads it and needs nothing of this project.
"""

import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file

from workflow_scripts.common.cli import run
from workflow_scripts.common.clip import CONFIG_FILE, REPLAY_PROJECTOR_FILE, REPLAY_PROJECTOR_KEY
from workflow_scripts.common.config.train import ModelSettings
from workflow_scripts.common.errors import InputError
from workflow_scripts.common.files import write_text
from workflow_scripts.train import directory


def export(*, trained: Path, start: Path, model: ModelSettings, title: str, out: Path) -> None:
    """Write the trained model where users and the evaluation load it.

    Args:
        trained: folder with `model.safetensors` and `summary.json`.
        start: open_clip directory of the starting weights, for the architecture.
        model: the model's settings, as JSON, for the preprocessing.
        title: heading of the model card.
        out: the directory.

    Raises:
        InputError: a file is missing or unreadable.
    """
    summary = _read_json(trained / "summary.json")
    described = _read_json(start / CONFIG_FILE)
    weights_file = trained / "model.safetensors"
    try:
        weights = load_file(weights_file)
    except (OSError, SafetensorError) as error:
        raise InputError(f"{weights_file}: cannot be read: {str(error).splitlines()[0]}; train again") from None
    projector = weights.pop(REPLAY_PROJECTOR_KEY, None)
    out.mkdir(parents=True, exist_ok=True)
    write_text(out / "README.md", model_card(title, described["model_cfg"], summary, second=projector is not None))
    directory.save(out, directory.describe(described["model_cfg"], model), weights, projector)


def model_card(title: str, architecture: dict[str, Any], summary: dict[str, Any], *, second: bool) -> str:
    """What the model is, how it was trained and on what, as Markdown."""
    last = summary["last"]
    replay = f" and {summary['replay_samples']:,} replay pairs" if summary["replay_samples"] else ""
    projector = (
        f"\n`{REPLAY_PROJECTOR_FILE}` holds BioCLIP 2's second visual projector, for images unlike biology:\n"
        "multiply the pooled features with it in place of `visual.proj`.\n"
        if second
        else ""
    )
    return f"""---
library_name: open_clip
pipeline_tag: zero-shot-image-classification
tags:
- clip
- biology
---
# {title}

A CLIP model of images and names of organisms.

```python
import open_clip
model, _, preprocess = open_clip.create_model_and_transforms("local-dir:PATH")
tokenizer = open_clip.get_tokenizer("local-dir:PATH")
```
{projector}
## Training

{summary["steps"]:,} steps, {summary["samples"]:,} pairs ({last["epoch"]:.2f} passes){replay},
{summary["parameters"]:,} parameters. Last loss {last["loss"]:.4g}, logit scale {last["logit_scale"]:.4g}.
Unreadable samples replaced: {len(summary["broken_samples"])}.

### Recipe

{_json({"model": summary["model"], "settings": summary["settings"]})}
### Architecture

{_json(architecture)}
### Data and code

SHA-256 of the shards' manifests and indexes, of the labels and of the starting weights; and of the code.

{_json(summary["digests"] | {"versions": summary["versions"]})}"""


def _json(value: Any) -> str:
    return f"```json\n{json.dumps(value, indent=2, sort_keys=True)}\n```\n"


def _read_json(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read: {error}") from None


if __name__ == "__main__":
    run(export)
