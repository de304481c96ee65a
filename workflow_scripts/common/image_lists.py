"""The images given to a command: files, folders, or a table with a column of paths.

They are listed in a DuckDB table, which spills to disk, and are read back in blocks, so that memory is bounded.
"""

import logging
import os
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import duckdb
import pyarrow as pa
from tqdm import tqdm

from workflow_scripts.common.class_folders import files_by_folder, is_image
from workflow_scripts.common.errors import InputError
from workflow_scripts.common.table_columns import ACCEPTED_NAMES, column_named, first_column
from workflow_scripts.common.table_files import EXCEL, PARQUET, TEXT, open_table
from workflow_scripts.common.tables import quoted, scalar

logger = logging.getLogger(__name__)

UNREADABLE = 3
"""Exit status of a command that skipped unreadable images and processed the others."""
NAMED_ON_TERMINAL = 5
TABLES = (*TEXT, *EXCEL, *PARQUET)
LISTED_AT_ONCE = 65_536
FILES = pa.schema(
    [
        ("row", pa.int64()),
        ("image", pa.string()),
        ("path", pa.binary()),
        ("bytes", pa.int64()),
        ("modified", pa.int64()),
        ("crop", pa.string()),
    ]
)
BOX = ("x", "y", "width", "height")
# A crop as text, in pixels; "" for the complete image. An invalid box becomes an empty crop, which fails later.
CROP_QUERY = """
CASE
    WHEN coalesce({x}, {y}, {width}, {height}) IS NULL THEN ''
    WHEN try_cast({x} AS DOUBLE) >= 0 AND try_cast({y} AS DOUBLE) >= 0
        AND try_cast({width} AS DOUBLE) >= 1 AND try_cast({height} AS DOUBLE) >= 1
        AND greatest({x}::DOUBLE, {y}::DOUBLE, {width}::DOUBLE, {height}::DOUBLE) < 2147483647
    THEN concat_ws(
        ' ', round({x}::DOUBLE)::BIGINT, round({y}::DOUBLE)::BIGINT, round({width}::DOUBLE)::BIGINT,
        round({height}::DOUBLE)::BIGINT
    )
    ELSE '0 0 0 0'
END
"""
# Columns of the given table are renamed in DuckDB, so that they cannot clash with ours.
KEPT = "kept_{}"
PREFIX = "given_"
PATH_COLUMNS = (
    *ACCEPTED_NAMES["path"],
    "filepaths",
    "image_path",
    "image_file",
    "image_filename",
    "image_name",
    "img_path",
    "image",
)
"""Accepted names of a table's path column; the last is the one that these commands write."""


@dataclass(frozen=True)
class ImageList:
    """Images in a DuckDB table.

    Its columns are row, image (name in outputs), path (as bytes), bytes, modified (ns; both null if the file does not
    exist), crop ("x y width height" in pixels, "" for the complete image), and those of the given table.

    Attributes:
        connection: connection that has the table.
        count: number of images.
        kept: the columns of the given table, in order.
    """

    connection: duckdb.DuckDBPyConnection
    count: int
    kept: tuple[str, ...]

    table = "images"

    def kept_columns(self, taken: Iterable[str]) -> dict[str, str]:
        """DuckDB column of each kept column, by its name in an output.

        Names that clash with the output's own columns get the prefix `given_`.

        Args:
            taken: the output's own columns.
        """
        used = {name.lower() for name in taken}
        return {f"{PREFIX * (name.lower() in used)}{name}": KEPT.format(n) for n, name in enumerate(self.kept)}

    def kept_types(self) -> dict[str, pa.DataType]:
        """Type of each kept column, by its DuckDB name."""
        schema = self.connection.sql(f"SELECT * FROM {self.table} LIMIT 0").to_arrow_table().schema
        return {field.name: field.type for field in schema if field.name not in FILES.names}

    def blocks(self, size: int, only: str = "true") -> Iterator[pa.Table]:
        """The images in order, in blocks.

        Args:
            size: maximum number of images per block.
            only: SQL condition that selects images.
        """
        with self.connection.cursor() as cursor:
            reader = cursor.sql(f"SELECT * FROM {self.table} WHERE {only} ORDER BY row").to_arrow_reader(size)
            for batch in reader:
                yield pa.Table.from_batches([batch])


