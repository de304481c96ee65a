"""Reuse the results of earlier work of the same corpus, so that only the remaining images are requested.

Earlier work is any work folder with another key, finished or not. An image is reused if its id, URL, crop, picture
settings and step version are the same. A failure is reused too, unless a setting that may change it (content types,
sizes, allowed addresses, robots) now has another value for its host. Transient failures are requested again by
`retry_failed`, or if `passes` changes. Images downloaded without regard to `X-Robots-Tag` are requested again once
`respect_robots` is set.
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
from workflow_scripts.common.errors import InputError, first_line
from workflow_scripts.common.files import sha256_file
from workflow_scripts.common.losses import may_come
from workflow_scripts.common.work_folder import DONE, WorkFolder
from workflow_scripts.download.attempts import ATTEMPT_FIELDS, IMAGES, Earlier
from workflow_scripts.download.part_files import MANIFEST, PART

logger = logging.getLogger(__name__)

# Reasons of failure, and the settings that each depends on.
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
# A row's reason of failure. Without one: `unverified` if a TLS certificate was not checked, otherwise `ok`.
_REASON = (
    "CASE WHEN found.error IS NOT NULL THEN split_part(found.error, ':', 1) "
    "WHEN found.unverified THEN 'unverified' ELSE 'ok' END"
)
# The host whose certificate failed, which may be the target of a redirect.
_CERTIFICATE_OF = r"nullif(regexp_extract(found.error, '^certificate: ([^ ]+?):? ', 1), '')"
FIELDS = [field.name for field in ATTEMPT_FIELDS if field.name != "pass_number"]
MEASURES = ("md5", "width", "height")


@dataclass(frozen=True)
class _Folder:
    """A work folder with another key."""

    path: Path
    name: str
    settings: DownloadSettings

    @property
    def finished(self) -> bool:
        return (self.path / DONE).exists()


class EarlierWork:
    """The work folders with other keys beside a part's own.

    Args:
        part: the part's table of images.
        folder: the part's work folder.
        key: the key of that folder.
        settings: the part's settings.
    """

    def __init__(self, part: Path, folder: Path, key: Mapping[str, Any], settings: DownloadSettings) -> None:
        self._part = part
        self._folder = folder
        self._key = key
        self._settings = settings

    def find(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Create the table `earlier`: the reused results for the images of the view `part`."""
        columns = ", ".join(f"{field.name} {tables_type(str(field.type))}" for field in ATTEMPT_FIELDS)
        connection.execute(
            f"CREATE OR REPLACE TEMP TABLE earlier ({columns}, md5 VARCHAR, width BIGINT, height BIGINT, file VARCHAR)"
        )
        connection.execute("ALTER TABLE earlier DROP COLUMN pass_number")
        folders = sorted(self._others(), key=lambda other: (not other.finished, -other.path.stat().st_mtime_ns))
        for other in folders:
            if other.name == self._key["name"]:
                self._reuse(connection, other)
        for other in self._moved_from(connection, [other for other in folders if other.name != self._key["name"]]):
            self._reuse(connection, other)
        counted = connection.execute("SELECT count(*), count(*) FILTER (status = 'ok') FROM earlier").fetchone()
        if counted is not None and counted[0]:
            logger.info("reusing %d results of earlier work, %d of them images", *counted)

    def rows(self, connection: duckdb.DuckDBPyConnection, uuids: Iterable[str]) -> dict[str, Earlier]:
        """The reused results for some images, by uuid."""
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
        """The folders of other parts that had images of this part, before images were assigned to parts anew."""
        left = "SELECT uuid FROM part WHERE uuid NOT IN (SELECT uuid FROM earlier)"
        if not connection.execute(f"{left} LIMIT 1").fetchall():
            return []
        # A current part of the catalog shares no image with this one.
        current = {path.stat().st_ino for path in self._part.parent.parent.glob("*/part-*.parquet")}
        old = {str(other.path / PART): other for other in folders if (other.path / PART).stat().st_ino not in current}
        if not old:
            return []
        matches = connection.execute(
            f"SELECT DISTINCT filename FROM {tables.scan_named([Path(path) for path in old])} "
            f"WHERE uuid IN ({left}) ORDER BY filename"
        ).fetchall()
        return [old[name] for (name,) in matches]

    def _reuse(self, connection: duckdb.DuckDBPyConnection, other: _Folder) -> None:
        """Add a folder's results for images that are not in `earlier` yet."""
        try:
            found = _finished(other.path) if other.finished else _unfinished(other.path)
            if not found:
                return
            connection.execute(may_come())
            connection.register("reopened", self._reopened(connection, found, other.settings))
            same_passes = "true" if other.settings.passes == self._settings.passes else "false"
            names = ", ".join([*FIELDS, *MEASURES, "file"])
            reasons = ", ".join(map(tables.literal, DECIDED_BY))
            connection.execute(
                f"INSERT INTO earlier ({names}) SELECT {', '.join(f'found.{name}' for name in names.split(', '))} "
                f"FROM ({found}) AS found "
                f"INNER JOIN {tables.scan(other.path / PART)} AS requested USING (uuid) "
                "INNER JOIN part ON part.uuid = requested.uuid AND part.source_url = requested.source_url "
                "AND part.host = requested.host AND part.crop IS NOT DISTINCT FROM requested.crop "
                f"WHERE part.host <> '' AND NOT found.transient AND (found.status = 'ok' OR {_REASON} IN ({reasons})) "
                f"AND ({same_passes} OR NOT coalesce(may_come(found.status, found.error, found.http_status), false)) "
                f"AND (coalesce({_CERTIFICATE_OF}, part.host), {_REASON}) NOT IN (FROM reopened) "
                "AND part.uuid NOT IN (SELECT uuid FROM earlier)"
            )
            if other.finished:
                _drop_damaged(connection, other.path)
        except (duckdb.Error, InputError, OSError) as error:
            # Another job may be writing the folder, and finish, while it is read here.
            logger.warning("%s: not reused: %s", other.path, first_line(error))

    def _reopened(self, connection: duckdb.DuckDBPyConnection, found: str, then: DownloadSettings) -> pa.Table:
        """The results that are requested again: pairs of host and reason of failure (or `ok`, `unverified`)."""
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


