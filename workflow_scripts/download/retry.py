"""Retry only the transient failures of finished parts.

The failures of all parts are requested together in one job, which has all hosts to itself, so that no part waits for
another part's slow hosts. The downloaded images are added to each part as a further tar, and its manifest is updated. A
part without new images is not touched, so that later steps do not rerun.
"""

import json
import logging
import shutil
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import duckdb

from workflow_scripts.common import tables
from workflow_scripts.common.accounts import Account, write_account
from workflow_scripts.common.cli import run
from workflow_scripts.common.config.download import DownloadLimits, DownloadSettings
from workflow_scripts.common.config.site import PRODUCT
from workflow_scripts.common.errors import InputError
from workflow_scripts.common.files import digest, sha256_file
from workflow_scripts.common.losses import may_come
from workflow_scripts.common.remedies import snakemake
from workflow_scripts.common.tars import read_at, write_tar
from workflow_scripts.common.work_folder import DONE, WorkFolder, exclusive, open_work_folder
from workflow_scripts.contracts import DOWNLOADS, TO_FETCH
from workflow_scripts.download.acquisition import Acquisition, list_places
from workflow_scripts.download.budget import Budget
from workflow_scripts.download.fetch import stop_on_signals, work_key
from workflow_scripts.download.hosts import Hosts
from workflow_scripts.download.part_files import ACCOUNT, MANIFEST, MEMORY_MB
from workflow_scripts.download.summary import account_of
from workflow_scripts.download.taken_down import TakenDown
from workflow_scripts.download.user_agent import UserAgent

logger = logging.getLogger(__name__)

HERE = Path(__file__).parent
TODO = "to_retry.parquet"


def retry(
    *,
    parts: tuple[Path, ...],
    manifests: tuple[Path, ...],
    settings: DownloadSettings,
    limits: DownloadLimits,
    work: Path,
    replay_parts: tuple[Path, ...] = (),
    replay_manifests: tuple[Path, ...] = (),
    replay_settings: DownloadSettings = DownloadSettings(),  # noqa: B008 (frozen)
    contact: str | None = None,
    product: str = PRODUCT,
    ledger: Path | None = None,
) -> None:
    """Retry images of finished parts that failed transiently or were deferred: the corpus's, then replay's.

    Args:
        parts: the parts' tables of images.
        manifests: the published manifest of each part, in the same order.
        settings: the settings that the parts were downloaded with.
        limits: limits of requests and memory.
        work: parent of the work folders of all parts.
        replay_parts: tables of replay pairs.
        replay_manifests: the published manifest of each replay part, in the same order.
        replay_settings: the settings that the replay parts were downloaded with.
        contact: mail or web address in the user agent.
        product: name in the user agent.
        ledger: images permanently taken down from the corpus (contract LEDGER); may not exist.

    Raises:
        BusyError: another process is downloading a part, or is retrying.
        InputError: a part was not downloaded, or with other settings.
    """
    if not (parts or replay_parts):
        raise InputError(f"{work}: nothing was downloaded yet; run `{snakemake('fetch')}` first")
    with stop_on_signals() as stopping, exclusive(work / ".retry.lock", wait=False):
        kinds = {"corpus": (parts, manifests, settings), "replay": (replay_parts, replay_manifests, replay_settings)}
        for kind, (kind_parts, published, kind_settings) in kinds.items():
            account = work / f"retried-{kind}.json"
            account.unlink(missing_ok=True)
            acquisition = Acquisition(
                settings=kind_settings,
                limits=limits,
                hosts=Hosts(limits, stopping, Budget(limits), work, contact=contact, retry_given_up=True),
                agent=UserAgent(product, contact),
                taken_down=TakenDown(ledger),
                stopping=stopping,
            )
            if kind_parts:
                write_account(account, Retry(kind_parts, published, acquisition, work).run(kind))