class Unreadable:
    """Reports unreadable images: all in the log file, the first few on the terminal too.

    Attributes:
        count: number of unreadable images.
        first: message for the first one.
    """

    def __init__(self) -> None:
        self.count = 0
        self.first = ""

    def note(self, image: str, error: str) -> None:
        """Report one image."""
        self.count += 1
        self.first = self.first or (f"{image}: {error}" if image else error)
        logger.info("%s: unreadable: %s", image, error)
        if self.count <= NAMED_ON_TERMINAL:
            remedy = "; raise --max-pixels to read it" if error.startswith("too_large") else ""
            # A row without a path has no name.
            tqdm.write(f"{image}: unreadable: {error}{remedy}" if image else error, file=sys.stderr)


def list_images(
    connection: duckdb.DuckDBPyConnection,
    images: Sequence[Path],
    *,
    folder: Path | None = None,
    path_column: str | None = None,
) -> ImageList:
    """List the images given on a command line.

    Args:
        connection: connection to create the table in.
        images: image files and folders, which are searched recursively; or one table.
        folder: folder that a table's paths are relative to; None: the table's own folder.
        path_column: the table's column of paths; None: the first of `PATH_COLUMNS` that it has.

    Raises:
        InputError: there are no images, or a file, folder, table or column does not exist.
    """
    if not images:
        raise InputError("--images: give image files, folders, or one table")
    for path in images:
        if not path.exists():
            raise InputError(f"{path}: no such file or folder")
    tables = [path for path in images if path.is_file() and _is_table(path)]
    if tables and len(images) > 1:
        raise InputError(f"{tables[0]}: a table must be given alone, without other images")
    if not tables and (folder is not None or path_column is not None):
        raise InputError(f"{images[0]}: not a table; --folder and --path-column are for tables only")
    connection.register("no_files", FILES.empty_table())
    if tables:
        kept = _list_table(connection, tables[0], folder, path_column)
    else:
        kept = ()
        connection.execute(f"CREATE OR REPLACE TABLE {ImageList.table} AS SELECT * FROM no_files")
        _insert(connection, _files(images))
    count = int(scalar(connection, f"SELECT count(*) FROM {ImageList.table}"))
    if not count:
        raise InputError(f"{', '.join(map(str, images))}: contains no images")
    return ImageList(connection, count, kept)


def _files(images: Sequence[Path]) -> Iterator[tuple[str, Path]]:
    """Name and path of each image; the name is relative to the folder if one folder is given."""
    for path in images:
        if not path.is_dir():
            yield str(path), path
            continue
        for name, _ in files_by_folder(path):
            if is_image(name):
                yield name if len(images) == 1 else (path / name).as_posix(), path / name


def _insert(connection: duckdb.DuckDBPyConnection, files: Iterator[tuple[str, Path]]) -> None:
    numbered = enumerate(files)
    while some := list(islice(numbered, LISTED_AT_ONCE)):
        rows = [(row, _readable(name), os.fsencode(path), *_size_and_time(path), "") for row, (name, path) in some]
        columns = [pa.array(values, field.type) for values, field in zip(zip(*rows, strict=True), FILES, strict=True)]
        connection.register("files", pa.table(columns, schema=FILES))
        connection.execute(f"INSERT INTO {ImageList.table} SELECT * FROM files")
        connection.unregister("files")


def _readable(name: str) -> str:
    """A file name as text; names on disk may be other than UTF-8."""
    return os.fsencode(name).decode("utf-8", "replace")


