"""Accounts of rows: rows in = rows kept + rows dropped by reason, at every stage."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import duckdb

from workflow_scripts.common.errors import InputError
from workflow_scripts.common.files import write_json

LOST_CLASSES = "classes without a usable image"
REPEATED_IMAGES = "rows that repeat an image"
SEVERAL_CLASSES = "images with several classes"
ALIKE_CLASSES = "classes that differ from another only in spelling"
NUMBERED_CLASSES = "classes that are numbers, which a prompt cannot use"
NESTED_CLASSES = "classes in folders of several others"
JOINED_FOLDERS = "classes that join several folders inside theirs"
SHARED_NAMES = "names in prompts that several classes share"
ONLY_CLASS = "class, so that every prediction is correct"
GUESSED_ENCODING = "label file not in UTF-8, read as Windows-1252"
WARNINGS = (
    *(LOST_CLASSES, SEVERAL_CLASSES, REPEATED_IMAGES, ALIKE_CLASSES, NUMBERED_CLASSES, NESTED_CLASSES, JOINED_FOLDERS),
    *(SHARED_NAMES, ONLY_CLASS, GUESSED_ENCODING),
)
"""Notes in a benchmark's account that say that its scores may not be what was intended."""


@dataclass(frozen=True)
class SourceRows:
    """Rows of one source that a step read, kept and dropped.

    Attributes:
        source: name of the source in the config.
        is_local: whether its images are files; a source with both files and URLs has an entry for each.
        rows_in: number of rows read.
        kept: number of rows kept.
        dropped: number of rows dropped, by reason.
    """

    source: str
    is_local: bool
    rows_in: int
    kept: int
    dropped: Mapping[str, int]


@dataclass(frozen=True)
class Account:
    """Rows that a step read, kept and dropped.

    Attributes:
        stage: name of the stage.
        part: part of the stage (a source, a download part, a generation).
        unit: what a row is, in the plural (images, labels, pairs).
        rows_in: number of rows read.
        kept: number of rows kept.
        dropped: number of rows dropped, by reason.
        notes: further counts to show, not part of the sum (strategies, attempts).
        sources: the same rows by source, if the step knows the sources.
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

    @property
    def warnings(self) -> list[str]:
        """What a person should check before using a benchmark's scores: notes with their counts."""
        return [f"{self.notes[note]:,} {note}" for note in WARNINGS if note in self.notes]


def count_by_reason(connection: duckdb.DuckDBPyConnection, table: str, reason: str = "reason") -> dict[str | None, int]:
    """Count the rows of a table by the reason why they were dropped; None for rows that were not dropped.

    Args:
        connection: the database with the table.
        table: name of the table.
        reason: SQL expression for the reason, null for rows that were not dropped.
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
    """Make an account from the counts of `count_by_reason`.

    Args:
        counts: number of rows by reason; None for rows that were not dropped.
        stage: as in `Account`, like `part`, `unit`, `notes` and `sources`.
        part: part of the stage.
        unit: what a row is.
        kept: number of rows written. Default: all that were not dropped.
        lost_as: reason for rows that were neither dropped nor written.
        elsewhere: number of rows dropped before they reached the table, by reason.
        rows_in: number of rows read. Default: the sum of all counts.
        notes: further counts.
        sources: the same rows by source.

    Raises:
        ValueError: rows read differ from rows kept and dropped.
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
    """Sum counts by source.

    Args:
        counts: source, whether its images are files, reason (None: kept) and number of rows; in any order.
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
    """Write an account as JSON, with `sources` only if the step knows them."""
    written = asdict(account)
    if not account.sources:
        del written["sources"]
    write_json(path, written)


def read_account(path: Path) -> Account:
    """Read an account and check its sum again.

    Raises:
        InputError: the file is missing or not an account, or its sum is wrong.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return Account(**found | {"sources": tuple(SourceRows(**source) for source in found.get("sources", ()))})
    except (OSError, TypeError, ValueError) as error:
        raise InputError(f"{path}: not a valid account of rows: {error}") from None
