"""Accounts of steps: rows in equal rows kept plus rows dropped by reason."""

import duckdb
import pytest

from workflow_scripts.common.accounts import account_for, count_by_reason

WHAT = {"stage": "s", "part": "p", "unit": "rows"}


def counts() -> dict[str | None, int]:
    """Six rows: three without a reason, two bad and one old."""
    connection = duckdb.connect()
    connection.execute("CREATE TABLE rows AS SELECT unnest([NULL, 'bad', 'bad', 'old', NULL, NULL]) AS problem")
    return count_by_reason(connection, "rows", "problem")


def test_rows_are_kept_or_dropped_for_their_reason() -> None:
    account = account_for(counts(), **WHAT)
    assert (account.rows_in, account.kept, account.dropped) == (6, 3, {"bad": 2, "old": 1})


def test_what_is_lost_later_and_what_never_came_has_a_reason_of_its_own() -> None:
    account = account_for(counts(), **WHAT, kept=2, lost_as="repeated", elsewhere={"not_selected": 4, "none": 0})
    assert (account.rows_in, account.kept) == (10, 2)
    assert account.dropped == {"bad": 2, "old": 1, "repeated": 1, "not_selected": 4}


def test_a_sum_that_does_not_hold_is_refused() -> None:
    with pytest.raises(ValueError, match="7 rows in, 6 accounted for"):
        account_for(counts(), **WHAT, rows_in=7)
    with pytest.raises(ValueError, match="6 rows in, 5 accounted for"):
        account_for(counts(), **WHAT, kept=2)
