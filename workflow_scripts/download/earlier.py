"""Reuse of images that earlier work of the same corpus has, so that hosts are asked only for the rest.

Earlier work is any work folder of another key, finished or not. An image is taken over when its id, address, crop, the
settings of the kept picture and the step's version are the same. So is a failure, unless a setting that decides about
it (content types, sizes, allowed addresses, robots) has another value for its host now: other settings ask for nothing
else. What failed in passing is for `retry_failed`, or for another number of `passes`. Images that were taken whatever
`X-Robots-Tag` says are asked for again once it counts.
"""

import json
import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
from pydantic import ValidationError

from workflow_scripts.common import tables
from workflow_scripts.common.config.download import PICTURE, DownloadSettings
from workflow_scripts.common.errors import InputError
from workflow_scripts.common.files import sha256_file
from workflow_scripts.common.losses import may_come
from workflow_scripts.common.work_folder import DONE, WorkFolder
from workflow_scripts.download.attempts import ATTEMPT_FIELDS, IMAGES, Earlier
from workflow_scripts.download.part_files import MANIFEST, PART

logger = logging.getLogger(__name__)

# What an image may fail for, and the settings that decide about it.
DECIDED_BY: dict[str, tuple[str, ...]] = {
    "http_error": (),
    "connection": (),
    "unknown_host": (),
    "certificate": ("check_certificates",),
    "timeout": (),
    "truncated": (),
    "unsupported": (),
    "too_small": (),
    "bad_crop": (),
    "not_an_image": ("content_types",),
    "too_large": ("max_bytes", "max_pixels"),
    "disallowed_by_robots": ("respect_robots",),
    "disallowed_address": ("allow_hosts",),
}
# What a row failed for; of an image `ok`, or `unverified` where a host's certificate was not checked.
_REASON = (
    "CASE WHEN found.error IS NOT NULL THEN split_part(found.error, ':', 1) "
    "WHEN found.unverified THEN 'unverified' ELSE 'ok' END"
)
# Whose settings decide: a certificate may be that of a host that the image's own sends on to.
_CERTIFICATE_OF = r"nullif(regexp_extract(found.error, '^certificate: ([^ ]+?):? ', 1), '')"
FIELDS = [field.name for field in ATTEMPT_FIELDS if field.name != "pass_number"]
MEASURES = ("md5", "width", "height")


@dataclass(frozen=True)
class _Folder:
    """A work folder of another key."""

    path: Path
    name: str
    settings: DownloadSettings

    @property
    def finished(self) -> bool:
        return (self.path / DONE).exists()


