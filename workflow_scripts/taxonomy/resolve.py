"""Resolve every distinct label of a corpus against the backbones, with the reason for each answer.

In: the labels of all generations and the backbones in order of preference. Out: one row a label, its seven ranks,
accepted name and common name from the backbone, the provider's own words untouched beside them (contract LABELS).

The algorithm is in the SQL files, in the order in which they run: `names.sql` (how names are read), `labels.sql`
(cleaning), then for each backbone `context.sql`, `species_match.sql`, `higher_rank.sql` and `answers.sql`, and at the
end `resolved.sql`.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import duckdb

from workflow_scripts.common import tables
from workflow_scripts.common.accounts import Account, write_account
from workflow_scripts.common.cli import run
from workflow_scripts.common.config.taxonomy import TaxonomySettings
from workflow_scripts.common.errors import InputError
from workflow_scripts.common.tables import literal
from workflow_scripts.contracts import LABELS, PROVIDER_LABELS

HERE = Path(__file__).parent
BEFORE = ("names.sql", "agreement.sql", "labels.sql", "answers_table.sql")
FOR_EACH_BACKBONE = ("context.sql", "species_match.sql", "higher_rank.sql", "answers.sql")
BACKBONE_TABLES = {"names", "taxa", "vernaculars"}


def resolve(
    *,
    labels: tuple[Path, ...],
    backbones: dict[str, Path],
    settings: TaxonomySettings,
    out: Path,
    account: Path,
    memory_mb: int,
    threads: int,
) -> None:
    """Resolve distinct labels against backbones.

    Args:
        labels: the labels of each generation (contract PROVIDER_LABELS).
        backbones: name and DuckDB file of each backbone, the preferred one first.
        settings: which strategies count, and the languages of common names.
        out: where the resolved labels go (contract LABELS).
        account: where the account of labels goes, with labels and images by strategy.
        memory_mb: DuckDB's memory limit, MiB.
        threads: DuckDB's threads.

    Raises:
        InputError: a file is missing or breaks its contract.
    """
    with tables.connect(memory_mb, threads) as connection:
        # Generations share labels, so the key is unique within a file only: `labels.sql` makes one of them.
        tables.read(connection, labels, PROVIDER_LABELS, "given")
        match_labels(connection, backbones, settings)
        query = (HERE / "resolved.sql").read_text(encoding="utf-8")
        tables.write(connection, query, LABELS, out)
        connection.execute(f"CREATE TEMP VIEW resolved AS SELECT * FROM {tables.scan(out)}")
        _write_account(connection, account)


def match_labels(
    connection: duckdb.DuckDBPyConnection, backbones: Mapping[str, Path], settings: TaxonomySettings
) -> None:
    """Fill the table `answers`: what each backbone says of each label of the view `given`."""
    _list_table(connection, "strategies", settings.strategies)
    _list_table(connection, "languages", [language.lower() for language in settings.languages])
    _run(connection, BEFORE)
    for place, (name, file) in enumerate(backbones.items()):
        _attach(connection, name, file)
        connection.execute(f"SET VARIABLE backbone_place = {place}")
        _run(connection, FOR_EACH_BACKBONE)
        connection.execute("DETACH backbone")


def _run(connection: duckdb.DuckDBPyConnection, scripts: Sequence[str]) -> None:
    for script in scripts:
        connection.execute((HERE / script).read_text(encoding="utf-8"))


def _list_table(connection: duckdb.DuckDBPyConnection, table: str, values: Sequence[str]) -> None:
    """A table of (place, name) from the config's list."""
    connection.execute(f"CREATE OR REPLACE TEMP TABLE {table} (place INTEGER, name VARCHAR)")
    for place, value in enumerate(values):
        connection.execute(f"INSERT INTO {table} VALUES (?, ?)", [place, value])


def _attach(connection: duckdb.DuckDBPyConnection, name: str, file: Path) -> None:
    if not file.is_file():
        raise InputError(f"{file}: missing (backbone {name})")
    try:
        connection.execute(f"ATTACH {literal(file)} AS backbone (READ_ONLY)")
    except duckdb.Error as error:
        raise InputError(f"{file}: not a backbone {name}: {str(error).splitlines()[0]}") from None
    rows = connection.execute("SELECT table_name FROM duckdb_tables() WHERE database_name = 'backbone'").fetchall()
    if missing := sorted(BACKBONE_TABLES - {row[0] for row in rows}):
        raise InputError(
            f"{file}: not a backbone {name}: no table {', '.join(missing)}; build it with taxonomy.backbone"
        )


def _write_account(connection: duckdb.DuckDBPyConnection, path: Path) -> None:
    by_strategy = connection.execute(
        "SELECT strategy, count(*), sum(images)::BIGINT FROM resolved GROUP BY strategy ORDER BY strategy"
    ).fetchall()
    by_reason = connection.execute(
        "SELECT reason, count(*) FROM resolved WHERE reason IS NOT NULL GROUP BY reason ORDER BY reason"
    ).fetchall()
    labels = sum(count for _, count, _ in by_strategy)
    dropped = {str(reason): int(count) for reason, count in by_reason}
    notes = {f"labels by {strategy}": int(count) for strategy, count, _ in by_strategy}
    notes |= {f"images by {strategy}": int(images) for strategy, _, images in by_strategy}
    write_account(
        path,
        Account(
            stage="taxonomy",
            part="labels",
            unit="labels",
            rows_in=labels,
            kept=labels - sum(dropped.values()),
            dropped=dropped,
            notes=notes,
        ),
    )


if __name__ == "__main__":
    run(resolve)
