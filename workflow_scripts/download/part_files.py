"""The files in a part's work folder, and the digest of a part."""

import hashlib
from pathlib import Path

from workflow_scripts.common import tables
from workflow_scripts.contracts import TO_FETCH

PART = "part.parquet"
MANIFEST = "manifest.parquet"
ACCOUNT = "account.json"
# DuckDB's memory limit in download jobs, whose memory is mostly for bodies and images.
MEMORY_MB = 256


def part_digest(part: Path) -> str:
    """The digest of the columns that a download depends on. Names, licences and other columns may change."""
    with tables.connect(MEMORY_MB) as connection:
        tables.read(connection, part, TO_FETCH, "part")
        # In batches, since a part may have millions of rows.
        lines = connection.sql(
            "SELECT md5(concat_ws(chr(10), uuid, source_url, host, crop::VARCHAR)) FROM part ORDER BY uuid"
        )
        rows, sums = 0, hashlib.md5(usedforsecurity=False)
        for batch in lines.to_arrow_reader(tables.ROW_GROUP_ROWS):
            rows += batch.num_rows
            sums.update("".join(batch.column(0).to_pylist()).encode())
    return f"{rows} rows, {sums.hexdigest()}"
