"""The passes over a part: every image once, then those that failed for a passing reason again.

A pass is cut into shards. A finished shard is one parquet file, `pass-<n>/<shard>.parquet`, which is never fetched
again; whatever was in hand when the job was killed is.
"""

import logging
import os
import shutil
import threading
from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path

import duckdb

from workflow_scripts.common import tables
from workflow_scripts.common.config.download import DownloadLimits, DownloadSettings
from workflow_scripts.common.progress import Progress
from workflow_scripts.contracts import TO_FETCH
from workflow_scripts.download.attempts import Row
from workflow_scripts.download.engine import Fetch, run_shard
from workflow_scripts.download.verify import Verifier

logger = logging.getLogger(__name__)

MEMORY_MB = 512


class Stopped(Exception):
    """The job was told to end."""


class Passes:
    """A part's passes in a folder of their own.

    Args:
        folder: where finished shards are kept.
        part: the table of images.
        settings: images a tar, and how many passes.
        limits: connections at once, and the waits between passes.
        fetch: gives an image's body.
        stopping: set when the job must end.
    """

    def __init__(
        self,
        *,
        folder: Path,
        part: Path,
        settings: DownloadSettings,
        limits: DownloadLimits,
        fetch: Fetch,
        stopping: threading.Event,
    ) -> None:
        self.folder = folder
        self._part = part
        self._settings = settings
        self._limits = limits
        self._fetch = fetch
        self._stopping = stopping
        self._verify = Verifier(settings)

    def run(self) -> None:
        """Run or resume all passes.

        Raises:
            Stopped: the job was told to end; finished shards are kept.
        """
        with tables.connect(MEMORY_MB) as connection:
            tables.read(connection, self._part, TO_FETCH, "part")
            self._run(1, "SELECT uuid, source_url, host FROM part", connection)
        for number in range(2, self._settings.passes + 1):
            finished = self.shards(number - 1)
            if not finished:
                return
            open_rows = f"SELECT uuid, url, host FROM {tables.scan(finished)} WHERE transient"
            with tables.connect(MEMORY_MB) as connection:
                if connection.execute(f"SELECT 1 FROM ({open_rows}) LIMIT 1").fetchone() is None:
                    return
                if not self._directory(number).exists():
                    self._wait(self._limits.wait * 2 ** (number - 2))
                self._run(number, open_rows, connection)

    def shards(self, number: int) -> list[Path]:
        """The finished shards of a pass."""
        return sorted(self._directory(number).glob("[0-9]*.parquet"))

    def later_shards(self) -> list[Path]:
        """The finished shards of all passes but the first."""
        return [shard for number in range(2, self._settings.passes + 1) for shard in self.shards(number)]

    def _directory(self, number: int) -> Path:
        return self.folder / f"pass-{number}"

    def _wait(self, seconds: float) -> None:
        logger.info("waiting %.1f s before the next pass", seconds)
        if self._stopping.wait(seconds):
            raise Stopped

    def _run(self, number: int, query: str, connection: duckdb.DuckDBPyConnection) -> None:
        directory = self._directory(number)
        directory.mkdir(parents=True, exist_ok=True)
        total = connection.execute(f"SELECT count(*) FROM ({query})").fetchone()
        assert total is not None
        what = f"download {self._part.stem}" + (f", pass {number}" if number > 1 else "")
        with Progress(what, total[0], "images") as progress:
            for shard, rows in zip(count(), self._chunks(query, connection), strict=False):
                finished = directory / f"{shard:05d}.parquet"
                if finished.exists():
                    progress.update(len(rows))
                else:
                    self._run_shard(number, rows, finished, progress)

    def _chunks(self, query: str, connection: duckdb.DuckDBPyConnection) -> Iterator[list[Row]]:
        result = connection.execute(f"{query} ORDER BY uuid")
        while rows := result.fetchmany(self._settings.images_per_tar):
            yield [Row(*row) for row in rows]

    def _run_shard(self, number: int, rows: Sequence[Row], finished: Path, progress: Progress) -> None:
        in_hand = self.folder / "in_hand"
        shutil.rmtree(in_hand, ignore_errors=True)
        in_hand.mkdir()
        made = run_shard(
            rows,
            pass_number=number,
            fetch=self._fetch,
            verify=self._verify,
            threads=min(self._limits.threads, len(rows)),
            folder=in_hand,
            on_row=progress.update,
        )
        # What is missing in a shard cut short by a signal was not the hosts' fault.
        if self._stopping.is_set():
            raise Stopped
        with made.open("rb") as file:
            os.fsync(file.fileno())
        made.replace(finished)
        shutil.rmtree(in_hand)