def _list_table(
    connection: duckdb.DuckDBPyConnection, table: Path, folder: Path | None, path_column: str | None
) -> tuple[str, ...]:
    """Create the DuckDB table from the given table; return the columns that are kept.

    Raises:
        InputError: the table is unreadable, or has no path column.
    """
    start = table.parent if folder is None else folder
    if not start.is_dir():
        raise InputError(f"{start}: no such folder")
    with tempfile.TemporaryDirectory(prefix="images-") as scratch:
        source = open_table(connection, table, "given_table", Path(scratch))
        described = connection.execute(f"DESCRIBE SELECT * FROM {source}").fetchall()
        found = [row[0] for row in described]
        place = column_named(found, path_column) if path_column is not None else first_column(found, PATH_COLUMNS)
        if place is None:
            wanted = path_column or f"path ({', '.join(PATH_COLUMNS[1:])})"
            raise InputError(
                f"{table}: no column {wanted}; it has {', '.join(found)}; name the path column with --path-column"
            )
        # The output writes its own column `image`.
        kept = [
            row[0] for row in described if not is_nested(row[1]) and not (row[0] == place and place.lower() == "image")
        ]
        columns = ", ".join(f"{quoted(name)} AS {KEPT.format(number)}" for number, name in enumerate(kept))
        crop = _crop_of(found)
        connection.execute("SET preserve_insertion_order = true")
        connection.execute(
            f"CREATE OR REPLACE TABLE rows_of_table AS SELECT row_number() OVER () - 1 AS row, "
            f"CAST({quoted(place)} AS VARCHAR) AS image, {crop} AS crop{', ' * bool(columns)}{columns} FROM {source}"
        )
        connection.execute("SET preserve_insertion_order = false")
    connection.execute(f"CREATE OR REPLACE TABLE {ImageList.table} AS SELECT * FROM no_files")
    with connection.cursor() as cursor:
        cursor.execute("SELECT image FROM rows_of_table ORDER BY row")
        _insert(connection, _placed(cursor, start))
    connection.execute(
        f"CREATE OR REPLACE TABLE {ImageList.table} AS SELECT i.* EXCLUDE (crop), t.* EXCLUDE (row, image) "
        f"FROM {ImageList.table} i JOIN rows_of_table t USING (row)"
    )
    connection.execute("DROP TABLE rows_of_table")
    return tuple(kept)


def _crop_of(found: Sequence[str]) -> str:
    """SQL of a row's crop; empty text unless the table has all four box columns."""
    named = {side: column_named(found, side) for side in BOX}
    if None in named.values():
        return "''"
    sys.stderr.write(f"cropping to columns {', '.join(map(str, named.values()))}, in pixels\n")
    return CROP_QUERY.format(**{side: f"CAST({quoted(str(column))} AS VARCHAR)" for side, column in named.items()})


def box_of(crop: str) -> tuple[int, int, int, int] | None:
    """A crop as x, y, width and height; None for the complete image."""
    if not crop:
        return None
    x, y, width, height = map(int, crop.split())
    return x, y, width, height


def _placed(cursor: duckdb.DuckDBPyConnection, start: Path) -> Iterator[tuple[str, Path]]:
    while rows := cursor.fetchmany(LISTED_AT_ONCE):
        for (written,) in rows:
            yield written or "", _placed_below(start, written or "")


def _placed_below(start: Path, written: str) -> Path:
    """Path of a file listed in a table, which may have backslashes (Windows)."""
    path = start / written
    return path if "\\" not in written or path.exists() else start / written.replace("\\", "/")


def _size_and_time(path: Path) -> tuple[int | None, int | None]:
    try:
        found = path.stat()
    except (OSError, ValueError):
        return None, None
    return found.st_size, found.st_mtime_ns


def _is_table(path: Path) -> bool:
    return path.name.lower().removesuffix(".gz").endswith(TABLES)


def is_nested(kind: str) -> bool:
    """Whether a DuckDB type is nested, which CSV cannot represent."""
    return kind.endswith("]") or kind.startswith(("STRUCT", "MAP", "UNION"))
