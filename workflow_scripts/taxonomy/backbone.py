"""Build a backbone: a Darwin Core Archive's checklist as a DuckDB file that names are resolved against.

In: a folder or zip with `Taxon.tsv` and, where there is one, `VernacularName.tsv` (Darwin Core terms, tab-separated,
no quoting: GBIF Backbone and its like). Out: the tables `names`, `taxa` and `vernaculars`, ids with the backbone's
name in front; and a summary of what was counted, dangling and circular.
"""

import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

import duckdb

from workflow_scripts.common.cli import run
from workflow_scripts.common.errors import InputError
from workflow_scripts.common.files import whole, write_json
from workflow_scripts.common.tables import connect, literal, quoted

HERE = Path(__file__).parent
TAXA = "Taxon.tsv"
VERNACULARS = "VernacularName.tsv"
NEEDED_OF_TAXA = (
    *("taxonID", "parentNameUsageID", "acceptedNameUsageID", "scientificName", "taxonRank", "taxonomicStatus"),
)
OTHERS_OF_TAXA = ("canonicalName", "kingdom", "phylum", "class", "order", "family", "genus")
NEEDED_OF_VERNACULARS = ("taxonID", "vernacularName", "language")


def build_backbone(*, name: str, archive: Path, out: Path, summary: Path, memory_mb: int, threads: int) -> None:
    """Build a backbone from a Darwin Core Archive.

    Args:
        name: the backbone's name; its ids begin with it.
        archive: a folder or zip.
        out: the DuckDB file to write.
        summary: where the counts go, as JSON.
        memory_mb: DuckDB's memory limit, MiB.
        threads: DuckDB's threads.

    Raises:
        InputError: a file or column is missing, or a line cannot be read.
    """
    with (
        tempfile.TemporaryDirectory(prefix="backbone-") as folder,
        whole(out) as temporary,
        connect(memory_mb, threads, temporary) as connection,
    ):
        taxa = _find(archive, TAXA, Path(folder))
        if taxa is None:
            raise InputError(f"{archive}: no {TAXA} in it; give the folder or zip of a Darwin Core Archive")
        _load(connection, taxa, "taxon_rows", NEEDED_OF_TAXA, OTHERS_OF_TAXA)
        vernaculars = _find(archive, VERNACULARS, Path(folder))
        if vernaculars is None:
            columns = ", ".join(f"NULL::VARCHAR AS {quoted(column)}" for column in NEEDED_OF_VERNACULARS)
            connection.execute(f"CREATE TEMP TABLE vernacular_rows AS SELECT {columns} WHERE false")
        else:
            _load(connection, vernaculars, "vernacular_rows", NEEDED_OF_VERNACULARS, ())
        connection.execute(f"SET VARIABLE backbone = {literal(name)}")
        connection.execute((HERE / "names.sql").read_text(encoding="utf-8"))
        with _readable(archive):
            connection.execute((HERE / "backbone.sql").read_text(encoding="utf-8"))
        counts = _only_row(connection, "counts")
        if not counts["taxa"]:
            raise InputError(f"{taxa}: no taxon in it")
        write_json(summary, {"backbone": name, **counts})


def _find(archive: Path, name: str, folder: Path) -> Path | None:
    """The archive's file `name`, at its top or in a folder of it; out of a zip it is copied into `folder`."""
    if archive.is_dir():
        return next(iter(sorted(archive.rglob(name), key=lambda path: (len(path.parts), path))), None)
    try:
        with zipfile.ZipFile(archive) as opened:
            members = [member for member in opened.namelist() if PurePosixPath(member).name == name]
            if not members:
                return None
            copy = folder / name
            highest = min(members, key=lambda member: (member.count("/"), member))
            with opened.open(highest) as source, copy.open("wb") as target:
                shutil.copyfileobj(source, target)
            return copy
    except FileNotFoundError:
        raise InputError(f"{archive}: missing; give the folder or zip of a Darwin Core Archive") from None
    except (OSError, zipfile.BadZipFile) as error:
        raise InputError(f"{archive}: cannot be read as a zip: {error}") from None


def _load(
    connection: duckdb.DuckDBPyConnection, file: Path, table: str, needed: tuple[str, ...], others: tuple[str, ...]
) -> None:
    source = (
        f"read_csv({literal(file)}, delim = '\t', quote = '', escape = '', header = true, all_varchar = true, "
        "nullstr = '')"
    )
    with _readable(file):
        found = [str(row[0]) for row in connection.execute(f"DESCRIBE SELECT * FROM {source}").fetchall()]
    if missing := [column for column in needed if column not in found]:
        raise InputError(f"{file}: no column {', '.join(missing)}; it has {', '.join(found)}")
    columns = ", ".join(
        f"nullif(trim({quoted(column)}), '') AS {quoted(column)}"
        if column in found
        else f"NULL::VARCHAR AS {quoted(column)}"
        for column in needed + others
    )
    with _readable(file):
        connection.execute(f"CREATE TEMP TABLE {table} AS SELECT {columns} FROM {source}")


def _only_row(connection: duckdb.DuckDBPyConnection, table: str) -> dict[str, int]:
    names = [row[0] for row in connection.execute(f"DESCRIBE {table}").fetchall()]
    row = connection.execute(f"SELECT * FROM {table}").fetchone()
    assert row is not None
    return dict(zip(names, row, strict=True))


@contextmanager
def _readable(file: Path) -> Iterator[None]:
    try:
        yield
    except duckdb.InvalidInputException as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        raise InputError(f"{file}: cannot be read as tab-separated text: {'; '.join(lines[:3])}") from None


if __name__ == "__main__":
    run(build_backbone)
