"""Rows in equal rows kept plus rows dropped, each with its reason, at every stage."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import duckdb

from workflow_scripts.common.errors import InputError
from workflow_scripts.common.files import write_json


@dataclass(frozen=True)
class Account:
    """What became of the rows that entered a step.

    Attributes:
        stage: the stage's name.
        part: which part of it (a source, a download part, a generation).
        unit: what a row is, in the plural (images, labels, pairs).
        rows_in: how many came in.
        kept: how many went on.
        dropped: the others by reason.
        notes: counts worth showing that are no part of the sum (strategies, attempts).
    """

    stage: str
    part: str
    unit: str
    rows_in: int
    kept: int
    dropped: Mapping[str, int]
    notes: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        total = self.kept + sum(self.dropped.values())
        if total != self.rows_in:
            raise ValueError(f"{self.stage} {self.part}: {self.rows_in} {self.unit} in, {total} accounted for")


def count_by_reason(connection: duckdb.DuckDBPyConnection, table: str, reason: str = "reason") -> dict[str | None, int]:
    """How many rows of a table were dropped for each reason; those under None were not.

    Args:
        connection: where the table is.
        table: the table.
        reason: an SQL expression: why a row was dropped, null where it was not.
    """
    rows = connection.execute(f"SELECT {reason} AS reason, count(*) FROM {table} GROUP BY ALL ORDER BY ALL").fetchall()
    return {found: int(count) for found, count in rows}


def account_for(
    counts: Mapping[str | None, int],
    *,
    stage: str,
    part: str,
    unit: str,
    kept: int | None = None,
    lost_as: str = "",
    elsewhere: Mapping[str, int] = {},
    rows_in: int | None = None,
    notes: Mapping[str, int] = {},
) -> Account:
    """The account of what `count_by_reason` counted.

    Args:
        counts: rows by reason, None for those without.
        stage: as in `Account`, like `part`, `unit` and `notes`.
        part: which part of it.
        unit: what a row is.
        kept: how many rows went on, where that is known from what was written.
        lost_as: why rows without a reason that are not among them were dropped.
        elsewhere: rows that were dropped before they reached the table, by reason.
        rows_in: how many came in, where that is known from elsewhere.
        notes: further counts.

    Raises:
        ValueError: the sum does not hold.
    """
    dropped = {reason: count for reason, count in counts.items() if reason is not None} | dict(elsewhere)
    without = counts.get(None, 0)
    if kept is not None and lost_as:
        dropped[lost_as] = without - kept
    total = sum(counts.values()) + sum(elsewhere.values())
    return Account(
        stage=stage,
        part=part,
        unit=unit,
        rows_in=total if rows_in is None else rows_in,
        kept=without if kept is None else kept,
        dropped={reason: count for reason, count in dropped.items() if count},
        notes=notes,
    )


def write_account(path: Path, account: Account) -> None:
    """Write one account as JSON."""
    write_json(path, asdict(account))


def read_account(path: Path) -> Account:
    """Read an account and check its sum again.

    Raises:
        InputError: the file is missing, no account, or its sum does not hold.
    """
    try:
        return Account(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, TypeError, ValueError) as error:
        raise InputError(f"{path}: not a valid account of rows: {error}") from None
