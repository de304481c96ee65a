"""Remove report pages and published datasets that contain an image which was taken down."""

import logging
import shutil
from pathlib import Path

from workflow_scripts.common.cli import run

logger = logging.getLogger(__name__)


def forget(*, pages: tuple[Path, ...] = (), published: tuple[Path, ...] = ()) -> None:
    """Remove pages and published datasets. `snakemake report` and `snakemake publish` rebuild them without the image.

    Args:
        pages: report pages.
        published: folders of published datasets.
    """
    for page in pages:
        page.unlink(missing_ok=True)
    for folder in published:
        # The work folder has hard links to the same files.
        shutil.rmtree(folder.parents[1] / ".work/publish", ignore_errors=True)
        shutil.rmtree(folder, ignore_errors=True)
        logger.info("%s: removed", folder)


if __name__ == "__main__":
    run(forget)