def _drop_damaged(connection: duckdb.DuckDBPyConnection, folder: Path) -> None:
    """Drop results whose tars in a finished folder are missing or do not match their checksum."""
    sums = WorkFolder(folder, {}).sums()
    for (file,) in connection.execute(
        "SELECT DISTINCT file FROM earlier WHERE starts_with(file, $folder) ORDER BY file", {"folder": f"{folder}/"}
    ).fetchall():
        if not Path(file).is_file() or sha256_file(Path(file)) != sums.get(Path(file).name):
            logger.warning("%s: missing or changed since it was written; its images are fetched again", file)
            connection.execute("DELETE FROM earlier WHERE file = $file", {"file": file})


def tables_type(arrow: str) -> str:
    """DuckDB's name for an Arrow type."""
    return {"string": "VARCHAR", "bool": "BOOLEAN", "double": "DOUBLE"}.get(arrow, "BIGINT")


def _finished(folder: Path) -> str:
    """SQL query for the results in a finished folder."""
    renamed = {
        "requests": "attempts",
        "transient": "false",
        "open_ended": "false",
        "refusals": "NULL",
        "image_offset": '"offset"',
        "image_size": "size",
    }
    columns = ", ".join(f"{renamed.get(name, name)} AS {name}" for name in (*FIELDS, *MEASURES))
    file = f"{tables.literal(f'{folder}/')} || tar AS file"
    return f"SELECT {columns}, {file} FROM {tables.scan(folder / MANIFEST)}"


def _unfinished(folder: Path) -> str:
    """SQL query for the results in the finished shards of an unfinished folder; "" if there are none."""
    shards = sorted(folder.glob("pass-*/[0-9]*.parquet"))
    if not shards or (folder / MANIFEST).exists():
        return ""
    renamed = {"requests": "sum(requests) OVER (PARTITION BY uuid)"}
    columns = ", ".join(f"{renamed.get(name, name)} AS {name}" for name in (*FIELDS, *MEASURES))
    file = f"regexp_replace(filename, '[.]parquet$', {tables.literal(IMAGES)}) AS file"
    return (
        f"SELECT {columns}, {file} FROM {tables.scan_named(shards)} "
        "QUALIFY row_number() OVER (PARTITION BY uuid ORDER BY pass_number DESC) = 1"
    )
