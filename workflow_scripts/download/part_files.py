"""The files in a part's work folder, and the digest of what the part asks for."""

import hashlib
from pathlib import Path

from workflow_scripts.common import tables
from workflow_scripts.contracts import TO_FETCH

PART = "part.parquet"
MANIFEST = "manifest.parquet"
ACCOUNT = "account.json"
# Of DuckDB, beside the images in flight.
MEMORY_MB = 256


def part_digest(part: Path) -> str:
    """What of a part a download depends on; names, licences and the like may change and nothing is fetched again."""
    with tables.connect(MEMORY_MB) as connection:
        tables.read(connection, part, TO_FETCH, "part")
        # A batch at a time: a part has as many rows as its hosts' policies leave it, which may be millions.
        lines = connection.sql(
            "SELECT md5(concat_ws(chr(10), uuid, source_url, host, crop::VARCHAR)) FROM part ORDER BY uuid"
        )
        rows, sums = 0, hashlib.md5(usedforsecurity=False)
        for batch in lines.to_arrow_reader(tables.ROW_GROUP_ROWS):
            rows += batch.num_rows
            sums.update("".join(batch.column(0).to_pylist()).encode())
    return f"{rows} rows, {sums.hexdigest()}"
