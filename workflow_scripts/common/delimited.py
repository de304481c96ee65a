"""Read delimited text into DuckDB, with given or detected delimiter, quoting, encoding and header.

DuckDB reads regular files. Files that it rejects (ragged rows, stray quotes, another encoding) are rewritten row by
row; an ambiguous row is an error with its line number.
"""

import codecs
import csv
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import duckdb

from workflow_scripts.common.errors import InputError
from workflow_scripts.common.tables import literal, path_literal, quoted

DELIMITERS = ("\t", ",", ";", "|")
NULL_VALUES = ("", "\\N", "NULL", "null")
"""Values that are read as NULL."""
HEAD_BYTES = 1 << 20
FIRST_ROWS = 100
TITLE_LINES = 20
"""Number of lines in which a header is searched for, after titles and notes."""
VALUE_BYTES = 1 << 24
BYTE_ORDER_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
SEPARATOR = re.compile(r'\ufeff?"?sep=(.)"?')
BLANK = "".join(DELIMITERS) + '\ufeff" '
FALLBACK_ENCODING = "windows-1252"
"""Encoding of undeclared text that is not UTF-8: what spreadsheets write in Europe and the Americas."""


@dataclass(frozen=True)
class Form:
    """Format of a file of delimited text.

    Attributes:
        delimiter: separator of values.
        quote: quote character; "" for none.
        encoding: encoding by its Python name; None: UTF-8, else `FALLBACK_ENCODING`.
        header_lines: number of lines before the first row.
        escape: character before a quote inside a quoted value; "": the quote is doubled.
    """

    delimiter: str = "\t"
    quote: str = ""
    encoding: str | None = None
    header_lines: int = 1
    escape: str = ""


@dataclass(frozen=True)
class Source:
    """Source of a table's column.

    Attributes:
        index: column of the file, from 0; None: not in the file.
        default: value for rows without one.
    """

    index: int | None
    default: str | None = None


@dataclass(frozen=True)
class Loaded:
    """Number of rows read, and of those that lacked trailing columns."""

    rows: int
    padded: int


class _Ragged(Exception):
    """A row does not fit the header."""


def header_cells(path: Path, form: Form) -> list[str]:
    """The cells of a file's last header line, or of its first row if it has no header.

    Raises:
        InputError: the file is empty or cannot be decoded.
    """
    lines = _head(path, form.encoding)
    last = max(form.header_lines, 1) - 1
    line = next((line for line in [*lines[last:], *reversed(lines[:last])] if line.strip()), None)
    if line is None:
        raise InputError(f"{path}: empty file; expected a table with a header line")
    return _cells(line, form)


def header_place(rows: Iterable[Sequence[str]], is_known: Callable[[str], bool], start: int = 0) -> int | None:
    """Number of the first row with two known column names; None if a row with several other values precedes it."""
    for number, cells in enumerate(rows, start):
        if sum(map(is_known, cells)) > 1:
            return number
        if sum(map(bool, cells)) > 1:
            return None
    return None


def find_form(path: Path, is_known: Callable[[str], bool], encoding: str | None = None) -> Form:
    """Detect the format of a file: the delimiter for which most header cells are known column names.

    Ties are decided by how many of the first rows have the header's number of columns. The header is the first line
    that is not blank, or after titles the first with two known names; Excel's `sep=;` before it gives the delimiter.

    Args:
        path: the file; its suffix is ignored.
        is_known: whether a cell is a known column name.
        encoding: the file's encoding, if known.
    """
    lines = _head(path, encoding)
    separator = SEPARATOR.fullmatch(lines[0].strip()) if lines else None
    if separator is not None:
        return Form(separator[1], '"', encoding, header_lines=2)
    place = next((place for place, line in enumerate(lines) if line.strip(BLANK)), 0)
    head = lines[place : place + TITLE_LINES]
    found = [header_place((_cells(line, Form(one, '"')) for line in head), is_known) for one in DELIMITERS]
    # Titles and notes may precede the header.
    place += min((number for number in found if number is not None), default=0)
    first, *rows = lines[place : place + FIRST_ROWS] or [""]

    def rate(form: Form) -> tuple[int, int, int]:
        header = _cells(first, form)
        fitting = sum(len(_cells(row, form)) == len(header) > 1 for row in rows)
        return sum(map(is_known, header)), fitting, sum(map(bool, header))

    best = max((Form(delimiter, '"', encoding, place + 1) for delimiter in DELIMITERS), key=rate)
    # Tab-separated text counts as quoted only if its header is.
    is_quoted = best.delimiter != "\t" or first.lstrip().startswith('"')
    return replace(best, quote='"' if is_quoted else "")


