"""Download the images of one part into tars.

In: the part's table of images. Out: tars of JPEGs, `account.json`, and `manifest.parquet` with the outcome of each row.
"""

import logging
import os
import shutil
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from workflow_scripts.common import tables
from workflow_scripts.common.accounts import read_account
from workflow_scripts.common.cli import run
from workflow_scripts.common.config.download import DownloadLimits, DownloadSettings
from workflow_scripts.common.config.site import PRODUCT
from workflow_scripts.common.errors import InputError
from workflow_scripts.common.files import link
from workflow_scripts.common.step_versions import versioned
from workflow_scripts.common.work_folder import WorkFolder, do_once
from workflow_scripts.contracts import TO_FETCH
from workflow_scripts.download.acquisition import Acquisition
from workflow_scripts.download.budget import Budget
from workflow_scripts.download.earlier import EarlierWork
from workflow_scripts.download.hosts import Hosts
from workflow_scripts.download.part_files import ACCOUNT, MANIFEST, MEMORY_MB, PART, part_digest
from workflow_scripts.download.passes import Stopped
from workflow_scripts.download.taken_down import TakenDown
from workflow_scripts.download.user_agent import UserAgent

logger = logging.getLogger(__name__)

UUID_PATTERN = "[A-Za-z0-9_-]{1,90}"


def fetch(
    *,
    part: Path,
    settings: DownloadSettings,
    limits: DownloadLimits,
    work: Path,
    out_dir: Path,
    contact: str | None = None,
    product: str = PRODUCT,
    ledger: Path | None = None,
    others: tuple[Path, ...] = (),
    parts: int = 1,
    turn: int = 0,
    wait: bool = False,
) -> None:
    """Download the images of one part.

    Args:
        part: parquet table of images to fetch; extra columns are allowed.
        settings: sizes and checks of images. Images of earlier work with the same picture settings are reused.
        limits: limits of requests and memory. Changing them downloads nothing again.
        work: parent of the work folders of all parts.
        out_dir: output folder: the tars, account.json and, last, manifest.parquet.
        contact: mail or web address in the user agent.
        product: name in the user agent.
        ledger: images permanently taken down from the corpus (contract LEDGER); may not exist. It does not affect
            reruns, since `curate.takedown` itself rewrites the affected parts.
        others: tables of the hosts of all parts (contract NAMED_HOSTS). Redirects to hosts of other parts are not
            followed.
        parts: number of parts. They share the hosts that are only reached by redirects.
        turn: this part's index among them, from 0.
        wait: if another process is downloading this part, wait until it ends and adopt its work.

    Raises:
        BusyError: another process is downloading this part, and `wait` is not given.
        InputError: the part, the contact, an allowed host or a proxy is invalid.
    """

    def download(folder: WorkFolder) -> list[str]:
        with stop_on_signals() as stopping:
            budget = Budget(limits, part, others=others, parts=parts, turn=turn)
            acquisition = Acquisition(
                settings=settings,
                limits=limits,
                hosts=Hosts(limits, stopping, budget, work, contact=contact),
                agent=UserAgent(product, contact),
                taken_down=TakenDown(ledger),
                stopping=stopping,
            )
            return _download(acquisition, part, folder)

    do_once(work, work_key(part, settings), download, out_dir, MANIFEST, wait=wait)
    account = read_account(out_dir / ACCOUNT)
    logger.info("%s: %d of %d images; lost: %s", part.stem, account.kept, account.rows_in, dict(account.dropped))


def work_key(part: Path, settings: DownloadSettings) -> dict[str, Any]:
    """The key of a part's work folder: everything that the download depends on."""
    return {
        "part": part_digest(part),
        # The account contains the name, and empty parts have the same digest.
        "name": part.stem,
        "settings": settings.model_dump(mode="json"),
        **versioned("download.fetch"),
    }


def _download(acquisition: Acquisition, part: Path, work: WorkFolder) -> list[str]:
    folder = work.path
    if (folder / "done.json").exists():
        logger.warning("%s: finished but damaged; downloading the part again", folder)
        _clear(folder)
    if not (folder / MANIFEST).exists():
        _check_names(part)
        # A copy of the requested images, for later work with other settings.
        link(part, folder / PART)
        acquisition.run(part, folder, EarlierWork(part, folder, work.key, acquisition.settings))
    # From here on only the manifest counts. A job killed before done.json is written resumes at this line.
    for attempts in folder.glob("pass-*"):
        shutil.rmtree(attempts)
    shutil.rmtree(folder / "in_hand", ignore_errors=True)
    return [MANIFEST, ACCOUNT, *(tar.name for tar in sorted(folder.glob("images-*.tar")))]


def _clear(folder: Path) -> None:
    # done.json goes last: if the job is killed, the folder is still recognized as damaged.
    for path in (folder / MANIFEST, folder / ACCOUNT, *folder.glob("images-*.tar"), folder / "done.json"):
        path.unlink(missing_ok=True)


def _check_names(part: Path) -> None:
    """Check that all uuids are valid names of tar members."""
    with tables.connect(MEMORY_MB) as connection:
        tables.read(connection, part, TO_FETCH, "part")
        invalid = connection.execute(
            f"SELECT uuid FROM part WHERE NOT regexp_full_match(uuid, {tables.literal(UUID_PATTERN)}) LIMIT 1"
        ).fetchone()
    if invalid is not None:
        raise InputError(f"{part}: uuid {invalid[0]!r} is not a valid file name; use up to 90 letters, digits, - and _")


@contextmanager
def stop_on_signals() -> Iterator[threading.Event]:
    """An event set by SIGTERM and SIGINT. The step then stops and keeps finished work; a second signal exits at once.

    Raising from the signal handler would leave img2dataset's thread pool waiting forever.
    """
    stopping = threading.Event()
    received: list[int] = []

    def stop(number: int, frame: FrameType | None) -> None:
        if received:
            os._exit(128 + number)
        received.append(number)
        stopping.set()

    if threading.current_thread() is not threading.main_thread():
        yield stopping
        return
    earlier = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stopping
    except Stopped:
        raise SystemExit(128 + received[0]) from None
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)


if __name__ == "__main__":
    run(fetch)
