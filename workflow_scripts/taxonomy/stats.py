"""Count how the labels of a corpus were resolved, for the report.

Out (JSON): `by_source` (labels and images by source, strategy and resolved rank), `costliest` (the 50 unresolved labels
with the most images) and `lost_species` (the 50 labels with the most images that name a species but resolve to a higher
rank).
"""

from pathlib import Path

from workflow_scripts.common import tables
from workflow_scripts.common.cli import run
from workflow_scripts.common.documents import write_document
from workflow_scripts.contracts import CATALOG, LABEL_STATISTICS, LABELS

HERE = Path(__file__).parent


def stats(*, labels: Path, catalog: tuple[Path, ...], out: Path, memory_mb: int, threads: int) -> None:
    """Count how the labels of a corpus were resolved.

    Args:
        labels: the resolved labels (contract LABELS).
        catalog: the catalog's parts of all generations (contract CATALOG).
        out: the JSON file to write.
        memory_mb: DuckDB's memory limit, MiB.
        threads: DuckDB's threads.

    Raises:
        InputError: a file is missing or breaks its contract.
    """
    with tables.connect(memory_mb, threads) as connection:
        tables.read(connection, labels, LABELS, "labels")
        tables.read(connection, catalog, CATALOG, "catalogue")
        connection.execute((HERE / "stats.sql").read_text(encoding="utf-8"))
        queries = {
            "by_source": "FROM by_source ORDER BY source, strategy, rank",
            "costliest": "FROM costliest ORDER BY images DESC, label_id",
            "lost_species": "FROM lost_species ORDER BY images DESC, label_id",
        }
        found = {name: connection.sql(query).to_arrow_table().to_pylist() for name, query in queries.items()}
        write_document(out, found, LABEL_STATISTICS)


if __name__ == "__main__":
    run(stats)
