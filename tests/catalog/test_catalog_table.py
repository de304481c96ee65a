"""The reader of user tables."""

import gzip
import re
import zipfile
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from openpyxl import Workbook
from pydantic import ValidationError

from workflow_scripts.catalog.table import read_table
from workflow_scripts.common.config.catalog import Table
from workflow_scripts.common.errors import InputError
from workflow_scripts.common.table_files import header_of
from workflow_scripts.contracts import RANKS, SOURCE_RECORDS

Read = Callable[..., tuple[list[dict[str, Any]], dict[str, Any]]]

BEETLES = (
    "url,cls,genus,species,common_name,creator,license_name\n"
    "https://a.org/1.jpg,Insecta,Carabus,auratus,golden ground beetle,Ana,CC BY 4.0\n"
    "https://a.org:8080/2.jpg,Insecta,Carabus,nitens,,,\n"
)


def by_url(rows: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {row["source_url"]: row for row in rows}


def test_common_spellings_of_columns_are_read(read: Read) -> None:
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
def test_the_default_port_is_not_part_of_the_host(sql: Callable[..., Any], url: str, host: str) -> None:
    assert sql("host_of(?)", url) == host


def test_white_space_around_a_url_is_removed(read: Read) -> None:
    rows, _ = read('url,species\n" https://a.org/1.jpg\t\n",auratus\n')
    assert [(row["source_url"], row["host"]) for row in rows] == [("https://a.org/1.jpg", "a.org")]


def test_the_uuid_depends_on_source_and_medium_and_never_on_labels(read: Read) -> None:
    before = {row["source_url"]: row["uuid"] for row in read(BEETLES)[0]}
    relabelled = BEETLES.replace("auratus", "violaceus").replace("golden ground beetle", "violet ground beetle")
    rows, _ = read(relabelled)
    assert {row["source_url"]: row["uuid"] for row in rows} == before
    renamed, _ = read(BEETLES, columns={"family": "genus"})
    assert {row["source_url"]: row["uuid"] for row in renamed} == before


def test_the_label_id_depends_on_the_label_alone(read: Read) -> None:
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


def test_columns_maps_names_and_case_does_not_matter(read: Read) -> None:
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


def test_the_order_of_rows_does_not_matter(read: Read, tmp_path: Path) -> None:
    lines = ["https://a.org/1.jpg,Aus bus", "https://a.org/1.jpg,Aus cus", "https://a.org/2.jpg,Aus dus"]
    head = "url,species"
    read("\n".join([head, *lines]))
    once = (tmp_path / "records.parquet").read_bytes()
    read("\n".join([head, *reversed(lines)]))
    assert (tmp_path / "records.parquet").read_bytes() == once


def test_hostile_values_are_kept_as_text(read: Read) -> None:
    nasty = ["'; DROP TABLE given; --", "😀 \u202eabc", "a\tb", "x" * 10_000, "{{x}} ${y} %s"]
    text = "url,species,creator\n" + "".join(f'https://a.org/{n},Aus bus,"{value}"\n' for n, value in enumerate(nasty))
    assert sorted(row["creator"] for row in read(text)[0]) == sorted(nasty)


@pytest.mark.parametrize("suffix, separator", [("csv", ","), ("tsv", "\t")])
def test_numeric_text_stays_text(read: Read, suffix: str, separator: str) -> None:
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
        ("url,species\nx,y\n", {"columns": {"gattung": "species"}}, "gattung"),
        ("url,species\nx,y\n", {"select": "colour = 1"}, "colour"),
        ("url,species\nx,y\n", {"select": "species = ("}, "select"),
        ("url,species\nx,y\n", {"select": "CAST(species AS INT) > 1"}, "select"),
        ("url,species\nx,y,z\n", {}, "images.csv"),
    ],
)
def test_errors_are_one_line(read: Read, text: str, settings: dict[str, Any], said: str) -> None:
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
        ("url,species\n" + "x,y\n" * 20_000 + "x,y,z\n", 20_002),
    ],
)
def test_a_row_that_does_not_fit_is_named_by_its_line(read: Read, text: str, line: int) -> None:
    with pytest.raises(InputError, match=rf"images\.csv: line {line} has") as caught:
        read(text)
    assert "\n" not in str(caught.value)