def load(
    connection: duckdb.DuckDBPyConnection,
    table: str,
    path: Path,
    form: Form,
    columns: dict[str, Source],
    *,
    needed: Sequence[str],
    scratch: Path,
) -> Loaded:
    """Append a file's rows to a table of text columns, which is created if it does not exist.

    Values are trimmed; those in `NULL_VALUES` become NULL. The column `is_comment` marks rows that begin with "#".

    Args:
        connection: connection that has the table.
        table: name of the table.
        path: the file.
        form: format of the file.
        columns: the table's columns.
        needed: columns that every row must have; shorter rows are refused instead of padded.
        scratch: folder for a copy of an irregular file.

    Raises:
        InputError: a row is unreadable; the message names the line and the cause.
    """
    if not path.stat().st_size:
        raise InputError(f"{path}: empty file; expected a table with a header line")
    width = _width(path, form)
    widest = max(width, *(column.index + 1 for column in columns.values() if column.index is not None), 0)
    reached = max((columns[name].index or 0 for name in needed), default=0) + 1
    if width < reached:
        raise InputError(
            f"{path}: line 1 has {width} columns, but column {reached} is needed; is {form.delimiter!r} its delimiter?"
        )
    before = _count(connection, table)
    padded = 0
    connection.begin()
    try:
        if form.encoding not in (None, "utf-8", "ascii"):
            raise _Ragged
        _append(connection, table, _scan(path, form, width), _columns_within(columns, width))
        if form.quote and _count(connection, table) - before != _line_count(path) - form.header_lines:
            for _ in _read(path, form, width, strict=True):
                pass
        connection.commit()
    except (_Ragged, csv.Error, UnicodeDecodeError, duckdb.Error):
        connection.rollback()
        regular = scratch / f"{table}-regular.csv"
        padded = _write_regular(path, form, (reached, width, widest), regular)
        _append(connection, table, _scan(regular, Form(",", '"', header_lines=0), widest), columns)
        regular.unlink()
    return Loaded(_count(connection, table) - before, padded)


def _append(connection: duckdb.DuckDBPyConnection, table: str, source: str, columns: dict[str, Source]) -> None:
    selected = ", ".join(f"{_value(column)} AS {quoted(name)}" for name, column in columns.items())
    query = f"SELECT {selected}, coalesce(starts_with(c0, '#'), false) AS is_comment FROM {source}"
    if _exists(connection, table):
        connection.execute(f"INSERT INTO {table} {query}")
    else:
        connection.execute(f"CREATE TEMP TABLE {table} AS {query}")


def _scan(path: Path, form: Form, width: int) -> str:
    """SQL table function that reads a regular file as text, with the columns c0, c1, ..."""
    names = ", ".join(f"'c{place}': 'VARCHAR'" for place in range(width))
    return (
        f"read_csv({path_literal(path)}, auto_detect = false, header = false, skip = {form.header_lines}, "
        f"delim = {literal(form.delimiter)}, quote = {literal(form.quote)}, escape = {literal(form.quote)}, "
        f"columns = {{{names}}}, nullstr = [{', '.join(map(literal, NULL_VALUES))}], max_line_size = {VALUE_BYTES})"
    )


