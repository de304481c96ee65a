"""Rows in equal rows kept plus rows dropped, each with its reason, at every stage."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

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