def test_unusual_headers_are_read(read: Read) -> None:
    rows, _ = read("\ufeffURL,species,note,note,\r\nhttps://a.org/1.jpg,A b,x,y,z\r\n", keep=["note_1", "column4"])
    assert [(row["species"], row["note_1"], row["column4"]) for row in rows] == [("A b", "y", "z")]


def test_unreadable_tables_are_named(read: Read, tmp_path: Path) -> None:
    for name, said in (
        ("images.xlsx", r"images\.xlsx: cannot be read as an Excel workbook"),
        ("images.parquet", r"images\.parquet: cannot be read"),
        ("images.ods", r"images\.ods: .*; save it as CSV"),
        ("images.csv.gz", r"images\.csv\.gz: cannot be read"),
    ):
        with pytest.raises(InputError, match=said):
            read("not such a file", name=name)


GERMAN = "Bild;Art;Urheber;x;y;width;height\n{folder}1.jpg;Carabus auratus;Müller;0,75;0;10,25;20\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "windows-1252"])
def test_a_spreadsheet_export_is_read_in_its_locale(read: Read, tmp_path: Path, encoding: str) -> None:
    """In many locales Excel separates values by `;` and writes decimal commas; Windows paths use `\\`."""
    columns = {"path": "Bild", "species": "Art", "creator": "Urheber"}
    table = tmp_path / "images.csv"
    table.write_text(GERMAN.format(folder="Fotos\\Käfer\\"), encoding=encoding)
    out, account = tmp_path / "records.parquet", tmp_path / "account.json"
    read_table(
        table=table,
        settings=Table(name="mine", reader="table", table=str(table), columns=columns, decimal=","),
        out=out, account=account, memory_mb=500, threads=1,
    )  # fmt: skip
    (row,) = pq.read_table(out).to_pylist()
    assert (row["source_url"], row["creator"]) == (str(tmp_path / "Fotos/Käfer/1.jpg"), "Müller")
    assert row["crop"] == {"x": 1, "y": 0, "width": 10, "height": 20}


@pytest.mark.parametrize(
    "header, values, expected",
    [
        # iNaturalist's export: `url` is the observation's page.
        ("url,image_url,scientific_name", "https://i.org/observations/1,https://i.org/1.jpg,Pica pica", "Pica pica"),
        # Audubon Core: `identifier` need not be a URL.
        ("dcterms:identifier,ac:accessURI,dwc:scientificName", "urn:uuid:1,https://i.org/1.jpg,Pica pica", "Pica pica"),
        ("dcterms.identifier,ac.accessURI,dwc.scientificName", "urn:uuid:1,https://i.org/1.jpg,Pica pica", "Pica pica"),
        # Camtrap DP.
        ("filePath,fileName,scientificName", "https://i.org/1.jpg,IMG_1.JPG,Pica pica", "Pica pica"),
        # Missing values as R and pandas write them.
        ("url,scientific_name,genus,x,y,width,height", "https://i.org/1.jpg,Pica pica,NA,nan,nan,nan,nan", "Pica pica"),
        ("url,scientific_name", "https://i.org/1.jpg,NA", None),
    ],
)
def test_exports_of_other_tools_are_read(read: Read, header: str, values: str, expected: str | None) -> None:
    ((row,), account) = read(f"{header}\n{values}\n")
    assert (row["source_url"], row["host"]) == ("https://i.org/1.jpg", "i.org")
    assert (row["scientific_name"], row["genus"], row["crop"], account["dropped"]) == (expected, None, None, {})


@pytest.mark.parametrize("notes", ["My photos\n", "# of 2024\n# by me\n\n", "Title,,\n\n"])
def test_titles_may_precede_the_header(read: Read, notes: str) -> None:
    ((row,), account) = read(f"{notes}url,species,title\nhttps://a.org/1.jpg,Aus bus,url\n")
    assert (row["species"], row["title"], account["rows_in"]) == ("Aus bus", "url", 1)