def _columns_within(columns: dict[str, Source], width: int) -> dict[str, Source]:
    """The columns with those beyond the file's width marked as missing."""
    return {
        name: replace(column, index=None) if (column.index or 0) >= width else column
        for name, column in columns.items()
    }


def _value(column: Source) -> str:
    default = "NULL::VARCHAR" if column.default is None else literal(column.default)
    if column.index is None:
        return default
    value = f"nullif(trim(c{column.index}), '')"
    return value if column.default is None else f"coalesce({value}, {default})"


def _exists(connection: duckdb.DuckDBPyConnection, table: str) -> bool:
    found = connection.execute("SELECT 1 FROM duckdb_tables() WHERE table_name = ?", [table]).fetchone()
    return found is not None


def _count(connection: duckdb.DuckDBPyConnection, table: str) -> int:
    if not _exists(connection, table):
        return 0
    row = connection.execute(f"SELECT count(*) FROM {table}").fetchone()
    assert row is not None
    return int(row[0])


def _head(path: Path, encoding: str | None) -> list[str]:
    """The first lines of a file; empty if they are all blank."""
    with path.open("rb") as file:
        start = file.read(HEAD_BYTES)
    text = _decoded(start, _encodings(start, encoding))
    return re.split(r"\r\n|\r|\n", text) if text.strip("\ufeff \r\n") else []


def _decoded(start: bytes, encodings: Sequence[str]) -> str:
    """The beginning of a file in the first encoding that fits; the last bytes may be cut within a character."""
    for encoding in encodings:
        with suppress(UnicodeDecodeError):
            return codecs.getincrementaldecoder(encoding)().decode(start)
    return start.decode(encodings[0], errors="replace")


def _cells(line: str, form: Form) -> list[str]:
    cells = next(iter(_records([line], form, strict=False)), [])
    return [cell.strip().lstrip("\ufeff") for cell in cells]


def _records(lines: Iterable[str], form: Form, *, strict: bool) -> Iterator[list[str]]:
    if form.quote and len(form.delimiter) == 1:
        csv.field_size_limit(VALUE_BYTES)
        return csv.reader(
            lines, delimiter=form.delimiter, quotechar=form.quote, escapechar=form.escape or None, strict=strict
        )
    return (line.rstrip("\r\n").split(form.delimiter) for line in lines)


def _width(path: Path, form: Form) -> int:
    """Number of columns of a file, by its header or the longest of its first rows."""
    if form.header_lines:
        return len(header_cells(path, form))
    return max((len(_cells(line, form)) for line in _head(path, form.encoding)[:FIRST_ROWS]), default=0)


def _write_regular(path: Path, form: Form, widths: tuple[int, int, int], target: Path) -> int:
    """Rewrite an irregular file as regular CSV; return the number of padded rows.

    `widths`: number of columns that a row must have at least, should have, and may have at most.

    Quoting is tried as given by the form, then with escaped quotes as databases write them, then the other way, then as
    leniently as spreadsheets.
    """
    other = replace(form, quote="" if form.quote else '"')
    failures: list[str] = []
    escaped = [(replace(form, escape="\\"), True)] if form.quote else []
    attempts = ((form, True), *escaped, (other, True), (form, False))
    with path.open("rb") as file:
        start = file.read(4)
    for encoding in _encodings(start, form.encoding):
        padded_attempts: list[tuple[Form, bool]] = []
        for attempt, strict in attempts:
            if not strict and attempts[0] in padded_attempts:
                continue
            try:
                padded = _copy(path, replace(attempt, encoding=encoding), widths, target, strict)
            except UnicodeDecodeError:
                line = _undecodable_line(path, encoding)
                failures.append(
                    f"{path}: line {line} is not {encoding}; convert the file to UTF-8, or correct the encoding in "
                    "meta.xml"
                )
                break
            except (_Ragged, csv.Error) as error:
                failures.append(str(error) if isinstance(error, _Ragged) else f"{path}: {error}; fix its quotes")
                continue
            if not padded:
                return 0
            # Short rows may be fragments of a row that another quoting reads in full.
            padded_attempts.append((attempt, strict))
        if padded_attempts:
            attempt, strict = max(padded_attempts, key=lambda one: one[0] == form)
            return _copy(path, replace(attempt, encoding=encoding), widths, target, strict)
    # Report stray quotes or a wrong number of columns rather than a guessed encoding.
    likely = (failure for mark in ("unbalanced quotes", " columns") for failure in failures if mark in failure)
    raise InputError(next(likely, failures[0]))


