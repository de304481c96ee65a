"""Gather the manifests of a generation's download parts.

In: the parts' catalogs and manifests. Out: one table of all images, an account by source, sums by source and host, and
a CSV list of the images that were not downloaded.
"""

from pathlib import Path

import duckdb

from workflow_scripts.common import tables
from workflow_scripts.common.accounts import SourceRows, by_source, write_account
from workflow_scripts.common.cli import run
from workflow_scripts.common.errors import InputError
from workflow_scripts.common.files import atomic
from workflow_scripts.common.losses import may_come
from workflow_scripts.contracts import CATALOG, DOWNLOAD_HOSTS, DOWNLOADS, GATHERED_DOWNLOADS
from workflow_scripts.download.summary import account_of

HERE = Path(__file__).parent
COUNTED = (
    "catalog_source VARCHAR, host VARCHAR, status VARCHAR, reason VARCHAR, images BIGINT, attempts BIGINT, "
    "seconds DOUBLE, timed BIGINT, stopped BOOLEAN, unverified BIGINT, detail VARCHAR, again BIGINT"
)
LOST = "source VARCHAR, uuid VARCHAR, source_url VARCHAR, host VARCHAR, cause VARCHAR, detail VARCHAR"


def gather(
    *,
    catalog: tuple[Path, ...],
    manifests: tuple[Path, ...],
    parts: tuple[int, ...],
    out: Path,
    account: Path,
    hosts: Path,
    lost: Path,
    memory_mb: int = 2048,
    threads: int = 1,
) -> None:
    """Check that the tars of all manifests exist, then gather the manifests.

    Args:
        catalog: the parts' tables of images.
        manifests: the parts' manifests, in the same order, with their tars beside them.
        parts: the number of each part, in the same order.
        out: output: the gathered table (contract GATHERED_DOWNLOADS).
        account: output: the account of all parts, with counts by source.
        hosts: output: sums by source, host, status and reason (contract DOWNLOAD_HOSTS).
        lost: output: the images that were not downloaded, except those taken down, as CSV (source, uuid, source_url,
            host, cause, detail).
        memory_mb: DuckDB's memory limit, MiB.
        threads: DuckDB's threads.

    Raises:
        InputError: a manifest is missing or violates its contract, or a tar is missing or too short.
    """
    if not len(catalog) == len(manifests) == len(parts):
        raise InputError(
            f"found {len(catalog)} catalog parts, {len(manifests)} manifests and {len(parts)} part numbers; "
            "give one of each per part"
        )
    with tables.connect(memory_mb, threads) as connection:
        tables.read(connection, manifests, DOWNLOADS, "manifests")
        tables.read(connection, catalog, CATALOG, "images")
        query = "SELECT *, NULL::BIGINT AS part FROM manifests"
        if manifests:
            _check_tars(connection, manifests)
            numbered = ", ".join(
                f"({tables.literal(file)}, {part}::BIGINT)" for file, part in zip(manifests, parts, strict=True)
            )
            query = (
                f"SELECT rows.* EXCLUDE (filename), numbered.part FROM {tables.scan_named(manifests)} AS rows "
                f"INNER JOIN (VALUES {numbered}) AS numbered (filename, part) USING (filename)"
            )
        tables.write(connection, query, GATHERED_DOWNLOADS, out)
        _count(connection, catalog, manifests)
        write_account(account, account_of(connection, tables.scan(out), out.stem, sources=_sources(connection)))
        tables.write(connection, (HERE / "hosts.sql").read_text(encoding="utf-8"), DOWNLOAD_HOSTS, hosts)
        with atomic(lost) as temporary:
            connection.execute(
                "COPY (SELECT * FROM lost ORDER BY source, cause, uuid) "
                f"TO {tables.literal(temporary)} (FORMAT csv, HEADER)"
            )


def _count(connection: duckdb.DuckDBPyConnection, catalog: tuple[Path, ...], manifests: tuple[Path, ...]) -> None:
    """Create the tables `counted` and `lost`, one part at a time, since joining all needs memory for every image."""
    connection.execute(f"CREATE TEMP TABLE counted ({COUNTED})")
    connection.execute(f"CREATE TEMP TABLE lost ({LOST})")
    connection.execute(may_come())
    script = (HERE / "count_part.sql").read_text(encoding="utf-8")
    for images, manifest in zip(catalog, manifests, strict=True):
        columns = connection.sql(f"SELECT * FROM {tables.scan(images)}").columns
        # Catalogs of older releases have no catalog_source.
        source = "catalog_source" if "catalog_source" in columns else "data_source"
        connection.execute(
            f"CREATE OR REPLACE TEMP VIEW catalog AS SELECT uuid, source_url, {source} AS source "
            f"FROM {tables.scan(images)}"
        )
        connection.execute(f"CREATE OR REPLACE TEMP VIEW manifest AS SELECT * FROM {tables.scan(manifest)}")
        connection.execute(script)


def _sources(connection: duckdb.DuckDBPyConnection) -> list[SourceRows]:
    return by_source(
        connection.execute(
            "SELECT catalog_source, host = '', CASE WHEN status <> 'ok' THEN reason END, sum(images)::BIGINT "
            "FROM counted GROUP BY ALL"
        ).fetchall()
    )


def _check_tars(connection: duckdb.DuckDBPyConnection, manifests: tuple[Path, ...]) -> None:
    ends = connection.execute(
        f'SELECT filename, tar, max("offset" + size) FROM {tables.scan_named(manifests)} '
        "WHERE tar IS NOT NULL GROUP BY ALL"
    ).fetchall()
    for manifest, name, end in sorted(ends):
        tar = Path(manifest).parent / name
        if tar.parent != Path(manifest).parent or not tar.is_file() or tar.stat().st_size < end:
            raise InputError(
                f"{tar}: missing, too short or not beside {manifest}; delete that manifest to download the part again"
            )


if __name__ == "__main__":
    run(gather)
