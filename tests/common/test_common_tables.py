"""Contracts are checked on writing and reading, and the same rows give the same bytes."""

import random
import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workflow_scripts.common.accounts import Account, read_account, write_account
from workflow_scripts.common.errors import InputError
from workflow_scripts.common.files import atomic, sha256_file
from workflow_scripts.common.tables import connect, one_row, read, read_rows, scalar, write, write_rows
from workflow_scripts.contracts import TO_FETCH


def row(uuid: str, **more: object) -> dict[str, object]:
    return {"uuid": uuid, "source_url": f"http://h/{uuid}", "host": "h", "crop": None} | more


def test_rows_come_back_in_key_order_with_their_extras(tmp_path: Path) -> None:
    crop = {"x": 1, "y": 2, "width": 3, "height": 4}
    write_rows([row("b", note="x"), row("a", crop=crop)], TO_FETCH, tmp_path / "t.parquet")
    table = read_rows(tmp_path / "t.parquet", TO_FETCH).to_pylist()
    assert [(entry["uuid"], entry["crop"], entry["note"]) for entry in table] == [("a", crop, None), ("b", None, "x")]


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([row("a", host=None)], "host is empty in 1 rows, the first: a"),
        ([row("a"), row("a")], "more than one row for uuid = a"),
    ],
)
def test_broken_rows_are_not_written(tmp_path: Path, rows: list[dict[str, object]], said: str) -> None:
    with pytest.raises(InputError, match=said):
        write_rows(rows, TO_FETCH, tmp_path / "t.parquet")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"uuid": ["a"], "source_url": ["u"]}, "no column host"),
        (
            {"uuid": [1], "source_url": ["u"], "host": ["h"], "crop": [None]},
            "column uuid: expected VARCHAR, found BIGINT",
        ),
    ],
)
def test_a_file_that_breaks_its_contract_is_named(tmp_path: Path, table: dict[str, list[object]], said: str) -> None:
    file = tmp_path / "t.parquet"
    pq.write_table(pa.table(table), file)
    with connect() as connection, pytest.raises(InputError, match=f"{file}: {said}"):
        read(connection, file, TO_FETCH, "t")


@pytest.mark.parametrize("content", [b"", b"not parquet", b"PAR1 and then nothing"])
def test_a_file_that_is_not_parquet_is_one_line(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "t.parquet"
    file.write_bytes(content)
    with connect() as connection, pytest.raises(InputError, match="cannot be read as parquet") as error:
        read(connection, file, TO_FETCH, "t")
    assert "\n" not in str(error.value)


def test_paths_are_not_patterns(tmp_path: Path) -> None:
    for folder, uuid in (("d[1]", "a"), ("d1", "b"), ("d*?", "c")):
        write_rows([row(uuid)], TO_FETCH, tmp_path / folder / "t.parquet")
    for folder, uuid in (("d[1]", "a"), ("d*?", "c")):
        assert read_rows(tmp_path / folder / "t.parquet", TO_FETCH)["uuid"].to_pylist() == [uuid]


def test_no_files_are_an_empty_table() -> None:
    with connect() as connection:
        assert read(connection, [], TO_FETCH, "t").fetchall() == []


def test_a_query_that_must_give_one_row_gives_it_or_is_named() -> None:
    with connect() as connection:
        assert one_row(connection, "SELECT 1, NULL") == (1, None)
        assert scalar(connection, "SELECT max(number) FROM (VALUES (2), (3)) AS t(number)") == 3
        assert connection.sql("SELECT 5").fetchall() == [(5,)], "no result is left open"
        for query in ("SELECT 7 WHERE false", "SELECT unnest([1, 2])"):
            with pytest.raises(ValueError, match=re.escape(query)):
                scalar(connection, query)


@settings(max_examples=15, deadline=None)
@given(
    st.lists(st.text(min_size=1, max_size=8).filter(lambda text: "\0" not in text and text.isprintable()), unique=True),
    st.randoms(),
)
def test_bytes_depend_on_rows_alone(
    tmp_path_factory: pytest.TempPathFactory, uuids: list[str], shuffler: random.Random
) -> None:
    folder = tmp_path_factory.mktemp("bytes")
    rows = [row(uuid) for uuid in uuids]
    sums = set()
    for threads in (1, 2, 4):
        shuffler.shuffle(rows)
        with connect(threads=threads) as connection:
            schema = pa.schema(
                [("uuid", pa.string()), ("source_url", pa.string()), ("host", pa.string()), ("crop", pa.null())]
            )
            connection.register("given", pa.Table.from_pylist(rows, schema))
            write(connection, "SELECT * FROM given", TO_FETCH, folder / f"{threads}.parquet")
        sums.add(sha256_file(folder / f"{threads}.parquet"))
    assert len(sums) == 1


def test_a_failing_writer_leaves_the_old_file(tmp_path: Path) -> None:
    file = tmp_path / "x.txt"
    file.write_text("old")
    with pytest.raises(RuntimeError), atomic(file) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]


def test_an_account_must_add_up(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"\b10 images.*\b9\b"):
        Account("curate", "g000", "images", 10, 7, {"duplicate": 2})
    account = Account("curate", "g000", "images", 10, 7, {"duplicate": 3})
    write_account(tmp_path / "a.json", account)
    assert read_account(tmp_path / "a.json") == account
    text = (tmp_path / "a.json").read_text()
    (tmp_path / "a.json").write_text(text.replace(": 7", ": 6"))
    with pytest.raises(InputError, match=r"a\.json: .*account"):
        read_account(tmp_path / "a.json")
