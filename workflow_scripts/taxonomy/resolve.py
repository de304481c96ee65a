"""Resolve each distinct label of a corpus against the backbones, with the reason for each answer.

In: the labels of all generations, and the backbones in order of preference. Out: one row per label (contract LABELS):
seven ranks, accepted name and common name from the backbone, beside the provider's own text.

The algorithm is in the SQL files, which run in this order: `common/names.sql` (parses names), `labels.sql` (cleans
labels), `overrides.sql`; for each backbone `context.sql`, the finders (`find_*.sql`, in the order of `FINDERS`, each
followed by `judge.sql`, which weighs its candidates), `higher_rank.sql` and `answers.sql`; finally `resolved.sql`.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import duckdb

from workflow_scripts.common import tables
from workflow_scripts.common.accounts import account_for, count_by_reason, write_account
from workflow_scripts.common.cli import run
from workflow_scripts.common.config.taxonomy import TaxonomySettings
from workflow_scripts.common.errors import InputError, first_line
from workflow_scripts.common.names import define_names
from workflow_scripts.common.remedies import snakemake
from workflow_scripts.common.tables import literal, path_literal
from workflow_scripts.contracts import LABELS, PROVIDER_LABELS
from workflow_scripts.taxonomy.overrides import check_targets, read_overrides

HERE = Path(__file__).parent
BEFORE = ("agreement.sql", "labels.sql", "overrides.sql", "answers_table.sql")
BEFORE_FINDERS = ("context.sql", "species_outcomes.sql", "find_direct.sql")
# In order of trust; each sees only the labels that no earlier one has decided. True: a guess, which decides a label
# only if one candidate is the best.
FINDERS = {
    "find_named.sql": False,
    "find_title_case.sql": False,
    "find_filled.sql": True,
    "find_fuzzy.sql": True,
    "find_fuzzy_supported.sql": True,
    "find_hidden_binomial.sql": False,
}
AFTER_FINDERS = ("higher_rank.sql", "answers.sql")
BACKBONE_TABLES = {"names", "taxa", "vernaculars"}


def resolve(
    *,
    labels: tuple[Path, ...],
    settings: TaxonomySettings,
    out: Path,
    account: Path,
    memory_mb: int,
    threads: int,
    backbones: dict[str, Path] | None = None,
    overrides: Path | None = None,
) -> None:
    """Resolve distinct labels against backbones.

    Args:
        labels: the labels of each generation (contract PROVIDER_LABELS).
        settings: the strategies to use, and the languages of common names.
        out: the resolved labels to write (contract LABELS).
        account: the account to write, with labels and images by strategy and common names by use.
        memory_mb: DuckDB's memory limit, MiB.
        threads: DuckDB's threads.
        backbones: name and DuckDB file of each backbone, in order of preference. Without any, ranks and names are taken
            from the labels as written.
        overrides: a curator's CSV file; see `taxonomy.overrides`.

    Raises:
        InputError: a file is missing or breaks its contract, or an override cannot be applied.
    """
    with tables.connect(memory_mb, threads) as connection:
        # Generations share labels, so `label_id` is unique only within a file; `labels.sql` merges them.
        tables.read(connection, labels, PROVIDER_LABELS, "given")
        read_overrides(connection, overrides)
        notes: dict[str, int] = {}
        for name in match_labels(connection, backbones or {}, settings):
            notes |= _count_common_names(connection, name)
        check_targets(connection, overrides)
        query = (HERE / "resolved.sql").read_text(encoding="utf-8")
        tables.write(connection, query, LABELS, out)
        connection.execute(f"CREATE TEMP VIEW resolved AS SELECT * FROM {tables.scan(out)}")
        _write_account(connection, account, notes)


def match_labels(
    connection: duckdb.DuckDBPyConnection,
    backbones: Mapping[str, Path],
    settings: TaxonomySettings,
    *,
    keeps_weighed: bool = False,
) -> Iterator[str]:
    """Fill the table `answers` with each backbone's answer for each label of the view `given`.

    Needs the table `override_rows`. Yields the name of each backbone once its answers are complete. Until the next one
    starts, its intermediate tables exist: `contexts`, `species_outcomes`, `higher_outcomes` and, with `keeps_weighed`,
    the candidates as `weighed`.
    """
    connection.execute(f"SET VARIABLE keeps_weighed = {keeps_weighed}")
    highest = settings.common_names_up_to
    connection.execute(f"SET VARIABLE common_names_up_to = {literal(highest) if highest else 'NULL::VARCHAR'}")
    _list_table(connection, "strategies", settings.strategies)
    _list_table(connection, "wanted_languages", [language.lower() for language in settings.languages])
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE language_table AS "
        f"FROM read_csv({path_literal(HERE / 'languages.csv')}, all_varchar = true, delim = ',', header = true)"
    )
    _run(connection, "languages.sql")
    define_names(connection)
    _run(connection, *BEFORE)
    if not backbones:
        _run(connection, "as_given.sql")
    for place, (name, file) in enumerate(backbones.items()):
        _attach(connection, name, file)
        connection.execute(f"SET VARIABLE backbone_place = {place}")
        _run(connection, *BEFORE_FINDERS)
        for script, is_guess in FINDERS.items():
            finder = script.removeprefix("find_").removesuffix(".sql")
            connection.execute(f"SET VARIABLE finder = {literal(finder)}")
            connection.execute(f"SET VARIABLE is_guess = {is_guess}")
            _run(connection, script)
            if connection.execute("SELECT 1 FROM found LIMIT 1").fetchone():
                _run(connection, "judge.sql")
        _run(connection, *AFTER_FINDERS)
        yield name
        connection.execute("DETACH backbone")


def _run(connection: duckdb.DuckDBPyConnection, *scripts: str) -> None:
    for script in scripts:
        connection.execute((HERE / script).read_text(encoding="utf-8"))


def _list_table(connection: duckdb.DuckDBPyConnection, table: str, values: Sequence[str]) -> None:
    """Create a table of (place, name) from a list of the config."""
    connection.execute(f"CREATE OR REPLACE TEMP TABLE {table} (place INTEGER, name VARCHAR)")
    for place, value in enumerate(values):
        connection.execute(f"INSERT INTO {table} VALUES (?, ?)", [place, value])


def _attach(connection: duckdb.DuckDBPyConnection, name: str, file: Path) -> None:
    if not file.is_file():
        raise InputError(f"{file}: missing (backbone {name}); build it: `{snakemake(str(file))}`")
    try:
        connection.execute(f"ATTACH {literal(file)} AS backbone (READ_ONLY)")
    except duckdb.Error as error:
        raise InputError(f"{file}: cannot be opened as backbone {name}: {first_line(error)}") from None
    rows = connection.execute("SELECT table_name FROM duckdb_tables() WHERE database_name = 'backbone'").fetchall()
    if missing := sorted(BACKBONE_TABLES - {row[0] for row in rows}):
        raise InputError(f"{file}: backbone {name} has no table {', '.join(missing)}; build it with taxonomy.backbone")


def _count_common_names(connection: duckdb.DuckDBPyConnection, backbone: str) -> dict[str, int]:
    """Common names of the attached backbone by use: in a wanted language, in another, or without a language."""
    found = connection.execute(
        "SELECT CASE WHEN language IN (SELECT language FROM wanted_names) THEN 'in taxonomy.languages' "
        "WHEN language = 'und' THEN 'without a language (not used; to use them, add und to taxonomy.languages)' "
        "ELSE 'in other languages (not used)' END AS use, sum(times)::BIGINT "
        "FROM backbone.vernaculars GROUP BY use ORDER BY use"
    ).fetchall()
    return {f"common names of {backbone} {use}": int(rows) for use, rows in found}


def _write_account(connection: duckdb.DuckDBPyConnection, path: Path, notes: Mapping[str, int]) -> None:
    by_strategy = connection.execute(
        "SELECT strategy, count(*), sum(images)::BIGINT FROM resolved GROUP BY strategy ORDER BY strategy"
    ).fetchall()
    by_label = {f"labels by {strategy}": int(count) for strategy, count, _ in by_strategy}
    by_image = {f"images by {strategy}": int(images) for strategy, _, images in by_strategy}
    counts = count_by_reason(connection, "resolved")
    all_notes = {**by_label, **by_image, **notes}
    write_account(path, account_for(counts, stage="taxonomy", part="labels", unit="labels", notes=all_notes))


if __name__ == "__main__":
    run(resolve)
