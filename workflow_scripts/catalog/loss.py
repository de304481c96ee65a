"""Stop a run before its downloads if a source lost too many rows on the way into the catalog.

In: the sources' accounts and records, and the account of the merged catalog. Out: the losses by source (JSON).
"""

from pathlib import Path

from workflow_scripts.common import tables
from workflow_scripts.common.accounts import Account, SourceRows, read_account
from workflow_scripts.common.cli import run
from workflow_scripts.common.config.loss import LossSettings
from workflow_scripts.common.losses import Cause, Explanation, check_losses, is_empty, lost_of, refuse_nothing


def check_loss(
    *,
    accounts: tuple[Path, ...],
    records: tuple[Path, ...],
    account: Path,
    max_loss: LossSettings,
    out: Path,
    older: tuple[Path, ...] = (),
) -> None:
    """Check that no source of a generation exceeds its maximum loss of rows, and that the corpus has images.

    Args:
        accounts: the sources' accounts.
        records: the sources' records, in the same order.
        account: the account of the generation's catalog.
        max_loss: the maximum loss of each source.
        out: output: the losses (JSON).
        older: the accounts of the catalogs of older generations.

    Raises:
        InputError: a source lost too much, or the corpus would have no images.
    """
    read = [read_account(path) for path in accounts]
    merged, where = read_account(account), account.parent / "sources"
    if is_empty(merged, older):
        causes = [Cause(reason, rows) for counted in [*read, merged] for reason, rows in counted.dropped.items()]
        raise refuse_nothing(merged, Explanation(causes, where, ["check the entries of its sources in `generations`"]))

    def explain(worst: SourceRows) -> Explanation:
        causes = [Cause(reason, rows) for reason, rows in lost_of("catalog", worst.dropped).items()]
        file = next(path for path, counted in zip(accounts, read, strict=True) if counted.part == worst.source)
        return Explanation(causes, file, [f"check the columns and folders of {worst.source} in `generations`"])

    check_losses("catalog", "rows", map(_rows, read, records), max_loss, explain, where=where, out=out)


def _rows(account: Account, records: Path) -> SourceRows:
    """The counts of a source's rows; it is local if all its images are files."""
    with tables.connect() as connection:
        is_local = tables.scalar(connection, f"SELECT coalesce(bool_and(host = ''), false) FROM {tables.scan(records)}")
    return SourceRows(account.part, bool(is_local), account.rows_in, account.kept, account.dropped)


if __name__ == "__main__":
    run(check_loss)