def test_the_table_of_a_workbook_is_found_after_its_notes(tmp_path: Path) -> None:
    book = Workbook()
    book.active.append(["These are photos,", "by me"])
    sheet = book.create_sheet("photos")
    for line in (["Photos"], [], ["url", "species"], ["https://a.org/1.jpg", "Aus bus"]):
        sheet.append(line)
    table = tmp_path / "images.xlsx"
    book.save(table)
    settings = Table(name="mine", reader="table", table=str(table))
    limits: dict[str, Any] = {"account": tmp_path / "account.json", "memory_mb": 500, "threads": 1}
    read_table(table=table, settings=settings, out=tmp_path / "records.parquet", **limits)
    (row,) = pq.read_table(tmp_path / "records.parquet").to_pylist()
    assert (row["source_url"], row["species"]) == ("https://a.org/1.jpg", "Aus bus")


def test_a_delimiter_can_be_given_if_another_is_as_likely(read: Read) -> None:
    rows, _ = read("path|note,of,many,commas|species\n1.jpg|a,b,c,d|Aus bus\n", delimiter="|")
    assert (Path(rows[0]["source_url"]).name, rows[0]["species"]) == ("1.jpg", "Aus bus")


def test_a_sheet_of_an_excel_workbook_is_read_by_name(tmp_path: Path) -> None:
    book = Workbook()
    book.active.append(["notes"])
    sheet = book.create_sheet("photos")
    for line in (
        ["url", "species", "source_id", "taken"],
        ["https://a.org/1.jpg", "Aus bus", 12.0, date(2020, 5, 1)],
        [],
    ):
        sheet.append(line)
    table = tmp_path / "images.xlsx"
    book.save(table)
    settings = Table(name="mine", reader="table", table=str(table), sheet="photos", keep=["taken"])
    limits: dict[str, Any] = {"account": tmp_path / "account.json", "memory_mb": 500, "threads": 1}
    read_table(table=table, settings=settings, out=tmp_path / "records.parquet", **limits)
    (row,) = pq.read_table(tmp_path / "records.parquet").to_pylist()
    assert (row["species"], row["source_id"], row["taken"]) == ("Aus bus", "12", "2020-05-01")
    with pytest.raises(InputError, match="no sheet absent; it has Sheet, photos"):
        read_table(
            table=table, settings=settings.model_copy(update={"sheet": "absent"}), out=tmp_path / "x.parquet", **limits
        )


@pytest.mark.parametrize("size", ["", '<dimension ref="A1"/>'], ids=["untold", "wrong"])
def test_a_workbook_may_have_a_missing_or_wrong_size(tmp_path: Path, size: str) -> None:
    book = Workbook()
    for line in (
        ["url", "species", "title"],
        ["https://a.org/1.jpg", "Aus bus"],
        ["https://a.org/2.jpg", "Aus cus", "b"],
    ):
        book.active.append(line)
    book.save(tmp_path / "written.xlsx")
    table = tmp_path / "images.xlsx"
    with zipfile.ZipFile(tmp_path / "written.xlsx") as written, zipfile.ZipFile(table, "w") as copy:
        for name in written.namelist():
            content = written.read(name).decode()
            copy.writestr(name, re.sub("<dimension[^>]*/>", size, content))
    settings = Table(name="mine", reader="table", table=str(table))
    limits: dict[str, Any] = {"account": tmp_path / "account.json", "memory_mb": 500, "threads": 1}
    read_table(table=table, settings=settings, out=tmp_path / "records.parquet", **limits)
    rows = pq.read_table(tmp_path / "records.parquet").to_pylist()
    assert {(row["species"], row["title"]) for row in rows} == {("Aus bus", None), ("Aus cus", "b")}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_the_header_of_a_compressed_table_is_found(tmp_path: Path, encoding: str) -> None:
    table = tmp_path / "images.csv.gz"
    table.write_bytes(gzip.compress("\npath;species\n1.jpg;Aus bus\n".encode(encoding)))
    assert header_of(table) == ["path", "species"]


