"""Build a backbone from a checklist: a DuckDB file that names are resolved against.

In: a folder, zip or file with a Darwin Core Archive (such as the GBIF Backbone), a ColDP archive (Catalogue of Life) or
your own table. Out: the tables `names`, `taxa` and `vernaculars`, with ids that begin with the backbone's name; and a
summary (JSON): rows read, names, rows refused by reason, unknown words for ranks and statuses, dangling and circular
links, common names by language and those refused by reason.

The work is done by SQL files, in this order: `coldp.sql` or `table.sql` maps the reader's tables to Darwin Core terms;
`ids.sql`, `core_ids.sql` and `name_links.sql` complete ids and links that the checklist lacks; then `STEPS`.
"""

import tempfile
from pathlib import Path
from typing import Any, Literal

import duckdb

from workflow_scripts.common.cli import run
from workflow_scripts.common.errors import InputError
from workflow_scripts.common.files import atomic, write_json
from workflow_scripts.common.names import define_names
from workflow_scripts.common.tables import connect, literal, one_row, path_literal
from workflow_scripts.common.text_archives import Archive, Table, load_table, unread
from workflow_scripts.taxonomy.coldp import find_coldp
from workflow_scripts.taxonomy.columns import VERNACULAR_COLUMNS
from workflow_scripts.taxonomy.dwca import find_dwca
from workflow_scripts.taxonomy.table import find_table

HERE = Path(__file__).parent
STEPS = ("vocabularies.sql", "named_elsewhere.sql", "usages.sql", "implied.sql", "tree.sql", "backbone.sql")
VOCABULARIES = {"rank_table": "ranks.csv", "status_table": "statuses.csv"}
Reader = Literal["dwca", "coldp", "table"]


def build_backbone(
    *,
    name: str,
    archive: Path,
    out: Path,
    summary: Path,
    memory_mb: int,
    threads: int,
    reader: Reader = "dwca",
) -> None:
    """Build a backbone from a checklist.

    Args:
        name: the backbone's name; its ids begin with it.
        archive: the checklist: a folder, zip or file.
        out: the DuckDB file to write.
        summary: the JSON file of counts to write.
        memory_mb: DuckDB's memory limit, MiB.
        threads: DuckDB's threads.
        reader: the archive's format: Darwin Core, ColDP, or your own table of ranks and names.

    Raises:
        InputError: a file or column is missing, a row cannot be read, or no row defines a taxon.
    """
    with (
        tempfile.TemporaryDirectory(prefix="backbone-") as folder,
        atomic(out) as temporary,
        connect(memory_mb, threads, temporary) as connection,
    ):
        connection.execute(f"SET VARIABLE backbone = {literal(name)}")
        connection.execute("SET VARIABLE synonyms_have_parents = false")
        for table, file in VOCABULARIES.items():
            connection.execute(
                f"CREATE TEMP TABLE {table} AS FROM read_csv({path_literal(HERE / file)}, all_varchar = true)"
            )
        define_names(connection)
        _execute(connection, "rows.sql")
        reading = _read_rows(connection, reader, Archive(archive, Path(folder)), Path(folder))
        connection.execute(
            'SET VARIABLE has_parents = (SELECT bool_or("parentNameUsageID" IS NOT NULL) FROM taxon_rows)'
        )
        _execute(connection, *STEPS)
        found = {"backbone": name, **_only_row(connection, "counts"), **reading, **_by_word(connection)}
        if not found["taxa"] and found["rows_named"] == found["rows_unranked"]:
            raise InputError(f"{archive}: {_no_taxa(found)}")
        write_json(summary, found)


def _read_rows(
    connection: duckdb.DuckDBPyConnection, reader: Reader, archive: Archive, scratch: Path
) -> dict[str, Any]:
    """Fill `taxon_rows` and `vernacular_rows`; return facts of the reading for the summary.

    These are the number of rows that lacked trailing columns, and files and columns that were not read.
    """
    not_read: dict[str, list[str]] = {}
    if reader == "coldp":
        padded = sum(load_table(connection, table, scratch) for table in find_coldp(archive))
        _execute(connection, "coldp.sql")
        return {"padded_rows": padded}
    if reader == "table":
        taxa = find_table(archive)
        not_read = unread(archive, taxa)
        padded = load_table(connection, taxa, scratch)
        load_table(connection, Table("vernacular_rows", VERNACULAR_COLUMNS, (), ()), scratch)
        _execute(connection, "table.sql")
    else:
        taxa, vernaculars, files_unread = find_dwca(archive)
        not_read = {"files_unread": files_unread}
        padded = load_table(connection, taxa, scratch) + load_table(connection, vernaculars, scratch)
    if not taxa.has("taxonID"):
        _execute(connection, "ids.sql")
    elif taxa.has("coreID") and _any(connection, '"coreID" != "taxonID"'):
        _execute(connection, "core_ids.sql")
    ids, names = ("parentNameUsageID", "acceptedNameUsageID"), ("parentNameUsage", "acceptedNameUsage")
    if any(taxa.has(by_name) and not taxa.has(by_id) for by_id, by_name in zip(ids, names, strict=True)):
        _execute(connection, "name_links.sql")
    if taxa.has("vernacularName"):
        _execute(connection, "core_commons.sql")
    return {"padded_rows": padded, **not_read}


def _no_taxa(found: dict[str, Any]) -> str:
    """The error message for a checklist whose rows define no taxon."""
    if not found["rows"]:
        return "the checklist has no rows; give one with names"
    refused = found["refused"] | ({"names without a rank": found["rows_unranked"]} if found["rows_unranked"] else {})
    reasons = ", ".join(f"{reason.replace('_', ' ')} {rows}" for reason, rows in refused.items())
    return (
        f"none of its {found['rows']} rows names a taxon ({reasons}); "
        "give a checklist with accepted names that have a rank or are binomials"
    )


def _execute(connection: duckdb.DuckDBPyConnection, *scripts: str) -> None:
    for script in scripts:
        connection.execute((HERE / script).read_text(encoding="utf-8"))


def _any(connection: duckdb.DuckDBPyConnection, condition: str) -> bool:
    return connection.execute(f"SELECT 1 FROM taxon_rows WHERE {condition} LIMIT 1").fetchone() is not None


def _only_row(connection: duckdb.DuckDBPyConnection, table: str) -> dict[str, int]:
    names = [row[0] for row in connection.execute(f"DESCRIBE {table}").fetchall()]
    return dict(zip(names, one_row(connection, f"SELECT * FROM {table}"), strict=True))


def _by_word(connection: duckdb.DuckDBPyConnection) -> dict[str, dict[str, int]]:
    """Rows refused by reason, ranks inferred, unknown words for ranks and statuses, and common names by language."""
    found: dict[str, dict[str, int]] = {
        "refused": dict(connection.execute("SELECT * FROM refused ORDER BY reason").fetchall()),
        "vernaculars_refused": dict(connection.execute("FROM vernaculars_refused ORDER BY reason").fetchall()),
        "vernacular_languages": dict(connection.execute("FROM vernacular_languages ORDER BY language").fetchall()),
        "ranks_inferred": {},
        "ranks_unknown": {},
        "statuses_unknown": {},
    }
    for what, word, names in connection.execute("FROM unknown_words ORDER BY what, word").fetchall():
        found[what][word] = names
    return found


if __name__ == "__main__":
    run(build_backbone)
