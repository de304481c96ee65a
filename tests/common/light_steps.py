"""Which commands need torch, and which decode images, for the test of imports and the bench of start-up."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = {
    ".".join(path.relative_to(ROOT / "workflow_scripts").with_suffix("").parts)
    for path in (ROOT / "workflow_scripts").rglob("*/*.py")
    if 'if __name__ == "__main__":' in path.read_text()
}
# They load models, train, or say what torch finds on this machine.
WITH_TORCH = {
    "common.doctor",
    "models.fetch",
    *(f"evaluate.{name}" for name in ("embed", "embed_images", "predict")),
    *(name for name in COMMANDS if name.startswith("evaluate.") and name.endswith(".score")),
    *(f"screen.{name}" for name in ("classes", "clip", "faces")),
    *(f"train.{name}" for name in ("export", "export_transformers", "launch", "run", "species_texts")),
}
LIGHT = sorted(COMMANDS - WITH_TORCH)
"""Commands whose work needs no torch."""
WITH_IMAGES = {
    *(name for name in LIGHT if name.endswith(".index") and name != "evaluate.carved.index"),
    *("download.fetch", "download.retry", "replay.write", "shards.write"),
    *("common.init", "report.trace", "report.trained_on", "screen.animals", "screen.sample", "world.make"),
}
"""Of them, those that decode images."""