def test_an_unknown_encoding_is_refused_by_the_config() -> None:
    for encoding in ("utf8x", "rot13"):
        with pytest.raises(ValidationError, match=f"{encoding} .*utf-8"):
            Table(name="mine", reader="table", table="images.csv", encoding=encoding)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("filepath,class\n1.jpg,Alouatta palliata\n", (None, "Alouatta palliata")),
        ("filepath,cls,genus,species,class\n1.jpg,Aves,Pica,pica,Pica pica\n", ("Aves", "Pica pica")),
        ("path,class,genus\n1.jpg,Aves,Pica\n", ("Aves", None)),
        ("filePath,scientificName,Class\n1.jpg,Pica pica,Aves\n", ("Aves", "Pica pica")),
    ],
)
def test_benchmark_labels_are_read_as_a_table(read: Read, text: str, expected: tuple[str | None, str | None]) -> None:
    (row,) = read(text)[0]
    assert (row["class"], row["scientific_name"]) == expected


def test_joined_texts_are_unambiguous(sql: Callable[..., Any]) -> None:
    lists = [["a", "b"], ["ab", None], [None, "ab"], ["a", None, "b"], ["1:a", "b"], ["-"], [None], ["a1:b"]]
    assert len({sql("joined_texts(?)", texts) for texts in lists}) == len(lists)


@pytest.mark.parametrize(
    "header, row, expected",
    [
        ("url,family,sci_name,english_name", "Corvidae,Pica pica,Magpie", ("Corvidae", "Pica pica", "Magpie")),
        ("url,family,class_name", "Corvidae,Pica pica", ("Corvidae", "Pica pica", None)),
        (
            "image_url,url,user_login,taxon_family_name,scientific_name,common_name",
            *("https://x.example/page,ann,Corvidae,Pica pica,Magpie", ("Corvidae", "Pica pica", "Magpie")),
        ),
    ],
)
def test_columns_of_other_producers_keep_species_and_common_name(
    read: Read, header: str, row: str, expected: tuple[str | None, ...]
) -> None:
    ((image,), _) = read(f"{header}\nhttps://x.example/1.jpg,{row}\n")
    assert (image["family"], image["scientific_name"], image["common"]) == expected
    assert image["creator"] == ("ann" if "user_login" in header else None)


def test_the_class_beside_other_ranks_is_no_label(read: Read) -> None:
    header = "image_url,phylum_name,class_name,order_name,family_name,genus_name,species_name"
    row = "https://x.example/1.jpg,Arthropoda,Insecta,Diptera,Syrphidae,Syrphus,Syrphus ribesii"
    ((image,), _) = read(f"{header}\n{row}\n")
    assert [image[rank] for rank in RANKS] == [None, *row.split(",")[1:]]
    assert image["scientific_name"] is None


def test_class_name_beside_a_class_is_not_the_class(read: Read) -> None:
    header = "image_url,phylum_name,class,class_name,family_name,species_name"
    ((image,), _) = read(f"{header}\nhttps://x.example/1.jpg,Arthropoda,Insecta,fly,Syrphidae,Syrphus ribesii\n")
    assert (image["class"], image["scientific_name"]) == ("Insecta", "fly")


def test_a_cell_of_several_urls_is_counted_and_one_with_a_url_inside_is_read(read: Read) -> None:
    cells = ["https://x.example/1.jpg|https://x.example/2.jpg", '"https://x.example/1.jpg, https://x.example/2.jpg"']
    cells += ["https://x.example/?u=https://y.example/1.jpg", "https://x.example/a b.jpg"]
    images, account = read("species,url\n" + "".join(f"Pica pica,{cell}\n" for cell in cells))
    assert sorted(image["source_url"] for image in images) == cells[2:]
    assert account["dropped"] == {"several_urls": 2}
