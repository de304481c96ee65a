"""Counts of images that a judge has judged, and of those that it could not read."""

import duckdb

from workflow_scripts.common.accounts import Account, account_for, count_by_reason
from workflow_scripts.common.config.screen import UNJUDGED


def account_of_findings(connection: duckdb.DuckDBPyConnection, findings: str, part: str) -> Account:
    """Count the images of a table of findings.

    Args:
        connection: the connection that has the table.
        findings: the table (contract FINDINGS).
        part: the name of the account.
    """
    # An image that could not be judged has one row, others at least one.
    images = f"(SELECT uuid, any_value(label) AS label FROM {findings} GROUP BY uuid)"
    counts = count_by_reason(connection, images, f"CASE WHEN label = '{UNJUDGED}' THEN label END")
    return account_for(counts, stage="screen", part=part, unit="images")
