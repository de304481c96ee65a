"""Acquire the images of a table: fetch them in passes, store them in tars, and record the outcome of every row."""

import threading
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa

from workflow_scripts.common import tables
from workflow_scripts.common.accounts import write_account
from workflow_scripts.common.allocator import give_back_freed
from workflow_scripts.common.config.download import DownloadLimits, DownloadSettings
from workflow_scripts.common.tars import member_places, read_at, write_tar
from workflow_scripts.contracts import DOWNLOADS, TO_FETCH
from workflow_scripts.download import local
from workflow_scripts.download.attempts import ATTEMPT_FIELDS, IMAGES, Attempt, Fetch, Row
from workflow_scripts.download.earlier import EarlierWork
from workflow_scripts.download.hosts import Hosts
from workflow_scripts.download.memory import Room
from workflow_scripts.download.part_files import ACCOUNT, MANIFEST, MEMORY_MB
from workflow_scripts.download.passes import Passes, judge
from workflow_scripts.download.schedule import Refuse
from workflow_scripts.download.summary import account_of
from workflow_scripts.download.taken_down import TakenDown
from workflow_scripts.download.user_agent import UserAgent
from workflow_scripts.download.web import Web


@dataclass(frozen=True)
class Acquisition:
    """Acquires the images of a part.

    Attributes:
        settings: sizes and checks of images.
        limits: limits of requests and memory.
        hosts: the hosts' policies in this job.
        agent: the user agent of requests.
        taken_down: images that must not be downloaded again.
        stopping: set when the job must end.
    """

    settings: DownloadSettings
    limits: DownloadLimits
    hosts: Hosts
    agent: UserAgent
    taken_down: TakenDown
    stopping: threading.Event

    def run(self, part: Path, folder: Path, earlier: EarlierWork | None = None) -> None:
        """Acquire the images of `part`. Resumes unfinished work in `folder`.

        Args:
            part: the table of images.
            folder: where tars, account and manifest are written.
            earlier: earlier work to reuse images from.

        Raises:
            InputError: the contact, an allowed host or a proxy is invalid.
            Stopped: the job received a signal to end.
        """
        web = Web(
            settings=self.settings,
            limits=self.limits,
            hosts=self.hosts,
            agent=self.agent,
            stopping=self.stopping,
        )
        give_back_freed()
        passes = Passes(
            folder=folder,
            part=part,
            settings=self.settings,
            limits=self.limits,
            fetch=self._fetch(web),
            refuse=self._refuse(web),
            hosts=self.hosts,
            stopping=self.stopping,
            earlier=earlier,
        )
        passes.run()
        _write_tars(folder, passes)
        self._write_manifest(folder, part, passes)

    def _write_manifest(self, folder: Path, part: Path, passes: Passes) -> None:
        """Write the account, then the manifest, which marks the folder as complete."""
        shards = [*passes.shards(1), *passes.later_shards()]
        query = Path(__file__).with_name("manifest.sql").read_text(encoding="utf-8")
        with tables.connect(MEMORY_MB) as connection:
            tables.read(connection, part, TO_FETCH, "part")
            if shards:
                connection.execute(f"CREATE TEMP VIEW attempts AS SELECT * FROM {tables.scan(shards)}")
            else:
                connection.register("attempts", _no_attempts())
            judge(connection, self.limits)
            list_places(connection, folder.glob("images-*.tar"))
            connection.execute(f"CREATE TEMP TABLE manifest AS {query}")
            write_account(folder / ACCOUNT, account_of(connection, "manifest", part.stem))
            tables.write(connection, "SELECT * FROM manifest", DOWNLOADS, folder / MANIFEST)

    def _refuse(self, web: Web) -> Refuse:
        def refuse(row: Row) -> None:
            self.taken_down.check_id(row.uuid)
            if row.host:
                web.check(row)

        return refuse

    def _fetch(self, web: Web) -> Fetch:
        def fetch(row: Row, attempt: Attempt, room: Room) -> bytes:
            if row.earlier is not None:
                self.taken_down.check_md5(row.earlier.measures["md5"])
                return row.earlier.take(attempt)
            if row.host:
                body = web.get(row, attempt, room)
            else:
                body = local.get(row.url, attempt, self.settings.max_bytes, room)
            self.taken_down.check_bytes(body)
            return body

        return fetch


def _write_tars(folder: Path, passes: Passes) -> None:
    """Write one tar per shard of the first pass, with that shard's images from all passes, sorted by uuid."""
    with tables.connect(MEMORY_MB) as connection:
        connection.execute(
            "CREATE TEMP TABLE later (uuid VARCHAR, filename VARCHAR, image_offset BIGINT, image_size BIGINT)"
        )
        # Once rather than per tar: a part has thousands of shards.
        if shards := passes.later_shards():
            connection.execute(f"INSERT INTO later {_images(shards)} ORDER BY uuid")
        for shard in passes.shards(1):
            tar = folder / f"images-{shard.stem}.tar"
            if not tar.exists():
                write_tar(tar, _kept(connection, shard))


def _images(shards: list[Path]) -> str:
    return f"SELECT uuid, filename, image_offset, image_size FROM {tables.scan_named(shards)} WHERE status = 'ok'"


def _kept(connection: duckdb.DuckDBPyConnection, shard: Path) -> Iterator[tuple[str, dict[str, bytes]]]:
    with ExitStack() as opened:
        places = connection.execute(
            f"{_images([shard])} UNION ALL SELECT * FROM later WHERE uuid IN (SELECT uuid FROM {tables.scan(shard)}) "
            "ORDER BY uuid"
        ).fetchall()
        names = {name for _, name, *_ in places}
        files = {name: opened.enter_context(Path(name).with_suffix(IMAGES).open("rb")) for name in names}
        for uuid, name, offset, size in places:
            yield uuid, {"jpg": read_at(files[name], offset, size)}


def list_places(connection: duckdb.DuckDBPyConnection, tars: Iterable[Path]) -> None:
    """Create the table `places`: tar, offset and size (bytes) of each image in `tars`."""
    connection.execute('CREATE OR REPLACE TEMP TABLE places (uuid VARCHAR, tar VARCHAR, "offset" BIGINT, size BIGINT)')
    for tar in sorted(tars):
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
