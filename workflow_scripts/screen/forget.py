"""Remove images from the judges' findings and from the sample pages that show them; everything else stays as it is."""

import json
import logging
from collections.abc import Set
from pathlib import Path

from workflow_scripts.common import tables
from workflow_scripts.common.cli import run
from workflow_scripts.common.files import link
from workflow_scripts.common.layout import Corpus
from workflow_scripts.common.takedowns import names_any, read_taken_down, register
from workflow_scripts.common.work_folder import DONE, open_work_folder
from workflow_scripts.contracts import FINDINGS, SEEN_FINDINGS, Contract
from workflow_scripts.screen.part_files import CHUNKS, FOUND, SEEN

logger = logging.getLogger(__name__)


def forget(*, corpus: Path, images: Path) -> None:
    """Rewrite the tables of findings without the images, and remove the sample pages that show one of them.

    Args:
        corpus: the corpus's folder.
        images: the images to remove (contract LEDGER).

    Raises:
        BusyError: a judge is writing one of the tables.
        InputError: the table of images is missing or breaks its contract.
    """
    files, uuids = Corpus(str(corpus)), read_taken_down(images)
    # The pages first: they are made again from the remaining findings.
    for page in files.sample.found():
        text = page.read_text(encoding="utf-8", errors="replace")
        if any(uuid in text for uuid in uuids):
            page.unlink()
            logger.info("%s: removed", page)
    root = Path(files.screen_work())
    for recorded in sorted(root.glob("*/key.json")):
        _forget_in(root, json.loads(recorded.read_text(encoding="utf-8")), recorded.parent, files, uuids)
    for table in (*files.gathered_findings.found(), *files.findings.found()):
        _drop(table, FINDINGS, uuids)


def _forget_in(root: Path, key: dict[str, str], folder: Path, files: Corpus, uuids: Set[str]) -> None:
    """Remove images from a judge's work folder for one part."""
    files_of_part = [path for path in (folder / SEEN, folder / FOUND, *folder.glob(CHUNKS)) if path.exists()]
    if not any(names_any(path, uuids) for path in files_of_part):
        return
    published = Path(files.findings(judge=key["judge"], part=key["name"].removeprefix("part-")))
    with open_work_folder(root, key, target=published, wait=False) as work:
        is_published = published.exists() and (folder / FOUND).exists() and published.samefile(folder / FOUND)
        is_finished = (folder / DONE).exists()
        (folder / DONE).unlink(missing_ok=True)
        for path in files_of_part:
            _drop(path, FINDINGS if path.name == FOUND else SEEN_FINDINGS, uuids)
        if is_finished:
            work.finish([SEEN, FOUND])
        if is_published:
            link(folder / FOUND, published)


def _drop(table: Path, contract: Contract, uuids: Set[str]) -> None:
    if not names_any(table, uuids):
        return
    with tables.connect() as connection:
        register(connection, uuids)
        tables.read(connection, table, contract, "findings")
        tables.write(connection, "FROM findings ANTI JOIN taken_down USING (uuid)", contract, table)
    logger.info("%s: rewritten", table)


if __name__ == "__main__":
    run(forget)
