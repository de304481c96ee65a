"""Read tables: parquet, Excel workbooks, and delimited text of any format."""

import csv
import gzip
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from workflow_scripts.common.config.catalog import Generation, Table
from workflow_scripts.common.delimited import (
    HEAD_BYTES,
    TITLE_LINES,
    Form,
    Source,
    find_form,
    header_cells,
    header_place,
    load,
)
from workflow_scripts.common.errors import InputError
from workflow_scripts.common.table_columns import is_named, match_columns
from workflow_scripts.common.tables import scan

PARQUET = (".parquet", ".pq")
EXCEL = (".xlsx", ".xlsm")
TEXT = (".csv", ".tsv", ".tab", ".txt")


def header_of(
    path: Path, *, delimiter: str | None = None, encoding: str | None = None, sheet: str | None = None
) -> list[str]:
    """The columns of a table.

    Args:
        path: the table, whose suffix gives the format (with `.gz` for compressed text).
        delimiter: delimiter of text; None: detected.
        encoding: encoding of text; None: UTF-8, else Windows-1252.
        sheet: sheet of a workbook; None: the first.

    Raises:
        InputError: the file does not exist, is not such a table, or has no column names in its first line.
    """
    kind = _kind(path)
    if kind in PARQUET:
        try:
            return list(pq.read_schema(path).names)
        except (OSError, pa.ArrowException) as error:
            raise InputError(f"{path}: cannot be read as parquet: {error}") from None
    if kind in EXCEL:
        with _sheet(path, sheet) as rows:
            return unique_names(next(rows, []), path)
    with tempfile.TemporaryDirectory(prefix="table-") as scratch, _plain(path, Path(scratch), head_only=True) as text:
        return _names(text, _form(text, delimiter, encoding), path)


def open_table(
    connection: duckdb.DuckDBPyConnection,
    path: Path,
    table: str,
    scratch: Path,
    *,
    delimiter: str | None = None,
    encoding: str | None = None,
    sheet: str | None = None,
    quote: str | None = None,
) -> str:
    """SQL to select a table's rows from; text and workbooks are first loaded, with all values as text.

    Args:
        connection: connection to load text and workbooks into.
        path: the table.
        table: name of the DuckDB table to load into, which spills to disk.
        scratch: folder for copies of files that DuckDB cannot read directly.
        delimiter: as for `header_of`.
        encoding: as for `header_of`.
        sheet: as for `header_of`.
        quote: quote character of text; None: detected.

    Raises:
        InputError: the file does not exist, is not such a table, or has an invalid row; the message names its line.
    """
    kind = _kind(path)
    if kind in PARQUET:
        header_of(path)
        return scan(path)
    if kind in EXCEL:
        copy = scratch / "sheet.csv"
        with _sheet(path, sheet) as rows, copy.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows(rows)
        _load(connection, table, copy, Form(",", '"', "utf-8"), path)
        return table
    with _plain(path, scratch) as text:
        form = _form(text, delimiter, encoding)
        _load(connection, table, text, form if quote is None else Form(form.delimiter, quote, encoding), path)
    return table


def check_tables(generations: Sequence[Generation], where: str) -> None:
    """Check the `columns` of table sources against the tables that exist.

    Raises:
        InputError: a table lacks a mapped column, a column of paths or URLs, or one of names.
    """
    for number, generation in enumerate(generations):
        for source in generation.sources:
            if not isinstance(source, Table) or not isinstance(source.table, str):
                continue
            path = Path(source.table)
            # An empty file may be a placeholder; its job refuses it if it is still empty.
            if path.is_file() and path.stat().st_size:
                found = header_of(path, delimiter=source.delimiter, encoding=source.encoding, sheet=source.sheet)
                at = f"{where}: generations.{number}.sources.{source.name}: {source.table}"
                match_columns(found, source.columns, at)


def unique_names(cells: Sequence[str], path: Path) -> list[str]:
    """Make a header's names unique: repeated names get a number, empty ones their position.

    Raises:
        InputError: all names are empty.
    """
    if not any(cells):
        raise InputError(f"{path}: cannot be read as a table: line 1 has no column names")
    names: dict[str, None] = {}
    for place, column in enumerate(cells):
        wanted = unique = column or f"column{place}"
        number = 0
        while unique.lower() in {name.lower() for name in names}:
            number += 1
            unique = f"{wanted}_{number}"
        names[unique] = None
    return list(names)


