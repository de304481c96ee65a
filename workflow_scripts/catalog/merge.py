"""Merge a generation's sources into catalog parts and list its distinct labels.

In: the records of each source, in order of preference, and the parts of older generations. Out, in one folder:
`part-NNNN.parquet`, `labels.parquet`, `hosts.parquet` and `account.json`.
"""

import tempfile
from collections import Counter
from pathlib import Path

import duckdb

from workflow_scripts.catalog.records import HERE, run_sql, set_variable
from workflow_scripts.common import tables
from workflow_scripts.common.accounts import account_for, write_account
from workflow_scripts.common.cli import run
from workflow_scripts.common.config.download import DownloadLimits
from workflow_scripts.common.host_parts import deal_hosts, keep_dealt, write_hosts
from workflow_scripts.common.tables import literal
from workflow_scripts.contracts import CATALOG, PROVIDER_LABELS, SOURCE_RECORDS


def merge(
    *,
    sources: tuple[Path, ...],
    out_dir: Path,
    generation: int,
    parts: int,
    first_part: int,
    memory_mb: int,
    threads: int,
    older: tuple[Path, ...] = (),
    limits: DownloadLimits = DownloadLimits(),  # noqa: B008 (frozen)
    dealt: Path | None = None,
) -> None:
    """Merge a generation's sources into catalog parts.

    Args:
        sources: the records of each source (contract SOURCE_RECORDS); if two have the same uuid, the first source wins.
        out_dir: output folder: the parts (contract CATALOG), the labels (contract PROVIDER_LABELS), the hosts (contract
            NAMED_HOSTS) and the account.
        generation: number of this generation.
        parts: number of parts.
        first_part: number of the generation's first part.
        memory_mb: DuckDB's memory limit, MiB.
        threads: DuckDB's threads.
        older: the parts of all older generations; their images are left out.
        limits: the hosts' policies, which limit the number of parts that share a host.
        dealt: folder with this generation's earlier assignment of images to parts, which a rerun keeps.

    Raises:
        InputError: a file is missing or violates its contract.
    """
    with (
        tables.connect(memory_mb, threads) as connection,
        # In the output folder, since the temporary copy is as large as the catalog.
        tempfile.TemporaryDirectory(prefix=".catalog-", dir=_create_folder(out_dir)) as folder,
    ):
        for place, source in enumerate(sources):
            tables.read(connection, source, SOURCE_RECORDS, f"source_{place}")
        offered = " UNION ALL BY NAME ".join(
            f"SELECT *, {place} AS place FROM source_{place}" for place in range(len(sources))
        )
        connection.execute(f"CREATE TEMP VIEW offered AS {offered}")
        tables.read(connection, older, CATALOG, "older")
        set_variable(connection, "generation", generation)
        names = ", ".join(literal(source.stem) for source in sources)
        connection.execute(f"SET VARIABLE sources = [{names}]::VARCHAR[]")
        run_sql(connection, HERE / "merge.sql")
        deal_hosts(connection, "merged", parts, limits, dealt=dealt)
        # Sorted by part once, so that writing a part reads only its own row groups.
        catalogue = Path(folder) / "catalogue.parquet"
        connection.execute(
            f"COPY (SELECT * REPLACE (part + {int(first_part)} AS part) FROM dealt ORDER BY part, uuid) "
            f"TO {literal(catalogue)} (FORMAT parquet, COMPRESSION zstd)"
        )
        connection.execute(f"CREATE TEMP VIEW catalogue AS SELECT * FROM {tables.scan(catalogue)}")
        for stale in set(out_dir.glob("part-*.parquet")) - {_part(out_dir, first_part + part) for part in range(parts)}:
            stale.unlink()
        has_keys = "taxon_key" in connection.view("catalogue").columns
        for part in range(first_part, first_part + parts):
            query = f"SELECT * FROM catalogue WHERE part = {part}"
            tables.write(connection, query, CATALOG, _part(out_dir, part))
        write_hosts(connection, "catalogue", out_dir / "hosts.parquet")
        labels = (HERE / "labels.sql").read_text(encoding="utf-8")
        if not has_keys:
            connection.execute(
                "CREATE OR REPLACE TEMP VIEW catalogue AS "
                f"SELECT *, NULL::VARCHAR AS taxon_key FROM {tables.scan(catalogue)}"
            )
        distinct = tables.write(connection, labels, PROVIDER_LABELS, out_dir / "labels.parquet")
        _write_account(connection, sources, generation, distinct, out_dir / "account.json")
    if dealt is not None:
        keep_dealt([_part(out_dir, part) for part in range(first_part, first_part + parts)], dealt)


def _create_folder(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _part(out_dir: Path, number: int) -> Path:
    return out_dir / f"part-{number:04d}.parquet"


def _write_account(
    connection: duckdb.DuckDBPyConnection, sources: tuple[Path, ...], generation: int, distinct: int, path: Path
) -> None:
    # One query for both counts, since the view reads all sources.
    fates = connection.execute("SELECT fate, place, count(*) FROM fates GROUP BY ALL ORDER BY ALL").fetchall()
    counts: Counter[str | None] = Counter()
    for fate, _, count in fates:
        counts[None if fate == "kept" else fate] += count
    notes = {f"kept of {sources[place].stem}": count for fate, place, count in fates if fate == "kept"}
    notes["distinct labels"] = distinct
    write_account(
        path, account_for(counts, stage="catalog", part=f"generation {generation}", unit="images", notes=notes)
    )


if __name__ == "__main__":
    run(merge)
