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

import duckdb
import pyarrow as pa

from workflow_scripts.common import tables
from workflow_scripts.common.accounts import write_account
from workflow_scripts.common.cli import run
from workflow_scripts.common.code_digest import code_digest
from workflow_scripts.common.config.download import DownloadLimits, DownloadSettings
from workflow_scripts.common.errors import InputError
from workflow_scripts.common.tars import member_places, write_tar
from workflow_scripts.common.work_folder import WorkFolder, do_once
from workflow_scripts.contracts import DOWNLOADS, TO_FETCH
from workflow_scripts.download import local
from workflow_scripts.download.attempts import ATTEMPT_FIELDS, Attempt, Row
from workflow_scripts.download.body_memory import Room
from workflow_scripts.download.hosts import Hosts
from workflow_scripts.download.passes import MEMORY_MB, Passes, Stopped
from workflow_scripts.download.summary import account_of
from workflow_scripts.download.taken_down import TakenDown
from workflow_scripts.download.web import Web

logger = logging.getLogger(__name__)

MANIFEST = "manifest.parquet"
ACCOUNT = "account.json"
UUID_PATTERN = "[A-Za-z0-9_-]{1,90}"


def fetch(
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
    wait: bool = False,
) -> None:
    """Download the images of one part.

    Args:
        part: parquet table of images to fetch; extra columns are allowed.
        settings: what is kept of an image. A change downloads again.
        limits: how hard hosts are pressed. A change downloads nothing again.
        work: folder for the work folders of all parts.
        out_dir: where tars, account.json and, last, manifest.parquet are published.
        contact: mail or web address in the user agent.
        ledger: what was taken down from the corpus for good, once anything was. It is no part of what a part depends
            on: `curate.takedown` rewrites the parts that had such images.
        parts: how many parts there are beside this one: they share the hosts that only redirects lead to.
        turn: this part's place among them, from 0.
        wait: when another process is at this part, wait until it is done and take over its work.

    Raises:
        BusyError: another process is at this part, and `wait` is not given.
        InputError: the part, the contact, an allowed host or a proxy is not usable.
    """

    def download(folder: WorkFolder) -> list[str]:
        with stop_on_signals() as stopping:
            hosts = Hosts(limits, stopping, parts, turn)
            return _download(
                folder.path,
                part=part,
                settings=settings,
                limits=limits,
                hosts=hosts,
                contact=contact,
                stopping=stopping,
                taken_down=TakenDown(ledger),
            )

    do_once(work, work_key(part, settings), download, out_dir, MANIFEST, wait=wait)


def work_key(part: Path, settings: DownloadSettings) -> dict[str, Any]:
    """What a part's download depends on."""
    return {
        "part": part_digest(part),
        # The account names the part, and parts without rows are all alike.
        "name": part.stem,
        "settings": settings.model_dump(mode="json"),
        "code": code_digest("workflow_scripts.download.fetch"),
    }


def part_digest(part: Path) -> str:
    """What of a part a download depends on; names, licences and the like may change and nothing is fetched again."""
    with tables.connect(MEMORY_MB) as connection:
        tables.read(connection, part, TO_FETCH, "part")
        row = connection.execute(
            "SELECT count(*), md5(coalesce(string_agg(line, '' ORDER BY uuid), '')) FROM ("
            "SELECT uuid, md5(concat_ws(chr(10), uuid, source_url, host, crop::VARCHAR)) AS line FROM part)"
        ).fetchone()
    assert row is not None
    return f"{row[0]} rows, {row[1]}"


def _download(
    folder: Path,
    *,
    part: Path,
    settings: DownloadSettings,
    limits: DownloadLimits,
    hosts: Hosts,
    contact: str | None,
    stopping: threading.Event,
    taken_down: TakenDown,
) -> list[str]:
    if (folder / "done.json").exists():
        logger.warning("%s: finished before, but damaged since; the part is downloaded again", folder)
        _clear(folder)
    if not (folder / MANIFEST).exists():
        _check_names(part)
        acquire(
            folder,
            part=part,
            settings=settings,
            limits=limits,
            hosts=hosts,
            contact=contact,
            stopping=stopping,
            taken_down=taken_down,
        )
    # From here on the manifest alone says what there is; a kill before done.json is written comes back to this line.
    for attempts in folder.glob("pass-*"):
        shutil.rmtree(attempts)
    shutil.rmtree(folder / "in_hand", ignore_errors=True)
    return [MANIFEST, ACCOUNT, *(tar.name for tar in sorted(folder.glob("images-*.tar")))]


