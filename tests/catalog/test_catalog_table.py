"""The reader of anybody's table."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from workflow_scripts.common.errors import InputError
from workflow_scripts.contracts import SOURCE_RECORDS

Read = Callable[..., tuple[list[dict[str, Any]], dict[str, Any]]]

BEETLES = (
    "url,cls,genus,species,common_name,creator,license_name\n"
    "https://a.org/1.jpg,Insecta,Carabus,auratus,golden ground beetle,Ana,CC BY 4.0\n"
    "https://a.org:8080/2.jpg,Insecta,Carabus,nitens,,,\n"
)


def by_url(rows: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {row["source_url"]: row for row in rows}


def test_common_spellings_of_columns_are_read_and_contract_columns_carried(read: Read) -> None:
    rows, account = read(BEETLES)
    first = by_url(rows)["https://a.org/1.jpg"]
    assert set(first) == {column.name for column in SOURCE_RECORDS.columns}
    assert (first["class"], first["genus"], first["species"]) == ("Insecta", "Carabus", "auratus")
    assert (first["common"], first["creator"], first["data_source"]) == ("golden ground beetle", "Ana", "mine")
    assert (first["license_name"], first["license"]) == ("CC BY 4.0", "CC-BY-4.0")
    assert (first["host"], by_url(rows)["https://a.org:8080/2.jpg"]["host"]) == ("a.org", "a.org:8080")
    assert (account["rows_in"], account["kept"], account["dropped"]) == (2, 2, {})


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://A.org:443/x", "a.org"),
        ("http://me:word@a.org:80/x", "a.org"),
        ("https://a.org:8443/x", "a.org:8443"),
        ("http://[2606:4700::80]/x", "[2606:4700::80]"),
        ("http://:80/x", ""),
    ],
)
def test_a_host_is_the_same_with_its_usual_port(sql: Callable[..., Any], url: str, host: str) -> None:
    assert sql("host_of(?)", url) == host


def test_white_space_around_an_address_is_no_part_of_it(read: Read) -> None:
    rows, _ = read('url,species\n" https://a.org/1.jpg\t\n",auratus\n')
    assert [(row["source_url"], row["host"]) for row in rows] == [("https://a.org/1.jpg", "a.org")]


def test_the_uuid_depends_on_source_and_medium_and_never_on_labels(read: Read) -> None:
    before = {row["source_url"]: row["uuid"] for row in read(BEETLES)[0]}
    relabelled = BEETLES.replace("auratus", "violaceus").replace("golden ground beetle", "violet ground beetle")
    rows, _ = read(relabelled)
    assert {row["source_url"]: row["uuid"] for row in rows} == before
    renamed, _ = read(BEETLES, columns={"family": "genus"})
    assert {row["source_url"]: row["uuid"] for row in renamed} == before


def test_the_label_id_is_of_the_label_alone(read: Read) -> None:
    first = {row["species"]: row["label_id"] for row in read(BEETLES)[0]}
    moved = BEETLES.replace("a.org", "b.org").replace("golden ground beetle", "another common name")
    second = {row["species"]: row["label_id"] for row in read(moved)[0]}
    assert first == second
    assert len(set(first.values())) == 2


def test_local_paths_become_absolute_and_the_folder_may_move(read: Read, tmp_path: Path) -> None:
    text = "path,species\nimg/1.jpg,Carabus auratus\n/elsewhere/2.jpg,Carabus nitens\n"
    here, _ = read(text, folder=tmp_path / "here")
    there, _ = read(text, folder=tmp_path / "there")
    assert {row["source_url"] for row in here} == {str(tmp_path / "here/img/1.jpg"), "/elsewhere/2.jpg"}
    assert [row["uuid"] for row in here] == [row["uuid"] for row in there]
    assert {row["host"] for row in here} == {""}
    kept_elsewhere, _ = read(text, images=str(tmp_path / "photos"))
    assert str(tmp_path / "photos/img/1.jpg") in by_url(kept_elsewhere)


def test_columns_maps_names_and_capitals_do_not_matter(read: Read) -> None:
    text = "filepath,Latin,Class\n1.jpg,Carabus auratus,Insecta\n"
    rows, _ = read(text, columns={"path": "FilePath", "species": "Latin"})
    assert (rows[0]["species"], rows[0]["class"]) == ("Carabus auratus", "Insecta")


def test_several_crops_of_one_image_are_several_records(read: Read) -> None:
    text = (
        "url,species,x,y,width,height\n"
        "https://a.org/1.jpg,A b,0,0,10,20\nhttps://a.org/1.jpg,A b,5.2,5,10,20\n"
        "https://a.org/1.jpg,A b,,,,\nhttps://a.org/1.jpg,A b,-1,0,10,20\nhttps://a.org/1.jpg,A b,1,0,10,\n"
    )
    rows, account = read(text)
    crops = [row["crop"] for row in rows]
    assert {"x": 5, "y": 5, "width": 10, "height": 20} in crops
    assert None in crops
    assert len({row["uuid"] for row in rows}) == 3
    assert account["dropped"] == {"bad_crop": 2}


def test_every_row_is_kept_or_dropped_by_reason(read: Read) -> None:
    text = (
        "url,species,lab\nhttps://a.org/1.jpg,A b,x\nhttps://a.org/1.jpg,A c,x\n,A b,x\n"
        "ftp://a.org/1.jpg,A b,x\nfile:///etc/passwd,A b,x\nhttps://a.org/9.jpg,A b,y\n"
    )
    rows, account = read(text, select="lab = 'x'")
    assert account["dropped"] == {"bad_url": 2, "no_url": 1, "not_selected": 1, "repeated": 1}
    assert (account["rows_in"], account["kept"], len(rows)) == (6, 1, 1)


def test_the_order_of_rows_decides_nothing(read: Read, tmp_path: Path) -> None:
    lines = ["https://a.org/1.jpg,Aus bus", "https://a.org/1.jpg,Aus cus", "https://a.org/2.jpg,Aus dus"]
    head = "url,species"
    read("\n".join([head, *lines]))
    once = (tmp_path / "records.parquet").read_bytes()
    read("\n".join([head, *reversed(lines)]))
    assert (tmp_path / "records.parquet").read_bytes() == once


def test_hostile_values_are_values(read: Read) -> None:
    nasty = ["'; DROP TABLE given; --", "😀 \u202eabc", "a\tb", "x" * 10_000, "{{x}} ${y} %s"]
    text = "url,species,creator\n" + "".join(f'https://a.org/{n},Aus bus,"{value}"\n' for n, value in enumerate(nasty))
    assert sorted(row["creator"] for row in read(text)[0]) == sorted(nasty)


@pytest.mark.parametrize("suffix, separator", [("csv", ","), ("tsv", "\t")])
def test_text_stays_text(read: Read, suffix: str, separator: str) -> None:
    text = "\n".join(
        separator.join(row) for row in [["url", "source_id", "species"], ["https://a.org/1.jpg", "0012", "1e5"]]
    )
    rows, _ = read(text, name=f"images.{suffix}")
    assert (rows[0]["source_id"], rows[0]["species"]) == ("0012", "1e5")


@pytest.mark.parametrize(
    "text, settings, said",
    [
        ("link,species\nx,y\n", {}, "no column url or path; it has link, species"),
        ("url,colour\nx,y\n", {}, "no column kingdom"),
        ("url,species\nx,y\n", {"columns": {"genus": "Gattung"}}, "no column Gattung"),
        ("url,species\nx,y\n", {"columns": {"gattung": "species"}}, "gattung is none of"),
        ("url,species\nx,y\n", {"select": "colour = 1"}, "colour"),
        ("url,species\nx,y\n", {"select": "species = ("}, "select"),
        ("url,species\nx,y\n", {"select": "CAST(species AS INT) > 1"}, "select"),
        ("url,species\nx,y,z\n", {}, "images.csv"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(read: Read, text: str, settings: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError) as caught:
        read(text, **settings)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("url,species\nx,y\nx,y,z\n", 3),
        ("url,species\nx,y,z\nx,y\n", 2),
        ("url,species\nx\nx,y\n", 2),
        ('url,species\nx,"y"z\nx,y\n', 2),
        ('url,species\nx,y\nx,"y\n', 3),
        ("url,species\n" + "x,y\n" * 20_000 + "x,y,z\n", 20_002),
    ],
)
def test_a_row_that_does_not_fit_is_named_by_its_line(read: Read, text: str, line: int) -> None:
    with pytest.raises(InputError, match=rf"images\.csv: .* on Line: {line};") as caught:
        read(text)
    assert "\n" not in str(caught.value)


def test_headers_are_read_as_they_are(read: Read) -> None:
    rows, _ = read("\ufeffURL,species,note,note,\r\nhttps://a.org/1.jpg,A b,x,y,z\r\n", keep=["note_1", "column4"])
    assert [(row["species"], row["note_1"], row["column4"]) for row in rows] == [("A b", "y", "z")]


def test_a_missing_table_and_a_strange_one_are_named(read: Read, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"images\.xlsx"):
        read("url,species\n", name="images.xlsx")
    with pytest.raises(InputError, match=r"images\.parquet"):
        read("not parquet", name="images.parquet")


def test_texts_that_are_joined_can_be_told_apart(sql: Callable[..., Any]) -> None:
    lists = [["a", "b"], ["ab", None], [None, "ab"], ["a", None, "b"], ["1:a", "b"], ["-"], [None], ["a1:b"]]
    assert len({sql("joined_texts(?)", texts) for texts in lists}) == len(lists)
