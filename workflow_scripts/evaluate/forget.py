"""Remove the features of benchmarks that show an image which was taken down."""

import json
import logging
import shutil
from pathlib import Path

from workflow_scripts.common.cli import run
from workflow_scripts.common.files import sha256_file

logger = logging.getLogger(__name__)


def forget(*, features: tuple[Path, ...], work: Path) -> None:
    """Remove features, and the work folders in which they are kept for other runs.

    Args:
        features: files of features.
        work: where the work folders of all runs are.
    """
    kept = [(json.loads(path.read_text(encoding="utf-8"))["name"], path.parent) for path in work.glob("*/key.json")]
    for path in features:
        for folder in [folder for name, folder in kept if name == path.name and _holds(folder / name, path)]:
            logger.info("%s: removed", folder)
            shutil.rmtree(folder)
        path.unlink(missing_ok=True)


def _holds(one: Path, other: Path) -> bool:
    return one.exists() and other.exists() and (one.samefile(other) or sha256_file(one) == sha256_file(other))


if __name__ == "__main__":
    run(forget)
