"""Gather a judge's findings in all parts of a generation into one table."""

import logging
from pathlib import Path

from workflow_scripts.common import tables
from workflow_scripts.common.accounts import read_account, write_account
from workflow_scripts.common.cli import run
from workflow_scripts.common.errors import InputError
from workflow_scripts.contracts import FINDINGS
from workflow_scripts.screen.summary import account_of_findings

logger = logging.getLogger(__name__)


def gather(
    *,
    name: str,
    groups: tuple[Path, ...],
    findings: tuple[Path, ...],
    out: Path,
    account: Path,
    memory_mb: int = 2048,
    threads: int = 1,
) -> None:
    """Write the findings of all parts as one table, sorted by uuid.

    Args:
        name: the judge's name.
        groups: the accounts of the groups of parts.
        findings: the parts' tables.
        out: the table to write (contract FINDINGS).
        account: the account of images to write.
        memory_mb: memory limit of DuckDB, MiB.
        threads: threads of DuckDB; no effect on results.

    Raises:
        InputError: a table is missing, breaks its contract, is another judge's, or does not match the groups' counts.
    """
    accounts = [read_account(path) for path in groups]
    with tables.connect(memory_mb, threads) as connection:
        tables.read(connection, findings, FINDINGS, "findings")
        other = connection.execute("SELECT judge FROM findings WHERE judge <> $name LIMIT 1", {"name": name}).fetchone()
        if other is not None:
            raise InputError(
                f"{out}: expected findings of judge {name}, found some of {other[0]}; "
                f"delete {findings[0].parent} and run the judge again"
            )
        tables.write(connection, "FROM findings", FINDINGS, out)
        written = account_of_findings(connection, tables.scan(out), f"{name} {out.stem}")
    expected = sum(one.rows_in for one in accounts)
    if written.rows_in != expected:
        raise InputError(
            f"{out}: expected {expected} images by the accounts of the groups, found {written.rows_in}; "
            f"delete {groups[0].parent} and run the judge again"
        )
    write_account(account, written)
    logger.info("%s: %d images, %d of them unjudged", name, written.rows_in, written.rows_in - written.kept)


if __name__ == "__main__":
    run(gather)
