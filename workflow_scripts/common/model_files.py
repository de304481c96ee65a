"""File names in a model's folder."""

CONFIG_FILE = "open_clip_config.json"
WEIGHTS_FILE = "open_clip_model.safetensors"
REPLAY_PROJECTOR_FILE = "replay_projector.safetensors"
LINEAGE_FILE = "lineage.json"
BIOCLIP2_FILE = "bioclip2.pt"
"""The complete model, for `--pretrained` of BioCLIP 2's code."""
