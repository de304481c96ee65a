"""Read TreeOfLife-200M's metadata (dataset card imageomics/TreeOfLife-200M) into contract records.

In: `catalog.parquet`, joined with `provenance.parquet` on uuid. Out: one row per image that has a URL, with the
published uuid.
"""

from pathlib import Path

from workflow_scripts.catalog.records import (
    HERE,
    columns_of,
    one_line,
    open_text,
    require_columns,
    run_sql,
    select_rows,
    set_variable,
    view_as_text,
    write_records,
)
from workflow_scripts.common.cli import run
from workflow_scripts.common.config.catalog import TreeOfLife200M
from workflow_scripts.common.tables import connect, scan
from workflow_scripts.contracts import RANKS

NEEDED = ("uuid", "source_url")
COLUMNS = (
    *NEEDED,
    *RANKS,
    *("scientific_name", "common", "data_source", "publisher", "basisOfRecord", "img_type", "source_id"),
)
OTHER_SPELLINGS = {"basisOfRecord": "basis_of_record"}
CROP_COLUMNS = ("uuid", "x", "y", "width", "height")
PROVENANCE_COLUMNS = ("uuid", "license_name", "copyright_owner", "license_link", "title")


def read_treeoflife200m(
    *,
    catalog: Path,
    settings: TreeOfLife200M,
    out: Path,
    account: Path,
    memory_mb: int,
    threads: int,
    provenance: Path | None = None,
    crops: Path | None = None,
) -> None:
    """Read TreeOfLife-200M's metadata into contract records.

    Args:
        catalog: catalog.parquet.
        settings: the source's config section.
        out: output: the records (contract SOURCE_RECORDS).
        account: output: the account of rows.
        memory_mb: DuckDB's memory limit, MiB.
        threads: DuckDB's threads.
        provenance: provenance.parquet; without it images have no licence.
        crops: fathom_metadata.csv; without it images are not cropped.

    Raises:
        InputError: a file cannot be read or lacks a column, or `select` fails.
    """
    with connect(memory_mb, threads) as connection:
        set_variable(connection, "source_name", settings.name)
        run_sql(connection, HERE / "identity.sql")
        source = scan(catalog)
        with one_line(f"{catalog}: cannot be read as parquet"):
            found = columns_of(connection, source)
        require_columns(catalog, found, (*NEEDED, *settings.keep))
        rows, selected = select_rows(connection, source, settings.select, settings.name)
        found_as = {name: name for name in COLUMNS if name in found}
        found_as |= {name: other for name, other in OTHER_SPELLINGS.items() if name not in found and other in found}
        view_as_text(connection, "selected", "named", COLUMNS, found_as, keep=settings.keep)
        if provenance is None:
            view_as_text(connection, "(SELECT 1 WHERE false)", "provenance", PROVENANCE_COLUMNS, {})
        else:
            with one_line(f"{provenance}: cannot be read as parquet"):
                found = columns_of(connection, scan(provenance))
            require_columns(provenance, found, ("uuid",))
            found_as = {name: name for name in PROVENANCE_COLUMNS if name in found}
            view_as_text(connection, scan(provenance), "provenance", PROVENANCE_COLUMNS, found_as)
        if crops is None:
            view_as_text(connection, "(SELECT 1 WHERE false)", "crops", CROP_COLUMNS, {})
        else:
            open_text(connection, crops, "boxes_given", ",", quote='"')
            require_columns(crops, columns_of(connection, "boxes_given"), CROP_COLUMNS)
            view_as_text(connection, "boxes_given", "crops", CROP_COLUMNS, {name: name for name in CROP_COLUMNS})
        run_sql(connection, HERE / "treeoflife200m.sql")
        write_records(
            connection,
            name=settings.name,
            rows=rows,
            selected=selected,
            out=out,
            account=account,
            keep=settings.keep,
        )


if __name__ == "__main__":
    run(read_treeoflife200m)