def _encodings(start: bytes, encoding: str | None) -> list[str]:
    """The encodings to try for a file, by its first bytes and its declared encoding."""
    for mark, name in BYTE_ORDER_MARKS.items():
        if start.startswith(mark):
            return [name]
    return ["utf-8", FALLBACK_ENCODING] if encoding is None else [encoding]


def _copy(path: Path, form: Form, widths: tuple[int, int, int], target: Path, strict: bool) -> int:
    reached, width, widest = widths
    padded = 0
    with target.open("w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out, quoting=csv.QUOTE_ALL, lineterminator="\n")
        for number, cells in _read(path, form, width, strict=strict):
            if not any(cell.strip() for cell in cells):
                continue
            is_comment = cells[0].startswith("#")
            if len(cells) > widest and not is_comment and any(cell.strip() for cell in cells[widest:]):
                raise _Ragged(
                    f"{path}: line {number} has {len(cells)} columns, expected {width}; is a delimiter inside a value?"
                )
            if len(cells) < reached and not is_comment:
                raise _Ragged(
                    f"{path}: line {number} has {len(cells)} of {width} columns; is a line break inside a value, "
                    "or the file truncated?"
                )
            padded += len(cells) < width and not is_comment
            writer.writerow([*cells[:widest], *[""] * (widest - len(cells))])
    return padded


def _read(path: Path, form: Form, width: int, *, strict: bool) -> Iterator[tuple[int, list[str]]]:
    """The rows of a file, each with the number of its last line.

    Raises:
        csv.Error: the quoting is not strict, and `strict` is set.
        _Ragged: a stray quote joins several lines into one value.
    """
    with path.open(encoding=form.encoding or "utf-8", newline=None) as file:
        lines = _Lines(islice(file, form.header_lines, None), form.header_lines)
        for cells in _records(lines, form, strict=strict):
            taken = lines.take()
            if len(taken) > 1 and (_are_rows(taken, form, width) or not (strict or _is_one_row(taken, form))):
                first = lines.number - len(taken) + 1
                raise _Ragged(
                    f"{path}: lines {first} to {lines.number} are joined by unbalanced quotes; fix the quotes in line "
                    f"{first}"
                )
            yield lines.number, cells


def _are_rows(lines: Sequence[str], form: Form, width: int) -> bool:
    """Whether each line by itself has the number of columns of a row, ignoring quotes."""
    return width > 1 and all(line.count(form.delimiter) == width - 1 for line in lines)


def _is_one_row(lines: Sequence[str], form: Form) -> bool:
    """Whether the lines are one row in strict quoting."""
    try:
        return len(list(_records(lines, form, strict=True))) == 1
    except csv.Error:
        return False


def _line_count(path: Path) -> int:
    """Number of lines of a file."""
    count, last = 0, b"\n"
    with path.open("rb") as file:
        while chunk := file.read(HEAD_BYTES):
            count += chunk.count(b"\n")
            last = chunk[-1:]
    return count + (last != b"\n")


class _Lines:
    """Iterator over lines that records the number of the last line and the lines since the last row."""

    def __init__(self, lines: Iterator[str], number: int) -> None:
        self.lines = lines
        self.number = number
        self.taken: list[str] = []

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        line = next(self.lines)
        self.number += 1
        self.taken.append(line)
        return line

    def take(self) -> list[str]:
        taken, self.taken = self.taken, []
        return taken


def _undecodable_line(path: Path, encoding: str) -> int:
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            try:
                line.decode(encoding)
            except UnicodeDecodeError:
                return number
    return 1
