"""The passes over a part: every image once, then transient failures again.

A pass consists of shards. A finished shard is a parquet file, `pass-<n>/<shard>.parquet`, with its images beside it,
and is never fetched again. If the job is killed, only the shard in progress is lost.
"""

import logging
import math
import os
import shutil
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import duckdb

from workflow_scripts.common import tables
from workflow_scripts.common.config.download import DownloadLimits, DownloadSettings
from workflow_scripts.common.progress import Progress
from workflow_scripts.contracts import TO_FETCH
from workflow_scripts.download.attempts import IMAGES, Fetch, Row
from workflow_scripts.download.earlier import EarlierWork
from workflow_scripts.download.hosts import BAN_AFTER, Hosts
from workflow_scripts.download.memory import DecodingMemory, Memory
from workflow_scripts.download.part_files import MEMORY_MB
from workflow_scripts.download.schedule import Refuse, Schedule
from workflow_scripts.download.verify import Verifier

logger = logging.getLogger(__name__)

# The first passes postpone images of slow hosts; later passes wait for all hosts.
POSTPONING = 2


class Stopped(Exception):
    """The job received a signal to end."""


class Passes:
    """A part's passes, kept in a folder.

    Args:
        folder: where finished shards are kept.
        part: the table of images.
        settings: images per tar, number of passes, and checks of images.
        limits: number of connections, memory, and waits between passes.
        fetch: returns a row's body or raises `Fault`.
        refuse: raises `Fault` for rows that must not be requested.
        hosts: the hosts' policies in this job.
        stopping: set when the job must end.
        earlier: earlier work whose results the first pass reuses.
    """

    def __init__(
        self,
        *,
        folder: Path,
        part: Path,
        settings: DownloadSettings,
        limits: DownloadLimits,
        fetch: Fetch,
        refuse: Refuse,
        hosts: Hosts,
        stopping: threading.Event,
        earlier: EarlierWork | None = None,
    ) -> None:
        self.folder = folder
        self._earlier = earlier
        self._part = part
        self._settings = settings
        self._limits = limits
        self._fetch = fetch
        self._refuse = refuse
        self._stopping = stopping
        self._hosts = hosts
        self._memory = Memory(limits.body_memory_mb * 2**20, stopping)
        self._verify = Verifier(settings, DecodingMemory(limits.image_memory_mb * 2**20, stopping))
        self._last = settings.passes + POSTPONING

    def run(self) -> None:
        """Run or resume all passes.

        Raises:
            Stopped: the job received a signal to end; finished shards are kept.
        """
        with tables.connect(MEMORY_MB) as connection:
            tables.read(connection, self._part, TO_FETCH, "part")
            if self._earlier is not None:
                self._earlier.find(connection)
            rows = "SELECT uuid, source_url, host, crop FROM part"
            self._run(1, rows, connection)
            for number in range(2, self._last + 1):
                finished = [shard for earlier in range(1, number) for shard in self.shards(earlier)]
                if not finished:
                    return
                connection.execute(f"CREATE OR REPLACE TEMP VIEW attempts AS SELECT * FROM {tables.scan(finished)}")
                judge(connection, self._limits)
                connection.execute(
                    "CREATE OR REPLACE TEMP TABLE open_rows AS SELECT uuid, error FROM outcomes "
                    f"WHERE transient AND all_requests < {self._settings.passes}"
                )
                # Images that were only postponed need no wait.
                rows_left, failed = tables.one_row(
                    connection, "SELECT count(*), count(*) FILTER (NOT starts_with(error, 'other')) FROM open_rows"
                )
                if not rows_left:
                    return
                if failed and not self._directory(number).exists():
                    self._wait(self._limits.wait * 2 ** (number - 2))
                self._hosts.begin_pass()
                self._run(number, f"{rows} WHERE uuid IN (SELECT uuid FROM open_rows)", connection)

    def shards(self, number: int) -> list[Path]:
        """The finished shards of a pass."""
        return sorted(self._directory(number).glob("[0-9]*.parquet"))

    def later_shards(self) -> list[Path]:
        """The finished shards of all passes but the first."""
        return [shard for number in range(2, self._last + 1) for shard in self.shards(number)]

    def _directory(self, number: int) -> Path:
        return self.folder / f"pass-{number}"

    def _wait(self, seconds: float) -> None:
        logger.info("waiting %.1f s before the next pass", seconds)
        if self._stopping.wait(seconds):
            raise Stopped

    def _run(self, number: int, query: str, connection: duckdb.DuckDBPyConnection) -> None:
        directory = self._directory(number)
        directory.mkdir(parents=True, exist_ok=True)
        connection.execute(f"CREATE OR REPLACE TEMP VIEW todo AS {query}")
        connection.execute(f"SET VARIABLE images_per_tar = {self._settings.images_per_tar}")
        connection.execute(Path(__file__).with_name("plan.sql").read_text(encoding="utf-8"))
        shards = connection.execute("SELECT shard, count(*) FROM plan GROUP BY shard ORDER BY shard").fetchall()
        last_shard = dict(connection.execute("SELECT host, max(shard) FROM plan GROUP BY host").fetchall())
        label = f"download {self._part.stem}" + (f", pass {number}" if number > 1 else "")
        with Progress(label, sum(images for _, images in shards), "images") as progress:
            for shard, images in shards:
                finished = directory / f"{shard:05d}.parquet"
                if finished.exists():
                    came = tables.scalar(
                        connection, f"SELECT count(*) FROM {tables.scan(finished)} WHERE status = 'ok'"
                    )
                    progress.update(came, lost=images - came)
                    continue
                # Later passes were planned from this pass's results, which may change now.
                for later in range(number + 1, self._last + 1):
                    shutil.rmtree(self._directory(later), ignore_errors=True)

                def others_wait(slow: set[str], shard: int = shard) -> bool:
                    return any(last > shard for host, last in last_shard.items() if host not in slow)

                self._run_shard(
                    number,
                    self._rows(connection, number, shard),
                    finished,
                    progress,
                    others_wait if number <= POSTPONING else None,
                )

    def _rows(self, connection: duckdb.DuckDBPyConnection, number: int, shard: int) -> list[Row]:
        found = connection.execute(
            "SELECT uuid, source_url, host, crop.x, crop.y, crop.width, crop.height "
            f"FROM plan WHERE shard = {shard} ORDER BY uuid"
        ).fetchall()
        rows = [
            Row(uuid, url, host, None if crop[0] is None else (crop[0], crop[1], crop[2], crop[3]))
            for uuid, url, host, *crop in found
        ]
        if self._earlier is None or number > 1:
            return rows
        earlier = self._earlier.rows(connection, [row.uuid for row in rows])
        # No host, so that no policy applies, and a unique URL, so that no body is shared.
        return [
            replace(row, host="", url=f"earlier:{row.uuid}", earlier=earlier[row.uuid]) if row.uuid in earlier else row
            for row in rows
        ]

    def _run_shard(
        self,
        number: int,
        rows: Sequence[Row],
        finished: Path,
        progress: Progress,
        others_wait: Callable[[set[str]], bool] | None,
    ) -> None:
        # Imported here, since img2dataset is slow to import and only needed if something is downloaded.
        from workflow_scripts.download.engine import run_shard

        scratch = self.folder / "in_hand"
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir()
        closes = self._limits.close_after
        schedule = Schedule(
            rows,
            hosts=self._hosts,
            stopping=self._stopping,
            closes=math.inf if closes is None else utc(closes).timestamp(),
            refuse=self._refuse,
            others_wait=others_wait,
        )
        made = run_shard(
            rows,
            pass_number=number,
            fetch=self._fetch,
            schedule=schedule,
            memory=self._memory,
            verify=self._verify,
            threads=min(self._limits.threads, len(rows)),
            folder=scratch,
            on_row=lambda came: progress.update(int(came), lost=int(not came)),
        )
        # Discard a shard that a signal interrupted: its failures are not the hosts'.
        if self._stopping.is_set():
            raise Stopped
        # The table last, since it marks the shard as finished.
        for source, target in ((made.with_suffix(IMAGES), finished.with_suffix(IMAGES)), (made, finished)):
            with source.open("rb") as file:
                os.fsync(file.fileno())
            source.replace(target)
        shutil.rmtree(scratch)


def judge(connection: duckdb.DuckDBPyConnection, limits: DownloadLimits) -> None:
    """Create the view `outcomes` from `attempts`: the last attempt of each image, deferred if it was part of a ban."""
    connection.execute(f"SET VARIABLE ban_after = {min(BAN_AFTER, limits.stop_after)}")
    connection.execute(Path(__file__).with_name("outcomes.sql").read_text(encoding="utf-8"))


def utc(time: datetime) -> datetime:
    """A time from the config, in UTC unless it has a time zone."""
    return time if time.tzinfo is not None else time.replace(tzinfo=UTC)
