"""The account of a table of downloads, and durations as text."""

from collections.abc import Sequence

import duckdb

from workflow_scripts.common import tables
from workflow_scripts.common.accounts import Account, SourceRows, account_for, count_by_reason


def account_of(
    connection: duckdb.DuckDBPyConnection, table: str, part: str, sources: Sequence[SourceRows] = ()
) -> Account:
    """The account of the images in `table` (contract DOWNLOADS): kept, and dropped by reason.

    Notes: attempts (requests, and files read), retried (images requested more than once) and deferred.

    Args:
        table: a table, view or table function.
        part: name of the part.
        sources: counts by source, if known.
    """
    attempts, retried, deferred = tables.one_row(
        connection,
        "SELECT coalesce(sum(attempts), 0)::BIGINT, count(*) FILTER (attempts > 1), "
        f"count(*) FILTER (status = 'deferred') FROM {table}",
    )
    return account_for(
        count_by_reason(connection, table, "CASE WHEN status <> 'ok' THEN split_part(error, ':', 1) END"),
        stage="download",
        part=part,
        unit="images",
        notes={"attempts": attempts, "retried": retried, "deferred": deferred},
        sources=sources,
    )


def spelled(seconds: float) -> str:
    """A duration as text: `40 s`, `12 min`, `3.5 h`, `12.5 days`."""
    for unit, length, decimals in (("days", 86_400, 1), ("h", 3600, 1), ("min", 60, 0)):
        if seconds >= length:
            return f"{seconds / length:,.{decimals}f} {unit}"
    return f"{seconds:.0f} s"
