"""Try again only what failed for a passing reason in a part that is finished.

What comes goes into further tars beside the part's own, and into its manifest; when nothing comes, nothing changes, so
that what follows has no reason to run again.
"""

import logging
import shutil
from pathlib import Path

from workflow_scripts.common import tables
from workflow_scripts.common.accounts import write_account
from workflow_scripts.common.cli import run
from workflow_scripts.common.config.download import DownloadLimits, DownloadSettings
from workflow_scripts.common.errors import InputError
from workflow_scripts.common.work_folder import WorkFolder, open_work_folder
from workflow_scripts.contracts import DOWNLOADS, TO_FETCH
from workflow_scripts.download.fetch import ACCOUNT, MANIFEST, acquire, stop_on_signals, work_key
from workflow_scripts.download.hosts import Hosts
from workflow_scripts.download.passes import MEMORY_MB
from workflow_scripts.download.summary import account_of
from workflow_scripts.download.taken_down import TakenDown

logger = logging.getLogger(__name__)

HERE = Path(__file__).parent
TODO = "todo.parquet"


def retry(
    *,
    part: Path,
    settings: DownloadSettings,
    limits: DownloadLimits,
    work: Path,
    out_dir: Path,
    contact: str | None = None,
    ledger: Path | None = None,
    parts: int = 1,
    turn: int = 0,
) -> None:
    """Try again what failed for a passing reason, or was deferred, in a finished part.

    Args:
        part: the part's table of images.
        settings: as in its download.
        limits: how hard hosts are pressed.
        work: folder for the work folders of all parts.
        out_dir: where the part is published.
        contact: mail or web address in the user agent.
        ledger: what was taken down from the corpus for good, once anything was.
        parts: how many parts there are beside this one.
        turn: this part's place among them, from 0.

    Raises:
        BusyError: another process is at this part.
        InputError: the part is not downloaded, or was with other settings.
    """
    with open_work_folder(work, work_key(part, settings), wait=False) as folder:
        if not folder.finished:
            raise InputError(f"{out_dir}: not downloaded yet with these settings; `snakemake fetch` downloads it")
        # An earlier try that was killed is gone on with.
        again = next(iter(sorted(folder.path.glob("retry-*"))), None) or folder.path / f"retry-{_tries(folder):02d}"
        if _write_todo(folder.path, part, again / TODO):
            with stop_on_signals() as stopping:
                acquire(
                    again,
                    part=again / TODO,
                    settings=settings,
                    limits=limits,
                    hosts=Hosts(limits, stopping, parts, turn),
                    contact=contact,
                    stopping=stopping,
                    taken_down=TakenDown(ledger),
                    label=f"{again.name}-",
                )
            _take_over(folder, again, part)
        shutil.rmtree(again)
        folder.publish(out_dir, MANIFEST)


def _tries(folder: WorkFolder) -> int:
    """How many tries brought something so far."""
    return len({tar.stem[: len("images-retry-00")] for tar in folder.path.glob("images-retry-*.tar")})


def _write_todo(folder: Path, part: Path, todo: Path) -> int:
    """The rows to try again; how many there are."""
    with tables.connect(MEMORY_MB) as connection:
        if not todo.exists():
            tables.read(connection, part, TO_FETCH, "part")
            tables.read(connection, folder / MANIFEST, DOWNLOADS, "manifest")
            connection.execute((HERE / "retry.sql").read_text(encoding="utf-8"))
            tables.write(connection, "SELECT * FROM todo", TO_FETCH, todo)
        counted = connection.execute(f"SELECT count(*) FROM {tables.scan(todo)}").fetchone()
    assert counted is not None
    return int(counted[0])


def _take_over(folder: WorkFolder, again: Path, part: Path) -> None:
    """Make what came a part of the finished work; a kill at any point leaves the work whole, with or without it."""
    with tables.connect(MEMORY_MB) as connection:
        tables.read(connection, again / MANIFEST, DOWNLOADS, "retried")
        came = connection.execute("SELECT count(*) FROM retried WHERE status = 'ok'").fetchone()
        assert came is not None
        logger.info("%d images came", came[0])
        if not came[0]:
            return
        tables.read(connection, folder.path / MANIFEST, DOWNLOADS, "earlier")
        connection.execute("CREATE TEMP TABLE manifest AS SELECT * FROM earlier")
        connection.execute(f"CREATE TEMP TABLE merged AS {(HERE / 'retried.sql').read_text(encoding='utf-8')}")
        for tar in again.glob("images-*.tar"):
            tar.replace(folder.path / tar.name)
        # Without it the download adopts whatever the manifest says.
        (folder.path / "done.json").unlink()
        tables.write(connection, "SELECT * FROM merged", DOWNLOADS, folder.path / MANIFEST)
        write_account(folder.path / ACCOUNT, account_of(connection, "merged", part.stem))
    folder.finish([MANIFEST, ACCOUNT, *(tar.name for tar in folder.path.glob("images-*.tar"))])


if __name__ == "__main__":
    run(retry)
