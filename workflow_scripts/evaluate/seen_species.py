"""List the species in a corpus's training data, so that scores can be split into seen and unseen species."""

from pathlib import Path

from workflow_scripts.common import tables
from workflow_scripts.common.cli import run
from workflow_scripts.contracts import LABELS, SEEN_SPECIES, VERDICTS

QUERY = "seen_species.sql"


def list_seen_species(*, labels: Path, verdicts: tuple[Path, ...], out: Path, memory_mb: int = 2048) -> None:
    """Write the resolved lower-case binomial of each species that has kept training images.

    Args:
        labels: the corpus's taxonomy/labels.parquet.
        verdicts: each generation's curate/GENERATION/verdicts.parquet.
        out: the table of species to write.
        memory_mb: memory limit of DuckDB, MiB.

    Raises:
        InputError: a table is missing or breaks its contract.
    """
    with tables.connect(memory_mb) as connection:
        tables.read(connection, labels, LABELS, "labels")
        tables.read(connection, verdicts, VERDICTS, "verdicts")
        query = Path(__file__).with_name(QUERY).read_text(encoding="utf-8")
        tables.write(connection, query, SEEN_SPECIES, out)


if __name__ == "__main__":
    run(list_seen_species)
