"""The species that a corpus's labels resolve to."""

from collections.abc import Iterator
from pathlib import Path

import duckdb

from workflow_scripts.common.captions import Taxon
from workflow_scripts.common.tables import scalar

QUERY = Path(__file__).with_name("species.sql").read_text(encoding="utf-8")


def count_species(connection: duckdb.DuckDBPyConnection) -> int:
    """Number of species that the table `labels` resolves to."""
    return int(scalar(connection, f"SELECT count(*) FROM ({QUERY})"))


def species_in_batches(connection: duckdb.DuckDBPyConnection, size: int) -> Iterator[list[Taxon]]:
    """The distinct species of the table `labels`, ordered by name, in lists of at most `size`."""
    rows = connection.execute(QUERY)
    while batch := rows.fetchmany(size):
        yield [
            Taxon(tuple(names), scientific_name="" if names[-2] else names[-1], common_name=common_name)
            for *names, common_name in batch
        ]
