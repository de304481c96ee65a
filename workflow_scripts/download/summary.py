"""The account of a table of downloads."""

import duckdb

from workflow_scripts.common import tables
from workflow_scripts.common.accounts import Account


def account_of(connection: duckdb.DuckDBPyConnection, table: str, part: str) -> Account:
    """Count what became of the images in `table` (contract DOWNLOADS): kept, dropped by reason.

    Notes: attempts (requests and files read), retried (images asked for more than once) and deferred (not tried to
    the end).
    """
    dropped = connection.execute(
        f"SELECT split_part(error, ':', 1) AS reason, count(*) FROM {table} WHERE status <> 'ok' "
        "GROUP BY reason ORDER BY reason"
    ).fetchall()
    rows, kept, attempts, retried, deferred = tables.one_row(
        connection,
        "SELECT count(*), count(*) FILTER (status = 'ok'), coalesce(sum(attempts), 0)::BIGINT, "
        f"count(*) FILTER (attempts > 1), count(*) FILTER (status = 'deferred') FROM {table}",
    )
    return Account(
        stage="download",
        part=part,
        unit="images",
        rows_in=rows,
        kept=kept,
        dropped=dict(dropped),
        notes={"attempts": attempts, "retried": retried, "deferred": deferred},
    )


def spelled(seconds: float) -> str:
    """A length of time as a person says it: `40 s`, `12 min`, `3.5 h`, `12.5 days`."""
    for unit, length, decimals in (("days", 86_400, 1), ("h", 3600, 1), ("min", 60, 0)):
        if seconds >= length:
            return f"{seconds / length:,.{decimals}f} {unit}"
    return f"{seconds:.0f} s"
