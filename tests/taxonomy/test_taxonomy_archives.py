"""Checklists in the forms that standards allow or people write."""

import gzip
import io
import json
import tarfile
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import duckdb
import pytest

from workflow_scripts.common.errors import InputError
from workflow_scripts.taxonomy.backbone import build_backbone

DWC = "http://rs.tdwg.org/dwc/terms/"
PLANTS = [
    ("1", "", "", "Plantae", "kingdom"),
    ("2", "1", "", "Quercus", "genus"),
    ("3", "2", "", "Quercus alba L.", "species"),
    ("4", "", "3", "Quercus candida Steud.", "species"),
]
COMMAS = {"fieldsTerminatedBy": ",", "fieldsEnclosedBy": "&quot;"}
TERMS = ("taxonID", "parentNameUsageID", "acceptedNameUsageID", "scientificName", "taxonRank")


def meta(file: str, fields: str, **layout: str) -> str:
    """A meta.xml of a core file; `layout` overrides its attributes."""
    given = {
        "encoding": "UTF-8",
        "fieldsTerminatedBy": "\\t",
        "linesTerminatedBy": "\\n",
        "fieldsEnclosedBy": "",
        "ignoreHeaderLines": "1",
    } | layout
    attributes = " ".join(f"{name}='{value}'" for name, value in given.items())
    return (
        f'<archive xmlns="http://rs.tdwg.org/dwc/text/"><core {attributes} rowType="{DWC}Taxon">'
        f'<files><location>{file}</location></files><id index="0"/>{fields}</core>'
        '<extension encoding="UTF-8" fieldsTerminatedBy="," fieldsEnclosedBy="&quot;" ignoreHeaderLines="1" '
        'rowType="http://rs.gbif.org/terms/1.0/VernacularName"><files><location>de.csv</location>'
        f'<location>en.csv</location><location>fr.csv</location></files><coreid index="0"/>'
        f'<field index="1" term="{DWC}vernacularName"/><field index="2" term="http://purl.org/dc/terms/language"/>'
        "</extension></archive>"
    )


def fields(*terms: str, start: int = 0) -> str:
    """Terms in the order of columns."""
    return "".join(f'<field index="{place}" term="{DWC}{term}"/>' for place, term in enumerate(terms, start=start))


