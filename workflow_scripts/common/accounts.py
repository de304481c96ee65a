"""Accounts of rows: rows in = rows kept + rows dropped by reason, at every stage."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import duckdb

from workflow_scripts.common.errors import InputError
from workflow_scripts.common.files import write_json


@dataclass(frozen=True)
class SourceRows:
    """What became of the rows of one source.

    Attributes:
        source: its name in the config.
        is_local: whether its images are files; a source with files and addresses has an entry for each.
        rows_in: how many came in.
        kept: how many went on.
        dropped: the others by reason.
    """

    source: str
    is_local: bool
    rows_in: int
    kept: int
    dropped: Mapping[str, int]


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
        sources: the same rows by source, where the step knows the sources.
    """

    stage: str
    part: str
    unit: str
    rows_in: int
    kept: int
    dropped: Mapping[str, int]
    notes: Mapping[str, int] = field(default_factory=dict)
    sources: Sequence[SourceRows] = ()

    def __post_init__(self) -> None:
        total = self.kept + sum(self.dropped.values())
        if total != self.rows_in:
            raise ValueError(f"{self.stage} {self.part}: {self.rows_in} {self.unit} in, {total} accounted for")
        if self.sources and (total := sum(source.rows_in for source in self.sources)) != self.rows_in:
            raise ValueError(f"{self.stage} {self.part}: {self.rows_in} {self.unit} in, {total} by source")


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
    sources: Sequence[SourceRows] = (),
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
        sources: the same rows by source.

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
        sources=tuple(sources),
    )


def by_source(counts: Iterable[tuple[str, bool, str | None, int]]) -> list[SourceRows]:
    """Rows by source.

    Args:
        counts: source, whether its images are files, the reason (None: kept), and how many rows; in any order.
    """
    found: dict[tuple[str, bool], Counter[str | None]] = {}
    for source, is_local, reason, count in counts:
        found.setdefault((source, is_local), Counter())[reason] += count
    return [
        SourceRows(
            source,
            is_local,
            rows_in=reasons.total(),
            kept=reasons[None],
            dropped={reason: count for reason, count in sorted(reasons.items(), key=str) if reason is not None},
        )
        for (source, is_local), reasons in sorted(found.items())
    ]


def write_account(path: Path, account: Account) -> None:
    """Write one account as JSON; sources stand there only where the step knows them."""
    written = asdict(account)
    if not account.sources:
        del written["sources"]
    write_json(path, written)


def read_account(path: Path) -> Account:
    """Read an account and check its sum again.

    Raises:
        InputError: the file is missing, no account, or its sum does not hold.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return Account(**found | {"sources": tuple(SourceRows(**source) for source in found.get("sources", ()))})
    except (OSError, TypeError, ValueError) as error:
        raise InputError(f"{path}: not a valid account of rows: {error}") from None
