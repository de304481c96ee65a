"""Delimited text: stray quotes lose no rows."""

from pathlib import Path

import duckdb
import pytest

from workflow_scripts.common.delimited import Form, Source, find_form, load
from workflow_scripts.common.errors import InputError

COLUMNS = {name: Source(place) for place, name in enumerate(("id", "name", "note", "place"))}
COMMAS = Form(",", '"')
HEADER = "id,name,note,place\n"


def rows_of(tmp_path: Path, text: str, form: Form = COMMAS) -> list[tuple[str | None, ...]]:
    """The rows loaded from a text."""
    path = tmp_path / "table.csv"
    path.write_bytes(text.encode())
    with duckdb.connect() as connection:
        load(connection, "loaded", path, form, COLUMNS, needed=["id", "name"], scratch=tmp_path)
        return connection.execute("SELECT id, name, note, place FROM loaded").fetchall()


@pytest.mark.parametrize(
    "stray",
    [
        '2,b,"open,p\n3,c,n,p\n4,d,n,p\n',
        '2,b,n,"open\n3,c,n,p\n4,d,n,p\n',
        '2,b,"open,p\n3,c,n,p\n4,d,5",p\n',
        '2,b,"open,p\n3,c,n,p\n4,d,5" tall,p\n',
    ],
    ids=["to-the-end", "last-column", "up-to-another", "up-to-a-later-mark"],
)
def test_a_stray_quote_takes_no_rows_in_silence(tmp_path: Path, stray: str) -> None:
    # If no value needs quotes, they are ordinary characters.
    read = rows_of(tmp_path, f"{HEADER}1,a,n,p\n{stray}5,e,n,p\n")
    assert [row[0] for row in read] == ["1", "2", "3", "4", "5"]
    with pytest.raises(InputError, match=r"table\.csv: lines 3 to \d are joined by unbalanced quotes"):
        rows_of(tmp_path, f'{HEADER}1,a,"n, m",p\n{stray}5,e,n,p\n')


def test_line_breaks_in_quotes_stay_in_their_value(tmp_path: Path) -> None:
    text = f'{HEADER}1,a,"n\nm, o",p\n'
    # The second row has stray quotes and lacks its last column.
    for row, note in (("2,b,n,p\n", "n"), ('2,b,"n" m\n', "n m")):
        assert [found[2] for found in rows_of(tmp_path, text + row)] == ["n\nm, o", note]


def test_rows_in_pieces_are_read_whole_where_quoting_makes_them_so(tmp_path: Path) -> None:
    text = 'id\tname\tnote\tplace\n1\ta\t"n\nm"\tp\n2\tb\tn\tp\n'
    assert rows_of(tmp_path, text, Form("\t")) == [("1", "a", "n\nm", "p"), ("2", "b", "n", "p")]


@pytest.mark.parametrize(
    "text, form",
    [
        ("path;species\na;b\n", Form(";", '"')),
        ("sep=;\r\npath;species\r\na;b\r\n", Form(";", '"', header_lines=2)),
        ("\n;;\npath;species\na;b\n", Form(";", '"', header_lines=3)),
        ("path;species;notes, remarks, and more\na;b;c\n", Form(";", '"')),
        ("one;two;three, four, five, six\na;b;c\nd;e;f\n", Form(";", '"')),
    ],
    ids=["plain", "excel", "empty-lines", "by-known-columns", "by-the-rows"],
)
def test_the_delimiter_and_the_header_are_found(tmp_path: Path, text: str, form: Form) -> None:
    path = tmp_path / "table.csv"
    path.write_bytes(text.encode())
    assert find_form(path, lambda cell: cell in ("path", "species")) == form
