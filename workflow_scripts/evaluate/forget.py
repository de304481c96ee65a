"""Remove the features of benchmarks that include an image that was taken down."""

import json
import logging
import shutil
from pathlib import Path

from workflow_scripts.common.cli import run
from workflow_scripts.common.files import same_bytes

logger = logging.getLogger(__name__)


def forget(*, features: tuple[Path, ...], work: Path) -> None:
    """Remove features and their copies in the work folders.

    Args:
        features: feature files to remove.
        work: the folder of cached results, shared by all runs.
    """
    kept = [(json.loads(path.read_text(encoding="utf-8"))["name"], path.parent) for path in work.glob("*/key.json")]
    for path in features:
        for folder in [folder for name, folder in kept if name == path.name and same_bytes(folder / name, path)]:
            logger.info("%s: removed", folder)
            shutil.rmtree(folder)
        path.unlink(missing_ok=True)


if __name__ == "__main__":
    run(forget)