def _load(connection: duckdb.DuckDBPyConnection, table: str, text: Path, form: Form, path: Path) -> None:
    columns = {name: Source(place) for place, name in enumerate(_names(text, form, path))}
    connection.execute(f"DROP TABLE IF EXISTS {table}")
    try:
        with tempfile.TemporaryDirectory(prefix="table-") as scratch:
            load(connection, table, text, form, columns, needed=list(columns), scratch=Path(scratch))
    except InputError as error:
        raise InputError(str(error).replace(str(text), str(path))) from None
    connection.execute(f"ALTER TABLE {table} DROP COLUMN is_comment")


def _names(text: Path, form: Form, path: Path) -> list[str]:
    try:
        return unique_names(header_cells(text, form), path)
    except InputError as error:
        raise InputError(str(error).replace(str(text), str(path))) from None


def _form(text: Path, delimiter: str | None, encoding: str | None) -> Form:
    if delimiter is None:
        return find_form(text, is_named, encoding)
    return Form(delimiter, '"', encoding)


def _kind(path: Path) -> str:
    if not path.is_file():
        raise InputError(f"{path}: missing")
    suffix = next((part.lower() for part in reversed(path.suffixes) if part.lower() != ".gz"), "")
    if suffix not in (*PARQUET, *EXCEL, *TEXT):
        known = ", ".join((*TEXT, *EXCEL, PARQUET[0]))
        raise InputError(f"{path}: unknown kind of table; expected {known}; save it as CSV")
    return suffix


@contextmanager
def _plain(path: Path, scratch: Path, *, head_only: bool = False) -> Iterator[Path]:
    """Path of the text; a compressed file is unpacked to a temporary copy."""
    if path.suffix.lower() != ".gz":
        yield path
        return
    copy = scratch / f"{path.stem}.head" if head_only else scratch / path.stem
    try:
        with gzip.open(path, "rb") as packed, copy.open("wb") as plain:
            if head_only:
                plain.write(packed.read(HEAD_BYTES))
            else:
                shutil.copyfileobj(packed, plain, 1 << 20)
        yield copy
    except (OSError, EOFError) as error:
        raise InputError(f"{path}: cannot be read as a table: {error}") from None
    finally:
        copy.unlink(missing_ok=True)


@contextmanager
def _sheet(path: Path, sheet: str | None) -> Iterator[Iterator[list[str]]]:
    """Iterator over the rows of a workbook's sheet as text, all of the same width."""
    from openpyxl import load_workbook

    try:
        book = load_workbook(path, read_only=True, data_only=True)
    except Exception as error:
        # openpyxl raises exceptions of any kind on damaged workbooks.
        raise InputError(f"{path}: cannot be read as an Excel workbook: {error}; save it as CSV") from None
    try:
        if sheet is not None and sheet not in book.sheetnames:
            raise InputError(f"{path}: no sheet {sheet}; it has {', '.join(book.sheetnames)}")
        for page in book.worksheets:
            # The dimensions in the file may be missing or wrong.
            page.reset_dimensions()
        chosen = book[sheet] if sheet is not None else _first_table(book.worksheets)
        first = _header_row(chosen) or 1
        yield _same_width(chosen.iter_rows(min_row=first, values_only=True))
    finally:
        book.close()


def _first_table(pages: Sequence[Any]) -> Any:
    """The first sheet with a header of known columns; the first sheet if there is none."""
    return next((page for page in pages if _header_row(page) is not None), pages[0])


def _header_row(page: Any) -> int | None:
    """Row of a sheet with known columns, which titles may precede; None if there is none."""
    rows = page.iter_rows(max_row=TITLE_LINES, values_only=True)
    return header_place(([_text(value) for value in row] for row in rows), is_named, start=1)


def _same_width(rows: Iterator[tuple[Any, ...]]) -> Iterator[list[str]]:
    """The rows that are not empty, cut or padded to the width of the first; cells beside the table are dropped."""
    width = 0
    for row in rows:
        cells = [_text(value) for value in row]
        if any(cells):
            width = width or len(cells)
            yield cells[:width] + [""] * (width - len(cells))


def _text(value: Any) -> str:
    """A cell as text: integers without a decimal point, dates in ISO format."""
    if value is None:
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, datetime):
        return value.date().isoformat() if not (value.hour or value.minute or value.second) else value.isoformat()
    return str(value).strip()