class EarlierWork:
    """The work folders of other keys beside one's own.

    Args:
        part: the part's table of images.
        folder: its work folder.
        key: its key.
        settings: its settings.
    """

    def __init__(self, part: Path, folder: Path, key: Mapping[str, Any], settings: DownloadSettings) -> None:
        self._part = part
        self._folder = folder
        self._key = key
        self._settings = settings

    def find(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Make the table `earlier` of what is taken over for the images of the view `part`."""
        columns = ", ".join(f"{field.name} {tables_type(str(field.type))}" for field in ATTEMPT_FIELDS)
        connection.execute(
            f"CREATE OR REPLACE TEMP TABLE earlier ({columns}, md5 VARCHAR, width BIGINT, height BIGINT, file VARCHAR)"
        )
        connection.execute("ALTER TABLE earlier DROP COLUMN pass_number")
        folders = sorted(self._others(), key=lambda one: (not one.finished, -one.path.stat().st_mtime_ns))
        for one in folders:
            if one.name == self._key["name"]:
                self._take(connection, one)
        for one in self._moved_from(connection, [one for one in folders if one.name != self._key["name"]]):
            self._take(connection, one)
        counted = connection.execute("SELECT count(*), count(*) FILTER (status = 'ok') FROM earlier").fetchone()
        if counted is not None and counted[0]:
            logger.info("%d rows, %d of them images, are taken over from earlier work", *counted)

    def rows(self, connection: duckdb.DuckDBPyConnection, uuids: Iterable[str]) -> dict[str, Earlier]:
        """What is taken over for some images, by uuid."""
        names = [*FIELDS, *MEASURES, "file"]
        found = connection.execute(
            f"SELECT {', '.join(names)} FROM earlier WHERE uuid IN (SELECT unnest($uuids))", {"uuids": list(uuids)}
        ).fetchall()
        rows = [dict(zip(names, values, strict=True)) for values in found]
        return {
            row["uuid"]: Earlier(
                found={name: row[name] for name in FIELDS if name not in ("uuid", "image_offset", "image_size")},
                measures={name: row[name] for name in MEASURES},
                file=Path(row["file"]) if row["file"] and row["image_size"] else None,
                offset=row["image_offset"] or 0,
                size=row["image_size"] or 0,
            )
            for row in rows
        }

    def _others(self) -> Iterator[_Folder]:
        for record in self._folder.parent.glob("*/key.json"):
            folder = record.parent
            if folder == self._folder or not (folder / PART).exists():
                continue
            key = json.loads(record.read_text(encoding="utf-8"))
            try:
                settings = DownloadSettings.model_validate(key["settings"])
            except (ValidationError, KeyError):
                continue
            same_code = all(key.get(name) == self._key[name] for name in ("step", "version"))
            if same_code and all(getattr(settings, name) == getattr(self._settings, name) for name in PICTURE):
                yield _Folder(folder, key["name"], settings)

    def _moved_from(self, connection: duckdb.DuckDBPyConnection, folders: list[_Folder]) -> list[_Folder]:
        """The folders of other parts that had images of this one: those whose part was dealt anew since."""
        left = "SELECT uuid FROM part WHERE uuid NOT IN (SELECT uuid FROM earlier)"
        if not connection.execute(f"{left} LIMIT 1").fetchall():
            return []
        # What is still a part of the catalog has no image of this one.
        current = {path.stat().st_ino for path in self._part.parent.parent.glob("*/part-*.parquet")}
        old = {str(one.path / PART): one for one in folders if (one.path / PART).stat().st_ino not in current}
        if not old:
            return []
        having = connection.execute(
            f"SELECT DISTINCT filename FROM {tables.scan_named([Path(path) for path in old])} "
            f"WHERE uuid IN ({left}) ORDER BY filename"
        ).fetchall()
        return [old[name] for (name,) in having]

    def _take(self, connection: duckdb.DuckDBPyConnection, one: _Folder) -> None:
        """Add to `earlier` what a folder has of images that are not in it yet."""
        try:
            found = _finished(one.path) if one.finished else _unfinished(one.path)
            if not found:
                return
            connection.execute(may_come())
            connection.register("reopened", self._reopened(connection, found, one.settings))
            same_passes = "true" if one.settings.passes == self._settings.passes else "false"
            names = ", ".join([*FIELDS, *MEASURES, "file"])
            reasons = ", ".join(map(tables.literal, DECIDED_BY))
            connection.execute(
                f"INSERT INTO earlier ({names}) SELECT {', '.join(f'found.{name}' for name in names.split(', '))} "
                f"FROM ({found}) AS found "
                f"INNER JOIN {tables.scan(one.path / PART)} AS asked USING (uuid) "
                "INNER JOIN part ON part.uuid = asked.uuid AND part.source_url = asked.source_url "
                "AND part.host = asked.host AND part.crop IS NOT DISTINCT FROM asked.crop "
                f"WHERE part.host <> '' AND NOT found.transient AND (found.status = 'ok' OR {_REASON} IN ({reasons})) "
                f"AND ({same_passes} OR NOT coalesce(may_come(found.status, found.error, found.http_status), false)) "
                f"AND (coalesce({_CERTIFICATE_OF}, part.host), {_REASON}) NOT IN (FROM reopened) "
                "AND part.uuid NOT IN (SELECT uuid FROM earlier)"
            )
            if one.finished:
                _leave_damaged(connection, one.path)
        except (duckdb.Error, InputError, OSError) as error:
            # Another job may be at it, and finish, while it is read here.
            logger.warning("%s: not used: %s", one.path, str(error).splitlines()[0])

    def _reopened(self, connection: duckdb.DuckDBPyConnection, found: str, then: DownloadSettings) -> pa.Table:
        """Hosts and what of theirs is asked for again: a reason of failure, or `ok`."""
        now = self._settings
        reopened: list[tuple[str, str]] = []
        hosts = connection.execute(
            "SELECT host FROM part WHERE host <> '' "
            f"UNION SELECT {_CERTIFICATE_OF} FROM ({found}) AS found WHERE starts_with(found.error, 'certificate')"
        ).fetchall()
        for (host,) in hosts:
            reasons = {
                reason
                for reason, names in DECIDED_BY.items()
                if any(then.decides(name, host) != now.decides(name, host) for name in names)
            }
            if now.respect_robots and not then.respect_robots:
                reasons |= {"ok", "unverified"}
            if then.unchecked_hosts - now.unchecked_hosts:
                reasons.add("unverified")
            if then.of_host(host).rewrite != now.of_host(host).rewrite:
                reasons |= {"ok", "unverified", *DECIDED_BY}
            reopened += [(host, reason) for reason in reasons]
        columns = dict(zip(("host", "reason"), zip(*reopened, strict=True), strict=True)) if reopened else {}
        return pa.table({name: pa.array(columns.get(name, ()), pa.string()) for name in ("host", "reason")})


def _leave_damaged(connection: duckdb.DuckDBPyConnection, folder: Path) -> None:
    """Take nothing from tars of finished work that are not as they were left."""
    sums = WorkFolder(folder, {}).sums()
    for (file,) in connection.execute(
        "SELECT DISTINCT file FROM earlier WHERE starts_with(file, $folder) ORDER BY file", {"folder": f"{folder}/"}
    ).fetchall():
        if not Path(file).is_file() or sha256_file(Path(file)) != sums.get(Path(file).name):
            logger.warning("%s: missing or changed since it was finished; its images are fetched again", file)
            connection.execute("DELETE FROM earlier WHERE file = $file", {"file": file})


def tables_type(arrow: str) -> str:
    """DuckDB's name of an Arrow type."""
    return {"string": "VARCHAR", "bool": "BOOLEAN", "double": "DOUBLE"}.get(arrow, "BIGINT")


def _finished(folder: Path) -> str:
    """The query for what a finished folder has."""
    own = {
        "requests": "attempts",
        "transient": "false",
        "open_ended": "false",
        "refusals": "NULL",
        "image_offset": '"offset"',
        "image_size": "size",
    }
    columns = ", ".join(f"{own.get(name, name)} AS {name}" for name in (*FIELDS, *MEASURES))
    file = f"{tables.literal(f'{folder}/')} || tar AS file"
    return f"SELECT {columns}, {file} FROM {tables.scan(folder / MANIFEST)}"


def _unfinished(folder: Path) -> str:
    """The query for what an unfinished folder has in its finished shards, or nothing."""
    shards = sorted(folder.glob("pass-*/[0-9]*.parquet"))
    if not shards or (folder / MANIFEST).exists():
        return ""
    own = {"requests": "sum(requests) OVER (PARTITION BY uuid)"}
    columns = ", ".join(f"{own.get(name, name)} AS {name}" for name in (*FIELDS, *MEASURES))
    file = f"regexp_replace(filename, '[.]parquet$', {tables.literal(IMAGES)}) AS file"
    return (
        f"SELECT {columns}, {file} FROM {tables.scan_named(shards)} "
        "QUALIFY row_number() OVER (PARTITION BY uuid ORDER BY pass_number DESC) = 1"
    )