class Retry:
    """A retry of the parts of one kind (corpus or replay).

    Args:
        parts: the parts' tables of images.
        manifests: the published manifest of each part, in the same order.
        acquisition: acquires the images.
        work: parent of the work folders of all parts.
    """

    def __init__(self, parts: Sequence[Path], manifests: Sequence[Path], acquisition: Acquisition, work: Path) -> None:
        self._parts = parts
        self._manifests = manifests
        self._acquisition = acquisition
        self._work = work
        # Named by the settings, so that a killed retry is resumed.
        self._folder = work / f"retry-{digest(acquisition.settings.model_dump(mode='json'))[:16]}"
        self._done: dict[str, list[tuple[Path, dict[str, Any]]]] = {}
        for record in work.glob("*/key.json"):
            key = json.loads(record.read_text(encoding="utf-8"))
            if record.with_name(MANIFEST).exists():
                self._done.setdefault(key["name"], []).append((record.parent, key))

    def run(self, kind: str) -> Account:
        """Request the failures again and merge the new images. A kill at any point leaves each part consistent.

        Returns:
            The account of the retried images.
        """
        retried = Account("retry", kind, "images", 0, 0, {})
        todo = self._folder / TODO
        if not todo.exists():
            self._write_todo(todo)
        with tables.connect(MEMORY_MB) as connection:
            found = connection.execute(f"SELECT DISTINCT part FROM {tables.scan(todo)} ORDER BY part").fetchall()
        if found:
            if not (self._folder / MANIFEST).exists():
                self._acquisition.run(todo, self._folder)
            for (number,) in found:
                self._merge(self._parts[number], self._manifests[number])
            with tables.connect(MEMORY_MB) as connection:
                retried = account_of(connection, tables.scan(self._folder / MANIFEST), kind)
        logger.info("retried %d images, downloaded %d; lost: %s", retried.rows_in, retried.kept, dict(retried.dropped))
        # Renamed before it is deleted, so that the next retry never resumes a half-deleted folder.
        spent = self._folder.with_name(f".{self._folder.name}.spent")
        shutil.rmtree(spent, ignore_errors=True)
        self._folder.replace(spent)
        shutil.rmtree(spent)
        return retried

    def _write_todo(self, todo: Path) -> None:
        """Write the rows of all parts to retry, each with its part's index in the list."""
        query = may_come() + (HERE / "retry.sql").read_text(encoding="utf-8")
        pieces = []
        for number, part in enumerate(self._parts):
            with self._open(part, self._manifests[number]) as folder, tables.connect(MEMORY_MB) as connection:
                tables.read(connection, part, TO_FETCH, "part")
                tables.read(connection, folder.path / MANIFEST, DOWNLOADS, "manifest")
                connection.execute(query)
                rows = f"SELECT uuid, source_url, host, crop, {number}::BIGINT AS part FROM todo"
                pieces.append(self._folder / f"{number:05d}.parquet")
                tables.write(connection, rows, TO_FETCH, pieces[-1])
        with tables.connect(MEMORY_MB) as connection:
            tables.read(connection, pieces, TO_FETCH, "pieces")
            images = tables.write(connection, "SELECT * FROM pieces", TO_FETCH, todo)
        logger.info("retrying %d images of %d parts", images, len(pieces))

    def _open(self, part: Path, published: Path) -> AbstractContextManager[WorkFolder]:
        """Open the folder of a part's finished work, of any version of the step.

        Raises:
            InputError: there is no such folder.
        """
        wanted = work_key(part, self._acquisition.settings)
        found = []
        for folder, key in self._done.get(part.stem, []):
            if key | {"version": None} == wanted | {"version": None} and published.exists():
                is_published = sha256_file(folder / MANIFEST) == sha256_file(published)
                found.append((is_published, key == wanted, folder.name, key))
        if not found:
            raise InputError(f"{part}: not downloaded with these settings yet; run `{snakemake('fetch')}` first")
        *_, key = max(found, key=lambda entry: entry[:-1])
        return open_work_folder(self._work, key, wait=False)

    def _merge(self, part: Path, published: Path) -> None:
        """Add a part's new images to its finished work, and publish it again."""
        with self._open(part, published) as folder, tables.connect(MEMORY_MB) as connection:
            manifest = folder.path / MANIFEST
            checksums = {name: checksum for name, checksum in folder.sums().items() if name.endswith(".tar")}
            tables.read(connection, manifest, DOWNLOADS, "earlier")
            connection.execute("CREATE TEMP TABLE manifest AS SELECT * FROM earlier")
            connection.execute(
                f"CREATE TEMP TABLE fetched AS SELECT fetched.* FROM {tables.scan(self._folder / MANIFEST)} AS fetched "
                "INNER JOIN manifest USING (uuid) WHERE manifest.status <> 'ok'"
            )
            came = tables.scalar(connection, "SELECT count(*) FROM fetched WHERE status = 'ok'")
            logger.info("%s: %d new images", part, came)
            if came:
                tar = folder.path / f"images-retry-{_next_retry(connection):02d}.tar"
                checksums.pop(tar.name, None)
                write_tar(tar, self._images(connection))
                list_places(connection, [tar])
                connection.execute(f"CREATE TEMP TABLE merged AS {(HERE / 'retried.sql').read_text(encoding='utf-8')}")
                # Without done.json, the download step adopts the folder by its manifest.
                (folder.path / DONE).unlink(missing_ok=True)
                # The manifest last, since it shows that the images were merged.
                write_account(folder.path / ACCOUNT, account_of(connection, "merged", part.stem))
                tables.write(connection, "SELECT * FROM merged", DOWNLOADS, manifest)
            # Needed without new images too, if an earlier retry was killed between these steps.
            if not (folder.path / DONE).exists():
                folder.finish([MANIFEST, ACCOUNT, *(tar.name for tar in folder.path.glob("images-*.tar"))], checksums)
            if sha256_file(manifest) != sha256_file(published):
                folder.publish(published.parent, MANIFEST)

    def _images(self, connection: duckdb.DuckDBPyConnection) -> Iterator[tuple[str, dict[str, bytes]]]:
        """The new images of a part, sorted by uuid."""
        places = connection.execute(
            "SELECT uuid, tar, \"offset\", size FROM fetched WHERE status = 'ok' ORDER BY uuid"
        ).fetchall()
        for uuid, tar, offset, size in places:
            with (self._folder / tar).open("rb") as file:
                yield uuid, {"jpg": read_at(file, offset, size)}


def _next_retry(connection: duckdb.DuckDBPyConnection) -> int:
    """The number of the next retry tar: one more than the highest in the manifest."""
    query = (
        "SELECT coalesce(max(regexp_extract(tar, '^images-retry-(\\d+)', 1)::BIGINT) + 1, 0) FROM manifest "
        "WHERE starts_with(tar, 'images-retry-')"
    )
    return int(tables.scalar(connection, query))


if __name__ == "__main__":
    run(retry)