def acquire(
    folder: Path,
    *,
    part: Path,
    settings: DownloadSettings,
    limits: DownloadLimits,
    hosts: Hosts,
    contact: str | None,
    stopping: threading.Event,
    taken_down: TakenDown,
    label: str = "",
) -> None:
    """Fetch the images of `part` and write tars, account and manifest into `folder`; resumes there.

    Args:
        label: stands in the tars' names, to tell them from others.
    """
    web = Web(settings=settings, limits=limits, hosts=hosts, contact=contact, stopping=stopping)

    def get(row: Row, attempt: Attempt, room: Room) -> bytes:
        taken_down.check_id(row.uuid)
        body = web.get(row, attempt, room) if row.host else local.get(row.url, attempt, settings.max_bytes, room)
        taken_down.check_bytes(body)
        return body

    passes = Passes(
        folder=folder, part=part, settings=settings, limits=limits, fetch=get, hosts=hosts, stopping=stopping
    )
    passes.run()
    _write_tars(folder, passes, label)
    _write_manifest(folder, part, passes)


def _clear(folder: Path) -> None:
    (folder / "done.json").unlink()
    for path in (folder / MANIFEST, folder / ACCOUNT, *folder.glob("images-*.tar")):
        path.unlink(missing_ok=True)


def _write_tars(folder: Path, passes: Passes, label: str) -> None:
    """A tar for each shard of the first pass, with its images of all passes in the order of their uuids."""
    for shard in passes.shards(1):
        tar = folder / f"images-{label}{shard.stem}.tar"
        if not tar.exists():
            write_tar(tar, _kept(shard, passes.later_shards()))


def _kept(shard: Path, later: list[Path]) -> Iterator[tuple[str, dict[str, bytes]]]:
    with tables.connect(MEMORY_MB) as connection:
        result = connection.execute(
            f"SELECT uuid, jpg FROM {tables.scan([shard, *later])} WHERE status = 'ok' "
            f"AND uuid IN (SELECT uuid FROM {tables.scan(shard)}) ORDER BY uuid"
        )
        while rows := result.fetchmany(16):
            for uuid, jpg in rows:
                yield uuid, {"jpg": jpg}


def _write_manifest(folder: Path, part: Path, passes: Passes) -> None:
    """The account, then the manifest, by which a reader knows that all is there."""
    shards = [*passes.shards(1), *passes.later_shards()]
    query = Path(__file__).with_name("manifest.sql").read_text(encoding="utf-8")
    with tables.connect(MEMORY_MB) as connection:
        tables.read(connection, part, TO_FETCH, "part")
        if shards:
            connection.execute(f"CREATE TEMP VIEW attempts AS SELECT * EXCLUDE (jpg) FROM {tables.scan(shards)}")
        else:
            connection.register("attempts", _no_attempts())
        _list_places(connection, folder)
        connection.execute(f"CREATE TEMP TABLE manifest AS {query}")
        write_account(folder / ACCOUNT, account_of(connection, "manifest", part.stem))
        tables.write(connection, "SELECT * FROM manifest", DOWNLOADS, folder / MANIFEST)


def _list_places(connection: duckdb.DuckDBPyConnection, folder: Path) -> None:
    """The table `places`: where each image's data lies."""
    connection.execute('CREATE TEMP TABLE places (uuid VARCHAR, tar VARCHAR, "offset" BIGINT, size BIGINT)')
    for tar in sorted(folder.glob("images-*.tar")):
        members = member_places(tar)
        found = pa.table(
            {
                "uuid": pa.array([Path(name).stem for name in members], pa.string()),
                "offset": pa.array([place.offset for place in members.values()], pa.int64()),
                "size": pa.array([place.size for place in members.values()], pa.int64()),
            }
        )
        connection.register("found", found)
        connection.execute(f'INSERT INTO places SELECT uuid, {tables.literal(tar.name)}, "offset", size FROM found')
        connection.unregister("found")


def _no_attempts() -> pa.Table:
    fields = [
        *ATTEMPT_FIELDS,
        pa.field("width", pa.int32()),
        pa.field("height", pa.int32()),
        pa.field("md5", pa.string()),
    ]
    return pa.schema(fields).empty_table()


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
