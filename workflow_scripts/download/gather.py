"""Gather the manifests of a generation's download parts into one table and one account."""

from pathlib import Path

import duckdb

from workflow_scripts.common import tables
from workflow_scripts.common.accounts import write_account
from workflow_scripts.common.cli import run
from workflow_scripts.common.errors import InputError
from workflow_scripts.contracts import DOWNLOAD_HOSTS, DOWNLOADS, GATHERED_DOWNLOADS
from workflow_scripts.download.summary import account_of


def gather(
    *,
    manifests: tuple[Path, ...],
    parts: tuple[int, ...],
    out: Path,
    account: Path,
    hosts: Path | None = None,
    memory_mb: int = 2048,
    threads: int = 1,
) -> None:
    """Gather manifests, after checking that the tars that they name are there.

    Args:
        manifests: the parts' manifests, with their tars beside them.
        parts: the number of each part, in the same order.
        out: the gathered table.
        account: where the sum of the parts' accounts goes.
        hosts: where the sums by host and cause go (contract DOWNLOAD_HOSTS).
        memory_mb: DuckDB's memory limit, MiB.
        threads: DuckDB's threads.

    Raises:
        InputError: a manifest is missing or breaks its contract, or a tar is missing or too short.
    """
    if len(manifests) != len(parts):
        raise InputError(f"{len(manifests)} manifests, but {len(parts)} part numbers; give one for each")
    with tables.connect(memory_mb, threads) as connection:
        tables.read(connection, manifests, DOWNLOADS, "manifests")
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
        write_account(account, account_of(connection, tables.scan(out), out.stem))
        if hosts is not None:
            connection.execute(f"CREATE TEMP VIEW gathered AS SELECT * FROM {tables.scan(out)}")
            query = Path(__file__).with_name("hosts.sql").read_text(encoding="utf-8")
            tables.write(connection, query, DOWNLOAD_HOSTS, hosts)


def _check_tars(connection: duckdb.DuckDBPyConnection, manifests: tuple[Path, ...]) -> None:
    ends = connection.execute(
        f'SELECT filename, tar, max("offset" + size) FROM {tables.scan_named(manifests)} '
        "WHERE tar IS NOT NULL GROUP BY ALL"
    ).fetchall()
    for manifest, name, end in sorted(ends):
        tar = Path(manifest).parent / name
        if tar.parent != Path(manifest).parent or not tar.is_file() or tar.stat().st_size < end:
            raise InputError(
                f"{tar}: missing, elsewhere or too short for {manifest}; delete that manifest to make the part again"
            )


if __name__ == "__main__":
    run(gather)
