"""Download one part: a table of images into tars, and a manifest that accounts for every row."""

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
        settings: checks of images. Images that earlier work has under the same picture settings are taken over.
        limits: limits of requests and memory. A change downloads nothing again.
        work: folder for the work folders of all parts.
        out_dir: where tars, account.json and, last, manifest.parquet are published.
        contact: mail or web address in the user agent.
        product: name in the user agent.
        ledger: what was taken down from the corpus for good, once anything was. It is no part of what a part depends
            on: `curate.takedown` rewrites the parts that had such images.
        others: tables of the hosts that this part and those beside it name (contract NAMED_HOSTS): a redirect to
            one that is another part's is not followed here.
        parts: how many parts there are, with this one: they share the hosts that only redirects lead to.
        turn: this part's place among them, from 0.
        wait: when another process is at this part, wait until it is done and take over its work.

    Raises:
        BusyError: another process is at this part, and `wait` is not given.
        InputError: the part, the contact, an allowed host or a proxy is not usable.
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
    logger.info("%s: %d images, %d came; not: %s", part.stem, account.rows_in, account.kept, dict(account.dropped))


def work_key(part: Path, settings: DownloadSettings) -> dict[str, Any]:
    """What a part's download depends on."""
    return {
        "part": part_digest(part),
        # The account names the part, and parts without rows are all alike.
        "name": part.stem,
        "settings": settings.model_dump(mode="json"),
        **versioned("download.fetch"),
    }


def _download(acquisition: Acquisition, part: Path, work: WorkFolder) -> list[str]:
    folder = work.path
    if (folder / "done.json").exists():
        logger.warning("%s: finished before, but damaged since; the part is downloaded again", folder)
        _clear(folder)
    if not (folder / MANIFEST).exists():
        _check_names(part)
        # What was asked for, for later work with other settings.
        link(part, folder / PART)
        acquisition.run(part, folder, EarlierWork(part, folder, work.key, acquisition.settings))
    # From here on the manifest alone says what there is; a kill before done.json is written comes back to this line.
    for attempts in folder.glob("pass-*"):
        shutil.rmtree(attempts)
    shutil.rmtree(folder / "in_hand", ignore_errors=True)
    return [MANIFEST, ACCOUNT, *(tar.name for tar in sorted(folder.glob("images-*.tar")))]


def _clear(folder: Path) -> None:
    # What says that it is damaged goes last, so that a kill leaves nothing that is taken for whole.
    for path in (folder / MANIFEST, folder / ACCOUNT, *folder.glob("images-*.tar"), folder / "done.json"):
        path.unlink(missing_ok=True)


def _check_names(part: Path) -> None:
    """Refuse uuids that cannot stand as names in a tar."""
    with tables.connect(MEMORY_MB) as connection:
        tables.read(connection, part, TO_FETCH, "part")
        wrong = connection.execute(
            f"SELECT uuid FROM part WHERE NOT regexp_full_match(uuid, {tables.literal(UUID_PATTERN)}) LIMIT 1"
        ).fetchone()
    if wrong is not None:
        raise InputError(f"{part}: uuid {wrong[0]!r} cannot name a file; use letters, digits, - and _")


@contextmanager
def stop_on_signals() -> Iterator[threading.Event]:
    """An event that SIGTERM and SIGINT set; the step then ends with what is finished. A second signal ends it at once.

    img2dataset's thread pool would wait for ever if a signal's exception broke its loop.
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
