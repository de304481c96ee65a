"""Read the media manifest and hierarchy of the Encyclopedia of Life (EOL) into contract records.

In: `media_manifest.csv` and `taxon.tab`. Out: one row per image, with the ranks of the taxon on its EOL page; the extra
column taxon_key is that taxon's id in the hierarchy.
"""

from pathlib import Path

from workflow_scripts.catalog.records import (
    HERE,
    columns_of,
    count_rows,
    open_text,
    require_columns,
    run_sql,
    set_variable,
    write_named,
)
from workflow_scripts.common.cli import run
from workflow_scripts.common.config.catalog import Eol
from workflow_scripts.common.tables import connect, quoted

MANIFEST_COLUMNS = (
    *("EOL content ID", "EOL page ID", "Medium Source URL", "EOL Full-Size Copy URL", "License Name"),
    "Copyright Owner",
)
TAXON_COLUMNS = {
    "id": ("taxonID",),
    "eol_id": ("EOLid", "eolID"),
    "parent": ("parentNameUsageID",),
    "accepted": ("acceptedNameUsageID",),
    "name": ("canonicalName", "scientificName"),
    "rank": ("taxonRank",),
    "status": ("taxonomicStatus",),
}
OPTIONAL = ("accepted", "status")


def read_eol(
    *, manifest: Path, taxa: Path, settings: Eol, out: Path, account: Path, memory_mb: int, threads: int
) -> None:
    """Read EOL's media manifest into contract records.

    Args:
        manifest: media_manifest.csv.
        taxa: taxon.tab of EOL's hierarchy, with the column EOLid.
        settings: the source's config section.
        out: output: the records (contract SOURCE_RECORDS).
        account: output: the account of rows.
        memory_mb: DuckDB's memory limit, MiB.
        threads: DuckDB's threads.

    Raises:
        InputError: a file cannot be read or lacks a column, or `select` or `keep` names a missing column.
    """
    with connect(memory_mb, threads) as connection:
        open_text(connection, manifest, "manifest", ",", quote='"')
        require_columns(manifest, columns_of(connection, "manifest"), MANIFEST_COLUMNS)
        open_text(connection, taxa, "taxa_given", "\t")
        found = columns_of(connection, "taxa_given")
        columns = []
        for name, spellings in TAXON_COLUMNS.items():
            present = [f"nullif({quoted(spelling)}, '')" for spelling in spellings if spelling in found]
            if not present and name not in OPTIONAL:
                require_columns(taxa, found, spellings[:1])
            columns.append(f"coalesce({', '.join([*present, 'NULL::VARCHAR'])}) AS {name}")
        connection.execute(f"CREATE TEMP VIEW taxa AS SELECT {', '.join(columns)} FROM taxa_given")
        set_variable(connection, "taxon_keys", settings.taxon_keys)
        run_sql(connection, HERE / "eol.sql")
        write_named(
            connection,
            settings=settings,
            query="SELECT * FROM joined",
            rows=count_rows(connection, "manifest"),
            out=out,
            account=account,
            always_kept=("taxon_key",),
        )


if __name__ == "__main__":
    run(read_eol)
