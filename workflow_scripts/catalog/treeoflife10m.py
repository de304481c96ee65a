"""Read TreeOfLife-10M's catalog (dataset card imageomics/TreeOfLife-10M) into contract records.

In: `catalog.csv` and the unpacked image sets of EOL, BIOSCAN-1M and iNat21. Out: one row per image of the sets that are
given. Rows of the split `train_small` repeat rows of `train` and are left out.
"""

from pathlib import Path

from workflow_scripts.catalog.records import (
    HERE,
    columns_of,
    count_rows,
    open_text,
    require_columns,
    run_sql,
    write_named,
)
from workflow_scripts.common.cli import run
from workflow_scripts.common.config.catalog import TreeOfLife10M
from workflow_scripts.common.tables import connect, literal, path_literal

NEEDED = (
    *("split", "treeoflife_id", "eol_content_id", "eol_page_id", "bioscan_part", "bioscan_filename"),
    *("inat21_filename", "inat21_cls_name", "kingdom", "phylum", "class", "order", "family", "genus", "species"),
    "common",
)
EOL_SUFFIX = "_eol-full-size-copy"


def read_treeoflife10m(
    *,
    catalog: Path,
    settings: TreeOfLife10M,
    out: Path,
    account: Path,
    memory_mb: int,
    threads: int,
    eol: Path | None = None,
    bioscan: Path | None = None,
    inat21: Path | None = None,
) -> None:
    """Read TreeOfLife-10M's catalog into contract records.

    Args:
        catalog: catalog.csv.
        settings: the source's config section.
        out: output: the records (contract SOURCE_RECORDS).
        account: output: the account of rows.
        memory_mb: DuckDB's memory limit, MiB.
        threads: DuckDB's threads.
        eol: folder of EOL's unpacked image sets.
        bioscan: folder of BIOSCAN-1M's images.
        inat21: folder of iNat21's species folders.

    Raises:
        InputError: the catalog cannot be read or lacks a column, or `select` or `keep` names a missing column.
    """
    with connect(memory_mb, threads) as connection:
        open_text(connection, catalog, "given", ",", quote='"')
        require_columns(catalog, columns_of(connection, "given"), NEEDED)
        files = (
            f"glob({path_literal(eol.absolute())} || '/**')" if eol is not None else "(SELECT '' AS file WHERE false)"
        )
        connection.execute(
            "CREATE TEMP TABLE eol_files AS SELECT "
            f"replace(parse_filename(file, true), {literal(EOL_SUFFIX)}, '') AS name, min(file) AS path "
            f"FROM {files} GROUP BY name"
        )
        for name, folder in (("bioscan", bioscan), ("inat21", inat21)):
            value = "NULL::VARCHAR" if folder is None else literal(folder.absolute())
            connection.execute(f"SET VARIABLE {name} = {value}")
        run_sql(connection, HERE / "treeoflife10m.sql")
        write_named(
            connection,
            settings=settings,
            query="SELECT * FROM joined WHERE split IS DISTINCT FROM 'train_small'",
            rows=count_rows(connection, "joined"),
            out=out,
            account=account,
            left_out={"train_small": count_rows(connection, "joined WHERE split = 'train_small'")},
        )


if __name__ == "__main__":
    run(read_treeoflife10m)
