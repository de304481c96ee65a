"""Attribute every image that a generation keeps: its source, creator, owner and licence."""

from pathlib import Path

import pyarrow as pa

from workflow_scripts.common import tables
from workflow_scripts.common.cli import run
from workflow_scripts.common.config.curate import AttributionSettings
from workflow_scripts.contracts import ATTRIBUTION, CATALOG, VERDICTS


def attribute(
    *,
    catalog: tuple[Path, ...],
    verdicts: Path,
    settings: AttributionSettings,
    out: Path,
    memory_mb: int = 2048,
    threads: int = 1,
) -> None:
    """Write a row for each kept image.

    Args:
        catalog: the generation's parts of the catalog.
        verdicts: the generation's verdicts.
        settings: further citations, by dataset or source.
        out: the table to write (contract ATTRIBUTION).
        memory_mb: memory limit of DuckDB, MiB.
        threads: threads of DuckDB; no effect on results.

    Raises:
        InputError: a table breaks its contract.
    """
    with tables.connect(memory_mb, threads) as connection:
        tables.read(connection, catalog, CATALOG, "catalog")
        tables.read(connection, verdicts, VERDICTS, "verdicts")
        keys, values = list(settings.cite), list(settings.cite.values())
        connection.register(
            "cited", pa.table({"key": pa.array(keys, pa.string()), "cite": pa.array(values, pa.string())})
        )
        query = Path(__file__).with_name("attribution.sql").read_text(encoding="utf-8")
        tables.write(connection, query, ATTRIBUTION, out)


if __name__ == "__main__":
    run(attribute)