def write(folder: Path, files: Mapping[str, str | bytes]) -> Path:
    """A folder of files."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


def build(archive: Path, tmp_path: Path, reader: Any = "dwca") -> tuple[dict[str, tuple[Any, ...]], dict[str, Any]]:
    """Build a backbone; by name key its rank, tier, accepted id and the seven ranks, and the summary."""
    out = tmp_path / f"{archive.name}.duckdb"
    summary = out.with_suffix(".json")
    build_backbone(name="t", archive=archive, out=out, summary=summary, memory_mb=500, threads=1, reader=reader)
    with duckdb.connect(str(out), read_only=True) as connection:
        rows = connection.execute(
            "SELECT key, rank, tier, accepted_id, taxa.* EXCLUDE (taxon_id, answer_id) FROM names "
            "LEFT JOIN taxa ON taxa.taxon_id = names.accepted_id ORDER BY ALL"
        ).fetchall()
        vernaculars = connection.execute("SELECT language, name FROM vernaculars ORDER BY ALL").fetchall()
    found = dict(json.loads(summary.read_text()))
    assert found["rows"] == found["rows_named"] + sum(found["refused"].values())
    used = sum(found["vernacular_languages"].values())
    assert found["vernacular_rows"] == used + sum(found["vernaculars_refused"].values())
    return {row[0]: row[1:] for row in rows}, found | {"common": vernaculars}


def table(rows: Sequence[tuple[str, ...]], delimiter: str = "\t", quote: str = "") -> str:
    """Rows as text."""
    return "".join(delimiter.join(f"{quote}{cell}{quote}" for cell in row) + "\n" for row in rows)


@pytest.mark.parametrize(
    "name, content, layout, columns",
    [
        ("any.name", table([TERMS, *PLANTS]), {}, fields(*TERMS)),
        ("taxa.csv", table([TERMS, *PLANTS], ",", '"'), COMMAS, fields(*TERMS)),
        ("taxa.txt", table(PLANTS, "|"), {"fieldsTerminatedBy": "|", "ignoreHeaderLines": "0"}, fields(*TERMS)),
        ("taxa.txt", "made by hand\n" + table([TERMS, *PLANTS]), {"ignoreHeaderLines": "2"}, fields(*TERMS)),
        ("taxa.txt", table([TERMS, *PLANTS]).encode("utf-16"), {"encoding": "UTF-16"}, fields(*TERMS)),
        ("taxa.txt", table([TERMS, *PLANTS]).replace("\n", "\r"), {}, fields(*TERMS)),
        ("taxa.txt", table([TERMS, *PLANTS]), {}, fields(*map(str.upper, TERMS))),
        ("taxa.txt", table([TERMS, *PLANTS]), {}, ""),
        ("taxa.txt", table([TERMS, *PLANTS]), {}, fields(*TERMS[1:], start=1)),
        # XML turns a literal tab into a space; a header that is not counted; terms without a column.
        ("taxa.txt", table([TERMS, *PLANTS]), {"fieldsTerminatedBy": "\t"}, fields(*TERMS)),
        ("taxa.txt", table([TERMS, *PLANTS]), {"ignoreHeaderLines": "0"}, fields(*TERMS)),
        ("taxa.txt", table([TERMS, *PLANTS]), {}, "".join(f'<field term="{DWC}{term}"/>' for term in TERMS)),
        ("C:\\data\\taxa.txt", table([TERMS, *PLANTS], "||"), {"fieldsTerminatedBy": "||"}, fields(*TERMS)),
        ("taxa.txt", table([TERMS, *PLANTS]), {"linesTerminatedBy": "\\n;"}, fields(*TERMS)),
        ("taxa.csv", table([TERMS, *PLANTS], ",", '"').replace("Steud.", '\\"Steud.\\"'), COMMAS, fields(*TERMS)),
    ],
    ids=[
        *("name", "quoted", "no-header", "two-headers", "utf-16", "cr", "upper-case", "by-header", "id-by-index"),
        *("tab", "uncounted-header", "no-index", "two-signs", "line-end", "escaped-quotes"),
    ],
)  # fmt: skip
def test_a_core_file_is_read_as_meta_xml_says(
    tmp_path: Path, name: str, content: str | bytes, layout: dict[str, str], columns: str
) -> None:
    file = name.rpartition("\\")[2]
    archive = write(tmp_path / "a", {file: content, "meta.xml": meta(name, columns, **layout)})
    found, summary = build(archive, tmp_path)
    assert summary["rows"] == len(PLANTS)
    assert found["quercus candida"][:3] == ("species", 1, "t:3")
    assert found["quercus alba"][3:] == ("Plantae", *[None] * 4, "Quercus", "alba", "Quercus alba", "species")


def test_defaults_and_files_of_common_names_are_those_of_meta_xml(tmp_path: Path) -> None:
    rows = [("id", "name", "rank"), ("a", "Quercus alba", "species")]
    columns = (
        fields("scientificName", "taxonRank", start=1)
        + f'<field term="{DWC}kingdom" default="Plantae"/><field index="2" term="{DWC}taxonRank" default="genus"/>'
    )
    files = {
        "in/taxa.txt": table(rows),
        "in/meta.xml": meta("./taxa.txt", columns),
        "in/en.csv": 'id,name,lang\na,"oak, white",en\n',
        "in/de.csv": "id,name,lang\na,Weißeiche,de\n",
    }
    folder = write(tmp_path / "a", files)
    with zipfile.ZipFile(tmp_path / "packed.archive", "w") as packed:
        for file in files:
            packed.write(folder / file, file)
    for archive in (folder, tmp_path / "packed.archive"):
        found, summary = build(archive, tmp_path)
        assert found["quercus alba"][3:5] == ("Plantae", None)
        assert summary["common"] == [("de", "Weißeiche"), ("en", "oak, white")]
        assert summary["files_unread"] == ["fr.csv"]


@pytest.mark.parametrize("listed", ["taxa.txt", "taxa.txt.gz"])
def test_packed_files_and_a_zip_in_a_folder_are_opened(tmp_path: Path, listed: str) -> None:
    packed = gzip.compress(table([TERMS, *PLANTS]).encode())
    files: dict[str, str | bytes] = {"taxa.txt.gz": packed, "meta.xml": meta(listed, fields(*TERMS))}
    folder = write(tmp_path / "a", files)
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as inner:
        for name, file in files.items():
            inner.writestr(f"in/{name}", file)
    outside = write(tmp_path / "b", {"download/dwca.zip": content.getvalue(), "README.md": "words"})
    with zipfile.ZipFile(tmp_path / "outer.zip", "w") as outer:
        outer.write(outside / "download/dwca.zip", "dwca.zip")
    bare = write(tmp_path / "c", {"Taxon.tsv.gz": packed}) / "Taxon.tsv.gz"
    for archive in (folder, outside, tmp_path / "outer.zip", bare):
        found, _ = build(archive, tmp_path)
        assert found["quercus candida"][:3] == ("species", 1, "t:3")


def test_a_truncated_gzip_is_refused_by_name(tmp_path: Path) -> None:
    packed = gzip.compress(table([TERMS, *PLANTS]).encode())
    archive = write(tmp_path / "a", {"Taxon.tsv.gz": packed[:-12]})
    with pytest.raises(InputError, match=r"Taxon\.tsv.*download it again"):
        build(archive, tmp_path)


@pytest.mark.parametrize("mode", ["w:", "w:gz"])
def test_a_tar_is_refused_rather_than_read_as_text(tmp_path: Path, mode: Literal["w:", "w:gz"]) -> None:
    folder = write(tmp_path / "a", {"Taxon.tsv": table([TERMS, *PLANTS])})
    with tarfile.open(tmp_path / "list.tar.gz", mode) as packed:
        packed.add(folder / "Taxon.tsv", "Taxon.tsv")
    with pytest.raises(InputError, match=r"list\.tar\.gz: is a tar archive; unpack it"):
        build(tmp_path / "list.tar.gz", tmp_path)


@pytest.mark.parametrize("kind", ["", "http://rs.tdwg.org/dwc/xsd/simpledarwincore/SimpleDarwinRecord"])
def test_a_core_without_a_row_type_may_be_one_of_taxa(tmp_path: Path, kind: str) -> None:
    text = meta("taxa.txt", fields(*TERMS)).replace(f'rowType="{DWC}Taxon"', f'rowType="{kind}"')
    found, _ = build(write(tmp_path / "a", {"taxa.txt": table([TERMS, *PLANTS]), "meta.xml": text}), tmp_path)
    assert found["quercus candida"][:3] == ("species", 1, "t:3")


@pytest.mark.parametrize(
    "layout, told",
    [
        ({"linesTerminatedBy": "@@"}, "linesTerminatedBy is '@@'"),
        ({"encoding": "rot13"}, "encoding 'rot13'"),
        ({"ignoreHeaderLines": "²"}, "'²'"),
        ({"fieldsTerminatedBy": ""}, "is ',' its delimiter"),
    ],
)
def test_a_meta_xml_that_nobody_can_follow_is_refused(tmp_path: Path, layout: dict[str, str], told: str) -> None:
    files = {"taxa.txt": table([TERMS, *PLANTS]), "meta.xml": meta("taxa.txt", fields(*TERMS), **layout)}
    with pytest.raises(InputError, match=told):
        build(write(tmp_path / "a", files), tmp_path)


def test_ids_may_be_the_cores_or_the_taxons(tmp_path: Path) -> None:
    rows = [
        ("7", "taxa/7", "", "Aves", "class"),
        ("8", "taxa/8", "taxa/7", "Pica", "genus"),
        ("9", "taxa/9", "8", "Pica pica", "species"),
    ]
    columns = fields("taxonID", "parentNameUsageID", "scientificName", "taxonRank", start=1)
    files = {
        "taxa.txt": table([("id", "t", "p", "n", "r"), *rows]),
        "meta.xml": meta("taxa.txt", columns),
        "en.csv": "id,name,lang\n9,magpie,en\n",
    }
    found, summary = build(write(tmp_path / "a", files), tmp_path)
    assert found["pica pica"][2:7] == ("t:taxa/9", None, None, "Aves", None)
    assert summary["common"] == [("en", "magpie")]


@pytest.mark.parametrize("delimiter", ["\t", ",", ";", "|"])
def test_a_bare_file_is_read_by_its_header(tmp_path: Path, delimiter: str) -> None:
    rows = [("dwc:scientificName", "KINGDOM", "family", "note"), ("Quercus alba L.", "Plantae", "Fagaceae", "x")]
    archive = write(tmp_path / "a", {"mine.txt": table(rows, delimiter), "README.md": "words"})
    for place in (archive, archive / "mine.txt"):
        found, summary = build(place, tmp_path)
        assert found["quercus alba"][3:10] == ("Plantae", None, None, None, "Fagaceae", "Quercus", "alba")
        assert found["fagaceae"][0] == "family"
        assert found["quercus"][-1] == "genus"
        assert summary["ranks_inferred"] == {"(empty)": 1}


def test_common_names_of_an_archive_without_meta_xml_may_refer_to_its_own_ids(tmp_path: Path) -> None:
    files = {
        "taxa.csv": "id,taxonID,scientificName,taxonRank\n3,https://x.example/3,Pica pica,species\n",
        "en.csv": "id,vernacularName,language\n3,Magpie,en\n",
        "de.csv": "id,vernacularName,language\n3,Elster,de\n",
    }
    found, summary = build(write(tmp_path / "a", files), tmp_path)
    assert found["pica pica"][2] == "t:https://x.example/3"
    assert summary["common"] == [("de", "Elster"), ("en", "Magpie")]


@pytest.mark.parametrize(
    "files",
    [
        {"name-usages.csv": "ID;parentID;status;scientificName;rank\n1;;accepted;Aus;genus\n2;1;accepted;Aus bus;sp.\n"
         "3;2;Synonym;Aus cus;species\n4;1;provisionally accepted;Aus dus;species\n"},
        {"data/names.tsv": "col:id,col:scientificName,col:rank\nn1,Aus,genus\nn2,Aus bus,species\nn3,Aus cus,species\n"
         "n4,Aus dus,species\nn5,Aus nudus,species\n",
         "data/Taxa.txt": "ID\tnameID\tparentID\tprovisional\n1\tn1\n2\tn2\t1\tfalse\n4\tn4\t1\ttrue\n",
         "data/SYNONYM.tsv": "taxonID\tnameID\n2\tn3\n"},
    ],
    ids=["usage", "name-taxon-synonym"],
)  # fmt: skip
def test_coldp_is_read_whatever_its_files_are_called(tmp_path: Path, files: dict[str, str]) -> None:
    found, summary = build(write(tmp_path / "a", files), tmp_path, "coldp")
    assert (found["aus bus"][:3], found["aus cus"][:3]) == (("species", 0, "t:2"), ("species", 1, "t:2"))
    assert found["aus dus"][1] == 2
    assert summary["refused"] == ({"bare_names": 1} if len(files) > 1 else {})


USAGE = "ID\tscientificName\trank\tstatus\n"
BUS = USAGE + "1\tAus bus\tspecies\taccepted\n"
CUS = "scientificName,rank,ID\nAus cus,species,2\n"


@pytest.mark.parametrize(
    "files",
    [
        {"NameUsage-1.tsv": BUS, "NameUsage-2.csv": CUS},
        {"d/name_usage_part01of02.tsv": BUS, "d/name_usage_part02of02.csv": CUS, "NameUsage.tsv": USAGE},
        {"NameUsage.tsv": BUS, "NameUsage2.csv": CUS, "old/NameUsage.tsv": BUS.replace("bus", "eus")},
    ],
    ids=["numbered", "template-without-rows", "older-copy-in-a-folder"],
)
def test_a_coldp_entity_may_be_split_over_files(tmp_path: Path, files: dict[str, str]) -> None:
    commons = {"VernacularName-eng.tsv": "taxonID\tname\tlanguage\n1\tthe bus\teng\n"}
    commons["VernacularName-deu.tsv"] = "taxonID\tname\tlanguage\n1\tder Bus\tdeu\n"
    at_top = {str(Path(next(iter(files))).parent / name): text for name, text in commons.items()}
    found, summary = build(write(tmp_path / "a", files | at_top), tmp_path, "coldp")
    assert {key for key, row in found.items() if row[0] == "species"} == {"aus bus", "aus cus"}
    assert summary["common"] == [("deu", "der Bus"), ("eng", "the bus")]


def test_default_yaml_fills_what_rows_of_coldp_lack(tmp_path: Path) -> None:
    files = {
        "NameUsage.tsv": "ID\tscientificName\trank\tkingdom\n1\tAus bus\t\t\n2\tBus\tgenus\tPlantae\n",
        "VernacularName.tsv": "taxonID\tname\n1\tthe bus\n",
        "default.yaml": "Name-Usage:\n  rank: species\n  col:kingdom: Animalia\n  status: provisionally accepted\n"
        "vernacularname: {language: eng}\nReference: {}\n",
    }
    found, summary = build(write(tmp_path / "a", files), tmp_path, "coldp")
    assert (found["aus bus"][:2], found["aus bus"][3]) == (("species", 2), "Animalia")
    assert found["bus"][3] == "Plantae"
    assert summary["common"] == [("eng", "the bus")]


@pytest.mark.parametrize(("written", "language"), [("no", "no"), ("null", "und"), ("", "und")])
def test_default_yaml_is_read_as_text_so_that_norwegian_is_a_language(
    tmp_path: Path, written: str, language: str
) -> None:
    files = {"NameUsage.tsv": BUS, "VernacularName.tsv": "taxonID\tname\n1\tbussen\n"}
    files["default.yaml"] = f"VernacularName:\n  language: {written}\n"
    assert build(write(tmp_path / "a", files), tmp_path, "coldp")[1]["common"] == [(language, "bussen")]


def test_coldp_rows_that_refer_to_a_missing_name_are_counted(tmp_path: Path) -> None:
    files = {
        "Name.csv": "ID,rank,scientificName\nn1,genus,Pica\nn2,species,Pica pica\n",
        "Taxon.csv": "ID,nameID,parentID,kingdom\n1,n1,,Animalia\n2,n2,1,Animalia\n3,gone,1,Animalia\n",
        "Synonym.csv": "taxonID,nameID\n2,gone\n",
    }
    # `build` checks that every row is named or refused.
    found, summary = build(write(tmp_path / "a", files), tmp_path, "coldp")
    assert summary["refused"] == {"rows_without_name": 2}
    assert {key for key, row in found.items() if row[0] != "kingdom"} == {"pica", "pica pica"}
    assert "t:3" not in {row[2] for row in found.values()}


def test_a_row_s_own_epithets_tell_what_its_name_and_rank_do_not(tmp_path: Path) -> None:
    epithets = ("infragenericEpithet", "specificEpithet", "infraspecificEpithet")
    rows = [
        ("ID", "rank", "scientificName", "genericName", *epithets),
        # Ranks "c" and "g" are read as class and genus elsewhere.
        ("1", "c", "Aus bus c cus Smith", "Aus", "", "bus", "cus"),
        ("2", "g", "Aus bus", "Aus", "", "bus", ""),
        ("3", "subspecies", "Aus bus Smith, 1900 dus", "Aus", "", "bus", "dus"),
        ("4", "subgenus", "", "Aus", "Eus", "", ""),
    ]
    found, summary = build(write(tmp_path / "a", {"NameUsage.tsv": table(rows)}), tmp_path, "coldp")
    ranks = {key: row[0] for key, row in found.items() if row[2].removeprefix("t:").isdigit()}
    assert ranks == {
        "aus bus cus": "infraspecific name",
        "aus bus": "species",
        "aus bus dus": "subspecies",
        "eus": "subgenus",
    }
    assert summary["ranks_inferred"] == {"c": 1, "g": 1}


def test_ones_own_table_needs_ranks_and_names_only(tmp_path: Path) -> None:
    text = "kingdom;cls;genus;species;common_name;accepted_name\nPlantae;;Quercus;alba;white oak;\n"
    text += "Plantae;;Quercus;Quercus candida;;Quercus alba\nAnimalia;Aves;Pica;;magpies;\n"
    (tmp_path / "mine.csv").write_bytes(text.encode("utf-8-sig"))
    found, summary = build(tmp_path / "mine.csv", tmp_path, "table")
    assert found["quercus candida"][:3] == ("species", 1, "t:Quercus alba")
    assert found["pica"][:2] == ("genus", 0)
    assert found["pica"][3:6] == ("Animalia", None, "Aves")
    assert summary["common"] == [("und", "magpies"), ("und", "white oak")]


@pytest.mark.parametrize(
    "text, taxon, common",
    [
        ("internalTaxonId,scientificName,className,familyName,genusName,speciesName,redlistCategory\n"
         "7,Pica pica,AVES,CORVIDAE,Pica,pica,Least Concern\n", ("Aves", "Corvidae"), None),
        ("sciName,mainCommonName,class,family,genus,specificEpithet\nPica_pica,Magpie,AVES,CORVIDAE,Pica,pica\n",
         ("Aves", "Corvidae"), "Magpie"),
        ("species_code,category,English name,scientific name,family\n"
         "eurmag1,species,Magpie,Pica pica,Corvidae (Crows)\n",
         (None, "Corvidae"), "Magpie"),
        ("Rank,Family (Scientific),Family (English),Genus,Species (Scientific),Species (English),Authority\n"
         'species,Corvidae,Crows,Pica,pica,Magpie,"(Linnaeus, 1758)"\n', (None, "Corvidae"), "Magpie"),
        ('"Symbol","Scientific Name with Author","Common Name","Family"\n"PIPI","Pica pica (L.)","Magpie","Corvidae"\n',
         (None, "Corvidae"), "Magpie"),
        ("plant_name_id|taxon_rank|taxon_status|family|genus|species|taxon_name|accepted_plant_name_id\n"
         "1|Species|Accepted|Corvidae|Pica|pica|Pica pica|1\n2|Species|Synonym|Corvidae|Corvus|pica|Corvus pica|1\n",
         (None, "Corvidae"), None),
        ("Name,Scientific_name,family\nMagpie,Pica pica,Corvidae\n", (None, "Corvidae"), None),
    ],
    ids=["red-list", "mammals", "clements", "ioc", "usda", "wcvp", "name-of-another-kind"],
)  # fmt: skip
def test_tables_of_well_known_producers_are_read_by_their_own_columns(
    tmp_path: Path, text: str, taxon: tuple[str | None, str], common: str | None
) -> None:
    (tmp_path / "list.csv").write_text(text)
    found, summary = build(tmp_path / "list.csv", tmp_path, "table")
    assert (found["pica pica"][0], *found["pica pica"][3:10]) == (
        *("species", None, None, taxon[0], None, taxon[1], "Pica", "pica"),
    )
    assert [name for _, name in summary["common"]] == ([common] if common else [])
    if "corvus pica" in found:
        assert found["corvus pica"][1:3] == (1, "t:1")
    unread = {"redlistCategory", "species_code", "category", "Family (English)", "Symbol", "Name"}
    assert set(summary["columns_unread"]) == {cell.strip('"') for cell in text.partition("\n")[0].split(",")} & unread


@pytest.mark.parametrize(
    "text",
    [
        "id,parent,name,rank\n1,,Animalia,kingdom\n2,1,Pica,genus\n3,2,Pica pica,species\n",
        "name,parent,rank\nAnimalia,,kingdom\nPica,Animalia,genus\nPica pica,Pica,species\n",
        "uid\t|\tparent_uid\t|\tname\t|\trank\t|\t\n1\t|\t\t|\tAnimalia\t|\tkingdom\t|\t\n"
        "2\t|\t1\t|\tPica\t|\tgenus\t|\t\n3\t|\t2\t|\tPica pica\t|\tspecies\t|\t\n",
    ],
    ids=["by-id", "by-name", "open-tree"],
)
def test_the_parents_of_an_own_table_give_the_ranks_above(tmp_path: Path, text: str) -> None:
    folder = write(tmp_path / "a", {"taxonomy.tsv": text, "notes.csv": "place,date\nhere,now\n"})
    found, summary = build(folder, tmp_path, "table")
    assert (found["pica pica"][3], *found["pica pica"][8:10]) == ("Animalia", "Pica", "pica")
    assert summary["files_unread"] == ["notes.csv"]


def test_a_name_that_ends_with_its_epithet_twice_has_no_author_from_it(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text("scientific_name\nPica pica pica\nPica pica pica (L.)\n")
    build(tmp_path / "list.csv", tmp_path, "table")
    with duckdb.connect(str(tmp_path / "list.csv.duckdb"), read_only=True) as connection:
        authors = connection.execute("SELECT authorship FROM names WHERE key = 'pica pica pica' ORDER BY 1").fetchall()
    assert authors == [("(L.)",), (None,)]


def test_words_for_ranks_and_statuses_are_known_inferred_or_counted(tmp_path: Path) -> None:
    rows = [
        ("taxonID", "parentNameUsageID", "acceptedNameUsageID", "scientificName", "taxonRank", "taxonomicStatus"),
        ("1", "", "\\N", "Aus", "GÉNERO", "NOME_ACEITO"),
        ("2", "1", "NULL", "Aus bus", "espèce", "valid"),
        ("3", "1", "2", "Aus cus", "sp.", "unaccepted"),
        ("4", "1", "", "Aus dus", "oddity", "provisionally accepted"),
        ("5", "1", "", "Aus eus", "", "Local Biotype"),
        ("6", "1", "2", "Aus fus", "species", "misapplication"),
        ("7", "2", "", "Aus bus var. gus", "unranked", ""),
        ("8", "", "2|5", "Aus hus", "species", "pro parte"),
        ("#9", "1", "", "Aus ius", "species", "accepted"),
        ("10", "1", "2", "Aus kus auct. non L.", "species", "synonym"),
    ]
    found, summary = build(write(tmp_path / "a", {"Taxon.tsv": table(rows)}), tmp_path)
    tiers = {key: row[1] for key, row in found.items()}
    assert tiers == dict.fromkeys(("aus", "aus bus", "aus bus gus"), 0) | {
        **{"aus cus": 1, "aus hus": 1, "aus dus": 2, "aus eus": 3}
    }
    assert [found[key][0] for key in ("aus", "aus bus", "aus dus", "aus bus gus")] == [
        "genus",
        "species",
        "species",
        "variety",
    ]
    assert summary["refused"] == {"commented_rows": 1, "misapplied": 2}
    assert summary["statuses_unknown"] == {"Local Biotype": 1}
    assert summary["ranks_inferred"] == {"(empty)": 1, "oddity": 1, "unranked": 1}
    assert summary["pro_parte"] == 2


def test_a_cycle_of_parents_is_cut_at_its_highest_rank(tmp_path: Path) -> None:
    rows = [
        ("taxonID", "parentNameUsageID", "scientificName", "taxonRank", "kingdom"),
        ("1", "2", "Aales", "order", "Plantae"),
        ("2", "1", "Aaceae", "family", ""),
        ("3", "2", "Aus", "genus", ""),
        ("4", "3", "Aus bus", "species", ""),
    ]
    found, summary = build(write(tmp_path / "a", {"Taxon.tsv": table(rows)}), tmp_path)
    assert found["aus bus"][3:10] == ("Plantae", None, None, "Aales", "Aaceae", "Aus", "bus")
    assert summary["in_parent_cycles"] == 4


def test_trailing_columns_may_be_missing_and_a_name_may_not(tmp_path: Path) -> None:
    rows = [("taxonID", "scientificName", "taxonRank", "family"), ("1", "Aus bus", "species"), ("2", "Aus cus")]
    found, summary = build(write(tmp_path / "a", {"Taxon.tsv": table(rows)}), tmp_path)
    assert (found["aus cus"][0], summary["padded_rows"]) == ("species", 2)
    with pytest.raises(InputError, match=r"Taxon.tsv: line 4 has 1 of 4 columns"):
        build(write(tmp_path / "b", {"Taxon.tsv": table([*rows, ("3",)])}), tmp_path)
    with pytest.raises(InputError, match=r"Taxon.tsv: line 4 has 5 columns"):
        build(write(tmp_path / "c", {"Taxon.tsv": table([*rows, ("3", "Aus dus", "species", "", "x")])}), tmp_path)


@pytest.mark.parametrize(
    "files, reader, said",
    [
        ({"meta.xml": meta("gone.txt", fields(*TERMS))}, "dwca", "gone.txt"),
        ({"meta.xml": meta("a.txt", "").replace("Taxon", "Occurrence"), "a.txt": "id\n1\n"}, "dwca", "occurrence"),
        ({"meta.xml": "<archive"}, "dwca", "XML"),
        ({"meta.xml": meta("a.txt", fields(*TERMS), encoding="klingon"), "a.txt": table(PLANTS)}, "dwca", "klingon"),
        (
            {"meta.xml": meta("a.txt", fields(*TERMS), fieldsTerminatedBy=","), "a.txt": table([TERMS, *PLANTS])},
            *("dwca", "is ',' its delimiter?"),
        ),
        ({"NameUsage.tsv": "ID\tscientificName\n1\tAus bus\n"}, "dwca", "reader: coldp"),
        (
            {"meta.xml": meta("a.txt", fields(*TERMS)), "a.txt": b"t\tp\ta\tn\tr\n1\t\t\tM\xfcll\t\n"},
            *("dwca", "line 2 is not UTF-8"),
        ),
        ({"NameUsage.tsv": "ID\tscientificName\trank\tstatus\n1\tAus bus\tspecies\tbare name\n"}, "coldp", "names 1"),
        ({"reference.tsv": "ID\tcitation\n1\tme\n"}, "coldp", "no NameUsage"),
        ({"Name.tsv": "ID\tscientificName\n1\tAus bus\n"}, "coldp", "Name without Taxon"),
        ({"mine.csv": "place,date\nhere,now\n"}, "table", "no table with a column of names"),
        ({"NameUsage.csv": CUS, "NameUsage.tsv": BUS}, "coldp", "NameUsage.csv and NameUsage.tsv"),
        ({"a/NameUsage.tsv": BUS, "b/NameUsage.tsv": BUS}, "coldp", "a/NameUsage.tsv and b/NameUsage.tsv"),
        ({"NameUsage.tsv": BUS, "default.yaml": "[1, 2]"}, "coldp", "default.yaml"),
        ({"one.csv": CUS, "two.csv": CUS}, "dwca", "(one.csv, two.csv)"),
        ({"one.csv": CUS, "two.csv": CUS}, "table", "(one.csv, two.csv)"),
    ],
)
def test_a_name_that_is_not_a_taxon_is_refused_in_one_line(
    tmp_path: Path, files: dict[str, str | bytes], reader: str, said: str
) -> None:
    with pytest.raises(InputError) as caught:
        build(write(tmp_path / "a", files), tmp_path, reader)
    assert said.lower() in str(caught.value).lower()
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)
