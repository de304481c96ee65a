"""Select replay pairs from LAION-like metadata, and assign them to download parts."""

import hashlib
import logging
from pathlib import Path

import duckdb
from duckdb.func import ARROW

from workflow_scripts.common import tables
from workflow_scripts.common.accounts import Account, account_for, count_by_reason, write_account
from workflow_scripts.common.cli import run
from workflow_scripts.common.config.download import DownloadLimits
from workflow_scripts.common.config.replay import ReplayColumns, ReplaySettings
from workflow_scripts.common.errors import InputError, first_line
from workflow_scripts.common.files import write_json
from workflow_scripts.common.host_parts import deal_hosts, keep_dealt, write_hosts
from workflow_scripts.contracts import REPLAY_SELECTION
from workflow_scripts.replay.captions import clean_captions

logger = logging.getLogger(__name__)

TYPES = {
    "url": "VARCHAR",
    "caption": "VARCHAR",
    "width": "BIGINT",
    "height": "BIGINT",
    "similarity": "DOUBLE",
    "punsafe": "DOUBLE",
    "pwatermark": "DOUBLE",
    "license": "VARCHAR",
    "language": "VARCHAR",
}


def select(
    *,
    metadata: tuple[Path, ...],
    settings: ReplaySettings,
    out_dir: Path,
    memory_mb: int = 2048,
    threads: int = 1,
    limits: DownloadLimits = DownloadLimits(),  # noqa: B008 (frozen)
    dealt: Path | None = None,
) -> None:
    """Select pairs by size, similarity and safety, clean their captions, and drop repeated pairs.

    Args:
        metadata: LAION-like parquet files.
        settings: columns, filters, number of parts and validation share.
        out_dir: the folder for `part-0000.parquet` (contract REPLAY_SELECTION) and so on, account.json, selection.json
            (a digest of the selected rows) and hosts.parquet (contract NAMED_HOSTS).
        memory_mb: DuckDB's memory limit, MiB.
        threads: DuckDB's threads.
        limits: the hosts' policies: over how many parts a host may be spread.
        dealt: the folder that records to which part each pair was assigned; a rerun moves none of them.

    Raises:
        InputError: a file is missing or unreadable, or lacks a column that the settings name.
    """
    query = Path(__file__).with_name("select.sql").read_text(encoding="utf-8")
    with tables.connect(memory_mb, threads) as connection:
        connection.execute(f"CREATE TEMP VIEW metadata AS {_mapped(connection, metadata, settings.columns)}")
        if settings.max_punsafe is not None and settings.columns.punsafe is not None:
            _check_safety(connection, metadata, settings.columns.punsafe)
        connection.create_function("clean_captions", clean_captions, ["VARCHAR"], "VARCHAR", type=ARROW)
        for name in ("min_size", "min_similarity", "max_punsafe", "max_pwatermark", "val_share"):
            value = getattr(settings, name)
            connection.execute(f"SET VARIABLE {name} = {'NULL' if value is None else value}")
        for name in ("licenses", "languages"):
            connection.execute(f"SET VARIABLE {name} = $value::VARCHAR[]", {"value": getattr(settings, name)})
        try:
            connection.execute(query)
        except duckdb.Error as error:
            raise InputError(f"replay metadata cannot be read: {first_line(error)}") from None
        deal_hosts(connection, "selected", settings.parts, limits, dealt=dealt)
        connection.execute("CREATE TEMP TABLE planned AS SELECT * FROM dealt ORDER BY part, uuid")
        for part in range(settings.parts):
            tables.write(
                connection,
                f"SELECT * FROM planned WHERE part = {part}",
                REPLAY_SELECTION,
                out_dir / f"part-{part:04d}.parquet",
            )
        write_hosts(connection, "planned", out_dir / "hosts.parquet")
        _write_manifest(connection, settings, out_dir / "selection.json")
        account = _account(connection)
    write_account(out_dir / "account.json", account)
    if dealt is not None:
        keep_dealt([out_dir / f"part-{part:04d}.parquet" for part in range(settings.parts)], dealt)
    logger.info("%d of %d replay pairs selected", account.kept, account.rows_in)


def _mapped(connection: duckdb.DuckDBPyConnection, files: tuple[Path, ...], columns: ReplayColumns) -> str:
    """Check the columns of every file; return the query that reads the metadata under the names of `TYPES`."""
    names = columns.model_dump()
    for file in files:
        try:
            described = connection.execute(f"DESCRIBE SELECT * FROM {tables.scan(file)}").fetchall()
        except duckdb.Error as error:
            raise InputError(f"{file}: cannot be read as parquet: {first_line(error)}") from None
        present = {row[0] for row in described}
        for meaning, name in names.items():
            if name is not None and name not in present:
                raise InputError(
                    f"{file}: no column {name} (replay.columns.{meaning}; null if there is none); "
                    f"found {', '.join(sorted(present))}"
                )
    mapped = ", ".join(
        f"TRY_CAST({tables.quoted(name) if name else 'NULL'} AS {TYPES[meaning]}) AS {meaning}"
        for meaning, name in names.items()
    )
    return f"SELECT {mapped} FROM {tables.scan(files).removesuffix(')')}, union_by_name = true)"


def _check_safety(connection: duckdb.DuckDBPyConnection, files: tuple[Path, ...], column: str) -> None:
    """Refuse a file whose column `punsafe` has no numbers: all of its rows would pass.

    Raises:
        InputError: a file has rows, but no number in that column.
    """
    number = f"TRY_CAST({tables.quoted(column)} AS {TYPES['punsafe']})"
    for file in files:
        some = f"SELECT {number} AS number FROM {tables.scan(file)}"
        any_row, any_number = (
            tables.scalar(connection, f"SELECT count(*) FROM (FROM ({some}) {condition} LIMIT 1)")
            for condition in ("", "WHERE number IS NOT NULL")
        )
        if any_row and not any_number:
            raise InputError(
                f"{file}: column {column} (replay.columns.punsafe) contains no numbers, so no row would be left out as "
                "unsafe; name another column, or set replay.columns.punsafe: null to take all rows"
            )


def _write_manifest(connection: duckdb.DuckDBPyConnection, settings: ReplaySettings, path: Path) -> None:
    """Write the number and digest of the selected rows, and the seed of their order in the shards."""
    rows = connection.execute("SELECT uuid FROM selected ORDER BY uuid")
    sums, count = hashlib.sha256(), 0
    while batch := rows.fetchmany(100_000):
        count += len(batch)
        sums.update("".join(f"{uuid}\n" for (uuid,) in batch).encode())
    files = [str(file) for file in settings.metadata]
    write_json(path, {"rows": count, "sha256": sums.hexdigest(), "seed": settings.shards.seed, "metadata": files})


def _account(connection: duckdb.DuckDBPyConnection) -> Account:
    kept, val = tables.one_row(connection, "SELECT count(*), count(*) FILTER (split = 'val') FROM selected")
    counts = count_by_reason(connection, "judged")
    return account_for(
        counts, stage="replay", part="selection", unit="pairs", kept=kept, lost_as="duplicate", notes={"val": val}
    )


if __name__ == "__main__":
    run(select)
