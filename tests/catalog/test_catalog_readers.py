# ruff: noqa: E501 (tables in their own format)
"""Every source format gives the same kind of records, and a reason for every row left out."""

import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from workflow_scripts.catalog.bioscan import read_bioscan
from workflow_scripts.catalog.eol import read_eol
from workflow_scripts.catalog.fathomnet import read_fathomnet
from workflow_scripts.catalog.folders import read_folders
from workflow_scripts.catalog.gbif import read_gbif
from workflow_scripts.catalog.inat21 import read_inat21
from workflow_scripts.catalog.treeoflife10m import read_treeoflife10m
from workflow_scripts.catalog.treeoflife200m import read_treeoflife200m
from workflow_scripts.common.config import catalog as config
from workflow_scripts.common.errors import InputError
from workflow_scripts.contracts import RANKS

Read = Callable[..., tuple[list[dict[str, Any]], dict[str, Any]]]
LIMITS = {"memory_mb": 500, "threads": 1}

OCCURRENCE = """gbifID\tbasisOfRecord\tkingdom\tphylum\tclass\torder\tfamily\tgenus\tspecificEpithet\tspecies\tscientificName\tvernacularName\tdatasetKey\tinstitutionCode\tlifeStage\tlicense\trightsHolder\toccurrenceID\ttaxonKey
1\tHUMAN_OBSERVATION\tAnimalia\tChordata\tAves\tPasseriformes\tCorvidae\tPica\thudsonia\tPica hudsonia\tPica hudsonia (Sabine, 1822)\tblack-billed "magpie\tkey-1\tiNat\tAdult\tCC_BY_NC_4_0\t\thttps://x.org/1\t5230880
2\tPRESERVED_SPECIMEN\tAnimalia\tArthropoda\tInsecta\tDiptera\tSyrphidae\tSyrphus\tribesii\tSyrphus ribesii\tSyrphus ribesii (L.)\t\tkey-2\tNHMUK\t\tCC0_1_0\tThe Museum\t\t0
3\tMATERIAL_CITATION\tPlantae\tTracheophyta\t\t\t\tRosa\tcanina\tRosa canina\tRosa canina L.\t\tkey-3\t\t\t\t\t\t
4\tMACHINE_OBSERVATION\tAnimalia\tChordata\tMammalia\tCarnivora\tFelidae\tLynx\tlynx\tLynx lynx\tLynx lynx\t\tkey-4\t\t\t\t\t\t
"""
MULTIMEDIA = """gbifID\ttype\tformat\tidentifier\treferences\ttitle\tcreator\tpublisher\tlicense\trightsHolder
1\tStillImage\timage/jpeg\thttps://photos.example/1/original.jpg\t\tOne\tAnn\t\thttp://creativecommons.org/licenses/by-nc/4.0/\tAnn
1\tStillImage\timage/jpeg\thttps://photos.example/2/original.jpg\t\t\t\t\t\t
2\t\timage/tiff\thttps://museum.example/2.tif\t\t\t\t\t\t
2\tSound\taudio/mpeg\thttps://museum.example/2.mp3\t\t\t\t\t\t
3\tStillImage\timage/jpeg\thttps://museum.example/3.jpg\t\t\t\t\t\t
4\tStillImage\timage/jpeg\thttps://traps.example/4.jpg\t\t\t\t\t\t
9\tStillImage\timage/jpeg\thttps://traps.example/9.jpg\t\t\t\t\t\t
2\tStillImage\timage/jpeg\t\t\t\t\t\t\t
"""
ABOUT = '<eml:eml packageId="x"><alternateIdentifier>https://doi.org/10.15468/dl.abc123</alternateIdentifier></eml:eml>'


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Runs a reader on source files; returns the records by source id and URL, and the account."""

    def run(reader: Callable[..., None], settings: config.SourceSettings, **given: Path) -> Any:
        out, account = tmp_path / "records.parquet", tmp_path / "account.json"
        reader(settings=settings, out=out, account=account, **given, **LIMITS)
        return pq.read_table(out).to_pylist(), json.loads(account.read_text())

    return run


def row_of(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The first of the records."""
    return min(rows, key=lambda row: str(row["source_url"]))


def put(path: Path, text: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def names(row: dict[str, Any]) -> str:
    return " ".join(row[rank] or "-" for rank in RANKS)


@pytest.mark.parametrize("packed", [True, False])
def test_gbif(tmp_path: Path, read: Read, packed: bool) -> None:
    archive = tmp_path / ("download.zip" if packed else "download")
    files = {"occurrence.txt": OCCURRENCE, "multimedia.txt": MULTIMEDIA, "metadata.xml": ABOUT}
    if packed:
        with zipfile.ZipFile(archive, "w") as opened:
            for name, text in files.items():
                opened.writestr(name, text)
    else:
        for name, text in files.items():
            put(archive / name, text)
    settings = config.Gbif(
        name="gbif", reader="gbif", archive=str(archive), keep=["lifeStage", "institutionCode", "several_images"]
    )
    settings = settings.model_copy(update={"stand_in": ["license", "rightsHolder"]})
    rows, account = read(read_gbif, settings, archive=archive)
    by_url = {row["source_url"]: row for row in rows}
    assert account["dropped"] == {"material_citation": 1, "no_occurrence": 1, "no_url": 1, "not_an_image": 1}
    assert (account["rows_in"], account["kept"]) == (8, 4)
    magpie = by_url["https://photos.example/1/original.jpg"]
    assert names(magpie) == "Animalia Chordata Aves Passeriformes Corvidae Pica hudsonia"
    assert (magpie["common"], magpie["creator"], magpie["title"]) == ('black-billed "magpie', "Ann", "One")
    assert (magpie["license"], magpie["lifeStage"]) == ("CC-BY-NC-4.0", "Adult")
    assert magpie["occurrence_id"] == by_url["https://photos.example/2/original.jpg"]["occurrence_id"] == "gbif:1"
    assert {row["source_doi"] for row in rows} == {"10.15468/dl.abc123"}
    assert magpie["taxon_key"] == "gbif:5230880"
    assert [by_url[url]["img_type"] for url in sorted(by_url)] == [
        "Museum Specimen: Insect",
        "Unidentified",
        "Unidentified",
        "Unidentified",
    ]
    hoverfly = by_url["https://museum.example/2.tif"]
    # Of the hoverfly's two images one has no address.
    assert {row["occurrence_id"] for row in rows if row["several_images"] == "true"} == {"gbif:1"}
    assert {row["occurrence_id"] for row in rows if row["several_images"] == "false"} == {"gbif:2", "gbif:4"}
    assert (hoverfly["copyright_owner"], hoverfly["license"], hoverfly["dataset_key"]) == (
        "The Museum",
        "CC0-1.0",
        "key-2",
    )
    assert hoverfly["lifeStage"] is hoverfly["taxon_key"] is None
    assert hoverfly["institutionCode"] == "NHMUK"


def test_ids_do_not_change_with_labels(tmp_path: Path, read: Read) -> None:
    put(tmp_path / "multimedia.txt", MULTIMEDIA)
    settings = config.Gbif(name="gbif", reader="gbif", archive=str(tmp_path), select="genus <> 'Lynx'")
    found = []
    for text in (OCCURRENCE, OCCURRENCE.replace("hudsonia", "nuttalli")):
        put(tmp_path / "occurrence.txt", text)
        rows, account = read(read_gbif, settings, archive=tmp_path)
        assert account["dropped"]["not_selected"] == 1
        found.append(({row["uuid"] for row in rows}, {row["label_id"] for row in rows}))
    assert found[0][0] == found[1][0]
    assert found[0][1] != found[1][1]


def gbif(folder: Path, read: Read, occurrences: str, media: str = "", **settings: Any) -> Any:
    """The records of a table of occurrences (header first). Without `media`, each occurrence has one image."""
    ids = [line.split("\t")[0] for line in occurrences.strip().splitlines()[1:]]
    shown = "".join(f"{number}\tStillImage\thttps://x.example/{number}.jpg\n" for number in ids)
    put(folder / "occurrence.txt", occurrences)
    put(folder / "multimedia.txt", media or f"gbifID\ttype\tidentifier\n{shown}")
    rows, account = read(
        read_gbif, config.Gbif(name="gbif", reader="gbif", archive=str(folder), **settings), archive=folder
    )
    return {row["source_id"]: row for row in rows}, account


SYNONYMS = """gbifID\tfamily\tgenus\tgenericName\tspecificEpithet\tspecies\tscientificName\tacceptedScientificName\tlicense\trightsHolder
1\tAmaryllidaceae\tAllium\tAllium\tscorodoprasum\tAllium rotundum\tAllium scorodoprasum subsp. rotundum (L.) Stearn\tAllium rotundum L.\tCC_BY_4_0\tKew
2\tAsteraceae\tPilosella\tHieracium\tpilosella\tPilosella officinarum\tHieracium pilosella L.\t\tCC0_1_0\t
3\tAsteraceae\tBellis\tBellis\tperennis\tBellis perennis\tBellis perennis L.\t\t\t
4\tAsteraceae\tBellis\tBellis\t\t\tBellis L.\t\t\t
5\tAsteraceae\t\tOldgenus\t\t\tOldgenus Smith\t\t\t
"""


def test_a_gbif_label_is_either_the_accepted_name_or_the_records_own(tmp_path: Path, read: Read) -> None:
    def labels(**settings: Any) -> dict[str, tuple[str, str, str]]:
        rows, _ = gbif(tmp_path, read, SYNONYMS, **settings)
        return {number: (row["genus"], row["species"], row["scientific_name"]) for number, row in rows.items()}

    assert labels() == {
        "1": ("Allium", "rotundum", "Allium rotundum L."),
        "2": ("Pilosella", "officinarum", "Pilosella officinarum"),
        "3": ("Bellis", "perennis", "Bellis perennis L."),
        "4": ("Bellis", None, "Bellis L."),
        "5": (None, None, "Asteraceae"),
    }
    assert labels(names="record") == {
        "1": ("Allium", "scorodoprasum", "Allium scorodoprasum subsp. rotundum (L.) Stearn"),
        "2": ("Hieracium", "pilosella", "Hieracium pilosella L."),
        "3": ("Bellis", "perennis", "Bellis perennis L."),
        "4": ("Bellis", None, "Bellis L."),
        "5": ("Oldgenus", None, "Oldgenus Smith"),
    }
    rows, _ = gbif(tmp_path, read, SYNONYMS)
    assert (rows["2"]["record_name"], rows["2"]["accepted_name"]) == ("Hieracium pilosella L.", "Pilosella officinarum")


def test_the_records_licence_applies_to_its_images_only_if_configured(tmp_path: Path, read: Read) -> None:
    rows, _ = gbif(tmp_path, read, SYNONYMS)
    assert (rows["1"]["license"], rows["1"]["license_name"], rows["1"]["copyright_owner"]) == (None, None, None)
    assert rows["1"]["record_license"] == "CC_BY_4_0"
    rows, _ = gbif(tmp_path, read, SYNONYMS, stand_in=["license"])
    assert (rows["1"]["license"], rows["1"]["copyright_owner"]) == ("CC-BY-4.0", None)
    media = "gbifID\ttype\tidentifier\tlicense\n1\tStillImage\thttps://x.example/1.jpg\tAll rights reserved\n"
    rows, _ = gbif(tmp_path, read, SYNONYMS, media, stand_in=["license", "rightsHolder"])
    assert (rows["1"]["license"], rows["1"]["license_name"]) == (None, "All rights reserved")
    assert rows["1"]["copyright_owner"] == "Kew"


@pytest.mark.parametrize(
    "given, genus, species",
    [
        ({"species": "× Sorbaronia mitschurinii", "genus": "× Sorbaronia"}, "× Sorbaronia", "mitschurinii"),
        ({"species": "Quercus × rosacea", "genus": "Quercus"}, "Quercus", "× rosacea"),
        ({"species": "Bidens 4-partita", "genus": "Bidens"}, "Bidens", "4-partita"),
        ({"species": "Influenza A virus", "genus": "Alphainfluenzavirus"}, "Alphainfluenzavirus", "Influenza A virus"),
        (
            {"kingdom": "Viruses", "species": "Tobacco mosaic virus", "genus": "Tobamovirus"},
            "Tobamovirus",
            "Tobacco mosaic virus",
        ),
    ],
)
def test_an_accepted_species_is_split_after_its_genus(
    tmp_path: Path, read: Read, given: dict[str, str], genus: str, species: str
) -> None:
    columns = {"gbifID": "1"} | given
    rows, _ = gbif(tmp_path, read, "\t".join(columns) + "\n" + "\t".join(columns.values()) + "\n")
    assert (rows["1"]["genus"], rows["1"]["species"]) == (genus, species)


def test_a_repeated_occurrence_does_not_repeat_its_images(tmp_path: Path, read: Read) -> None:
    occurrences = "gbifID\tspecies\tlocality\n1\tPica pica\tKiel\n1\tPica pica\tBonn\n1\tPica pica\tKiel\n"
    media = "gbifID\ttype\tidentifier\n1\tStillImage\thttps://x.example/1.jpg\n"
    rows, account = gbif(tmp_path, read, occurrences, media)
    assert rows["1"]["species"] == "pica"
    assert (account["rows_in"], account["kept"], account["dropped"]) == (1, 1, {})
    rows, account = gbif(tmp_path, read, occurrences + "1\tPica hudsonia\tKiel\n", media)
    assert (rows, account["dropped"]) == ({}, {"several_occurrences": 1})


def archive_of(folder: Path, *sections: tuple[str, str, str]) -> config.Gbif:
    """An archive of sections (row type, name, table whose first column is the id), the core first."""
    described = ""
    for place, (kind, name, text) in enumerate(sections):
        put(folder / f"{name}.txt", text)
        terms = text.splitlines()[0].split("\t")[1:]
        fields = "".join(f'<field index="{index}" term="{term}"/>' for index, term in enumerate(terms, start=1))
        tag, identity = ("extension", "coreid") if place else ("core", "id")
        described += (
            f'<{tag} fieldsTerminatedBy="\\t" fieldsEnclosedBy="" ignoreHeaderLines="1" rowType="{kind}"><files>'
            f'<location>{name}.txt</location></files><{identity} index="0"/>{fields}</{tag}>'
        )
    put(folder / "meta.xml", f"<archive>{described}</archive>")
    return config.Gbif(name="gbif", reader="gbif", archive=str(folder), keep=[])


def test_media_of_an_event_are_joined_by_occurrence_or_to_its_only_taxon(tmp_path: Path, read: Read) -> None:
    event = ("dwc:Event", "event", "id\tcountry\ne1\tPeru\ne2\tPeru\n")
    occurrences = (
        "dwc:Occurrence",
        "occurrence",
        "id\toccurrenceID\tscientificName\ne1\to1\tPica pica\ne1\to2\tApis mellifera\ne2\to3\tBombus terrestris\n",
    )
    media = "id\tidentifier\tformat\ne1\thttps://x.example/1\timage/jpeg\ne2\thttps://x.example/2\timage/jpeg\n"
    settings = archive_of(tmp_path / "a", event, occurrences, ("gbif:Multimedia", "media", media))
    rows, account = read(read_gbif, settings, archive=tmp_path / "a")
    assert [row["scientific_name"] for row in rows] == ["Bombus terrestris"]
    assert account["dropped"] == {"several_occurrences": 1}
    media = "id\toccurrenceID\tidentifier\tformat\ne1\to2\thttps://x.example/1\timage/jpeg\n"
    settings = archive_of(tmp_path / "b", event, occurrences, ("gbif:Multimedia", "media", media))
    ((row,), account) = read(read_gbif, settings, archive=tmp_path / "b")
    assert (row["scientific_name"], row["source_id"], account["dropped"]) == ("Apis mellifera", "o2", {})


def test_media_of_a_checklist_are_labelled_with_its_taxa(tmp_path: Path, read: Read) -> None:
    taxa = "id\tscientificName\tgenus\tspecificEpithet\nt1\tPurex formosus Hebard\tPurex\tformosus\n"
    cited = "id\toccurrenceID\tscientificName\nt1\to1\tPurex\nt1\to2\tPurex sp.\n"
    media = "id\tidentifier\tformat\nt1\thttps://x.example/1\timage/png\nt1\thttps://x.example/2\timage/png\n"
    settings = archive_of(
        tmp_path, ("dwc:Taxon", "taxa", taxa), ("dwc:Occurrence", "cited", cited), ("gbif:Multimedia", "media", media)
    )
    rows, account = read(read_gbif, settings, archive=tmp_path)
    assert {(row["genus"], row["species"], row["occurrence_id"]) for row in rows} == {("Purex", "formosus", None)}
    assert (account["kept"], account["dropped"]) == (2, {})


@pytest.mark.parametrize(
    "rights, name, license",
    [
        ({"rights": "(c) Museum - CC BY-NC 4.0", "WebStatement": "https://x.example/terms"}, None, "CC-BY-NC-4.0"),
        ({"rights": "CC BY", "WebStatement": "https://creativecommons.org/licenses/by/4.0/"}, "CC BY", "CC-BY-4.0"),
        ({"UsageTerms": "CC BY-NC", "rights": "CC BY-NC"}, "CC BY-NC", "CC-BY-NC"),
        ({"license": "https://x.example/terms", "UsageTerms": "CC0"}, None, "CC0-1.0"),
        ({"UsageTerms": "CC BY", "rights": "© Museum. All rights reserved"}, None, None),
        ({"UsageTerms": "CC BY", "WebStatement": "https://creativecommons.org/licenses/by-nc/4.0/"}, "CC BY", None),
    ],
)
def test_rights_terms_of_audubon_core_are_read_together(
    tmp_path: Path, read: Read, rights: dict[str, str], name: str | None, license: str | None
) -> None:
    head, values = "\t".join(rights), "\t".join(rights.values())
    media = f"id\taccessURI\tidentifier\ttype\t{head}\n1\thttps://x.example/1\turn:uuid:1\tStillImage\t{values}\n"
    settings = archive_of(
        tmp_path, ("dwc:Occurrence", "o", "id\tscientificName\n1\tPica pica\n"), ("ac:Multimedia", "m", media)
    )
    ((row,), _) = read(read_gbif, settings, archive=tmp_path)
    assert (row["license"], row["source_url"]) == (license, "https://x.example/1")
    assert row["license_name"] == (name or "; ".join(value for key, value in rights.items() if key != "WebStatement"))


@pytest.mark.parametrize(
    "basis", ["PreservedSpecimen", "Preserved Specimen", "preservedspecimen", "dwc:PreservedSpecimen"]
)
def test_basis_of_record_in_any_spelling(tmp_path: Path, read: Read, basis: str) -> None:
    rows, _ = gbif(tmp_path, read, f"gbifID\tbasisOfRecord\tspecies\tclass\n1\t{basis}\tApis mellifera\tInsecta\n")
    assert (rows["1"]["img_type"], rows["1"]["basisOfRecord"]) == ("Museum Specimen: Insect", basis)
    media = "gbifID\ttype\tidentifier\n1\tStillImage\thttps://x.example/1.jpg\n"
    _, account = gbif(tmp_path, read, "gbifID\tbasisOfRecord\n1\tMaterialCitation\n", media)
    assert account["dropped"] == {"material_citation": 1}


@pytest.mark.parametrize(
    "medium, is_image",
    [
        ("Still Image\t\thttps://x.example/1", True),
        ("\tJPG\thttps://x.example/1", True),
        ("Photograph\t\thttps://x.example/1", True),
        ("image/jpeg\t\thttps://x.example/1", True),
        ("herbarium sheet\timage/jpeg\thttps://x.example/1", True),
        ("herbarium sheet\t\thttps://x.example/1", False),
        ("audio/mpeg\t\thttps://x.example/1.jpg", False),
        ("\timage/jpeg\thttps://x.example/1", True),
        ("\t\thttps://x.example/1.JPG?size=big", True),
        ("\t\thttps://x.example/1", False),
        ("\taudio/mpeg\thttps://x.example/1.jpg", False),
        ("Sound\timage/jpeg\thttps://x.example/1.jpg", False),
    ],
)
def test_an_image_is_recognized_by_its_type_then_format_then_url(
    tmp_path: Path, read: Read, medium: str, is_image: bool
) -> None:
    media = f"gbifID\ttype\tformat\tidentifier\n1\t{medium}\n"
    rows, account = gbif(tmp_path, read, "gbifID\tspecies\n1\tPica pica\n", media)
    reason = "kind_unknown" if "audio" not in medium and "Sound" not in medium else "not_an_image"
    assert (len(rows) == 1, account["dropped"]) == (is_image, {} if is_image else {reason: 1})


OCCURRENCES = (
    "gbifID\tspecies\tlicense\trightsHolder\tassociatedMedia\n"
    "1\tPica pica\tCC0_1_0\tA Museum\thttps://x.example/1,a.jpg|https://x.example/2.JPG?w=9&h=9\n"
    "2\tPica pica\tCC0_1_0\tA Museum\thttps://x.example/3.png, https://x.example/4.tif; http://x.example/5.jpg\n"
    "3\tPica pica\tCC0_1_0\tA Museum\thttps://x.example/i?f=6.jpg&w=9|#DELIMITER#|https://x.example/page/7\n"
    "4\tPica pica\tCC0_1_0\tA Museum\thttps://x.example/8.mp3 | IMG_9.jpg\n"
    "5\tPica pica\tCC0_1_0\tA Museum\t-\n6\tPica pica\tCC0_1_0\tA Museum\t\n"
)


@pytest.mark.parametrize("stand_in", [[], ["license", "rightsHolder"]])
def test_media_listed_in_associated_media_are_read_without_a_licence(
    tmp_path: Path, read: Read, stand_in: list[str]
) -> None:
    put(tmp_path / "a/occurrence.txt", OCCURRENCES)
    settings = config.Gbif(name="g", reader="gbif", archive="x", stand_in=stand_in)
    rows, account = read(read_gbif, settings, archive=tmp_path / "a")
    assert sorted(row["source_url"].removeprefix("https://x.example/") for row in rows) == [
        *("1,a.jpg", "2.JPG?w=9&h=9", "3.png", "4.tif", "http://x.example/5.jpg", "i?f=6.jpg&w=9"),
    ]
    assert account["dropped"] == {"bad_url": 1, "kind_unknown": 1, "not_an_image": 1}
    stated = (row_of(rows)["license"], row_of(rows)["copyright_owner"])
    assert stated == (("CC0-1.0", "A Museum") if stand_in else (None, None))
    assert row_of(rows)["record_license"] == "CC0_1_0"


@pytest.mark.parametrize("written", ['["https://x.example/1.jpg","https://x.example/2.jpg"]', '"{0}1.jpg"; "{0}2.jpg"'])
def test_a_quoted_list_of_associated_media_is_read(tmp_path: Path, read: Read, written: str) -> None:
    media = written.format("https://x.example/")
    put(tmp_path / "a/occurrence.txt", f"gbifID\tspecies\tlicense\tassociatedMedia\n1\tPica pica\tCC0_1_0\t{media}\n")
    rows, _ = read(read_gbif, config.Gbif(name="g", reader="gbif", archive="x"), archive=tmp_path / "a")
    assert sorted(row["source_url"] for row in rows) == [f"https://x.example/{name}.jpg" for name in "12"]


def test_associated_media_of_records_in_the_table_of_media_are_not_read_twice(tmp_path: Path, read: Read) -> None:
    put(tmp_path / "a/occurrence.txt", OCCURRENCES)
    put(tmp_path / "a/multimedia.txt", "gbifID\ttype\tidentifier\n1\tStillImage\thttps://x.example/1,a.jpg\n")
    settings = config.Gbif(name="g", reader="gbif", archive="x")
    rows, account = read(read_gbif, settings, archive=tmp_path / "a")
    assert (len(rows), account["rows_in"]) == (5, 8)


def test_rows_of_the_image_extension_are_images(tmp_path: Path, read: Read) -> None:
    dwc = "http://rs.tdwg.org/dwc/terms/"
    section = 'fieldsTerminatedBy="," ignoreHeaderLines="1"><files><location>{}.csv</location></files>'
    (tmp_path / "meta.xml").write_text(
        f'<archive><extension rowType="http://rs.gbif.org/terms/1.0/Image" {section.format("image")}'
        '<coreid index="0"/><field index="1" term="http://purl.org/dc/terms/identifier"/></extension>'
        f'<core rowType="{dwc}Occurrence" {section.format("core")}'
        f'<id index="0"/><field index="1" term="{dwc}scientificName"/></core></archive>'
    )
    (tmp_path / "core.csv").write_text("id,name\na,Pica pica\n")
    (tmp_path / "image.csv").write_text("id,url\na,https://x.example/photo?id=7\n")
    (row,), account = read(read_gbif, config.Gbif(name="gbif", reader="gbif", archive=str(tmp_path)), archive=tmp_path)
    assert (row["scientific_name"], row["source_url"]) == ("Pica pica", "https://x.example/photo?id=7")
    assert account["dropped"] == {}


IMG_TYPES = [
    ({"basisOfRecord": "MACHINE_OBSERVATION", "publisher": "Museums Victoria"}, "Camera-trap"),
    ({"basisOfRecord": "MACHINE_OBSERVATION", "publisher": "Florida Museum of Natural History"}, "Unidentified"),
    ({"basisOfRecord": "HUMAN_OBSERVATION", "eventRemarks": "Camera trap in the wood"}, "Camera-trap"),
    ({"basisOfRecord": "HUMAN_OBSERVATION", "eventRemarks": "Trigger Sensitivity: high"}, "Camera-trap"),
    ({"basisOfRecord": "HUMAN_OBSERVATION", "publisher": "iNaturalist.org"}, "Citizen Science"),
    (
        {"basisOfRecord": "HUMAN_OBSERVATION", "datasetKey": "cca13f2c-0d2c-4c2f-93b9-4446c0cc1629"},
        "Citizen Science",
    ),
    ({"basisOfRecord": "HUMAN_OBSERVATION", "datasetKey": "counted-by-people"}, "Citizen Science"),
    ({"basisOfRecord": "HUMAN_OBSERVATION", "publisher": "A university"}, "Unidentified"),
    ({"basisOfRecord": "PRESERVED_SPECIMEN", "kingdom": "Plantae"}, "Museum Specimen: Plant"),
    ({"basisOfRecord": "PRESERVED_SPECIMEN", "phylum": "Ochrophyta"}, "Museum Specimen: Plant"),
    ({"basisOfRecord": "MATERIAL_SAMPLE", "phylum": "Oomycota"}, "Museum Specimen: Fungi"),
    ({"basisOfRecord": "FOSSIL_SPECIMEN", "class": "Insecta"}, "Museum Specimen: Insect"),
    (
        {"basisOfRecord": "PRESERVED_SPECIMEN", "phylum": "Chordata", "order": "Perciformes"},
        "Museum Specimen: Vertebrate Zoology - Fishes",
    ),
    (
        {"basisOfRecord": "PRESERVED_SPECIMEN", "phylum": "Chordata", "class": "Squamata"},
        "Museum Specimen: Vertebrate Zoology - Reptiles",
    ),
    (
        {"basisOfRecord": "LIVING_SPECIMEN", "phylum": "Chordata", "class": "Amphibia"},
        "Museum Specimen: Vertebrate Zoology - Amphibians",
    ),
    (
        {"basisOfRecord": "PRESERVED_SPECIMEN", "phylum": "Chordata", "class": "Aves"},
        "Museum Specimen: Vertebrate Zoology - Birds",
    ),
    (
        {"basisOfRecord": "PRESERVED_SPECIMEN", "phylum": "Chordata", "class": "Mammalia"},
        "Museum Specimen: Vertebrate Zoology - Mammals",
    ),
    (
        {"basisOfRecord": "PRESERVED_SPECIMEN", "phylum": "Chordata", "class": "Ascidiacea"},
        "Museum Specimen: Vertebrate Zoology - Others",
    ),
    (
        {"basisOfRecord": "PRESERVED_SPECIMEN", "kingdom": "Animalia", "phylum": "Mollusca"},
        "Museum Specimen: Invertebrate Zoology",
    ),
    ({"basisOfRecord": "PRESERVED_SPECIMEN", "kingdom": "Bacteria"}, "Museum Specimen: Microbiology"),
    ({"basisOfRecord": "PRESERVED_SPECIMEN"}, "Museum Specimen: Uncategorized"),
]


def test_image_types_follow_treeoflife200m_value_by_value(tmp_path: Path, read: Read) -> None:
    columns = sorted({name for record, _ in IMG_TYPES for name in record})
    lines = [
        "\t".join([str(number), *(record.get(name, "") for name in columns), "Aus bus"])
        for number, (record, _) in enumerate(IMG_TYPES)
    ]
    put(tmp_path / "dataset/counted-by-people.xml", "<eml><title>Projeto de ciência cidadã</title></eml>")
    put(tmp_path / "dataset/other.xml", "<eml><title>Herbarium</title></eml>")
    rows, _ = gbif(tmp_path, read, "\n".join(["\t".join(["gbifID", *columns, "scientificName"]), *lines]))
    assert [rows[str(number)]["img_type"] for number in range(len(IMG_TYPES))] == [typed for _, typed in IMG_TYPES]


def test_sonograms_are_left_out(tmp_path: Path, read: Read) -> None:
    media = (
        "gbifID\ttype\tidentifier\tdescription\trightsHolder\n"
        "1\tStillImage\thttps://www.xeno-canto.org/ffts/1.png\t\t\n"
        "2\tStillImage\thttps://x.example/2.png\tSonogram of the first ten seconds\t\n"
        "3\tStillImage\thttps://x.example/3.png\tPortrait\tStichting Xeno-canto\n"
        "4\tStillImage\thttps://x.example/4.png\tBellis\t\n"
    )
    rows, account = gbif(tmp_path, read, SYNONYMS, media)
    assert list(rows) == ["4"]
    assert account["dropped"] == {"sonogram": 3}


def test_meta_xml_names_the_columns_of_an_archive_in_a_zip_with_a_folder(tmp_path: Path, read: Read) -> None:
    def fields(*terms: str) -> str:
        return "".join(f'<field index="{place}" term=" {term} "/>' for place, term in enumerate(terms, start=1))

    dwc, dc, ac = "http://rs.tdwg.org/dwc/terms/", "http://purl.org/dc/terms/", "http://rs.tdwg.org/ac/terms/"
    meta = (
        '<archive xmlns="http://rs.tdwg.org/dwc/text/"><core encoding="UTF-8" fieldsTerminatedBy="," fieldsEnclosedBy=\'"\' '
        f'ignoreHeaderLines="0" rowType="{dwc}Occurrence"><files><location>records.csv</location></files><id index="0"/>'
        f'{fields(dwc + "scientificName", dwc + "lifeStage")}<field default="PRESERVED_SPECIMEN" term="{dwc}basisOfRecord"/>'
        f'</core><extension fieldsTerminatedBy="\\t" fieldsEnclosedBy="" ignoreHeaderLines="1" rowType="{ac}Multimedia">'
        f'<files><location>media.txt</location></files><coreid index="0"/>'
        f"{fields(ac + 'accessURI', dc + 'type', 'http://ns.adobe.com/xap/1.0/rights/WebStatement')}</extension></archive>"
    )
    archive = tmp_path / "download.zip"
    with zipfile.ZipFile(archive, "w") as opened:
        opened.writestr("export/meta.xml", meta)
        opened.writestr("export/records.csv", 'a-1 ,"Pica pica, L.",adult\n')
        opened.writestr(
            "export/media.txt",
            "id\tu\tt\tw\na-1\thttps://x.example/1.jpg\tStillImage\thttps://creativecommons.org/licenses/by/4.0/\n",
        )
        opened.writestr("__MACOSX/export/._meta.xml", "no xml")
    settings = config.Gbif(
        name="gbif", reader="gbif", archive=str(archive), keep=["lifeStage"], select="lifeStage = 'adult'"
    )
    ((row,), account) = read(read_gbif, settings, archive=archive)
    assert account["kept"] == 1
    assert (row["source_id"], row["scientific_name"], row["lifeStage"]) == ("a-1", "Pica pica, L.", "adult")
    assert (row["basisOfRecord"], row["license"]) == ("PRESERVED_SPECIMEN", "CC-BY-4.0")


def test_an_invalid_gbif_archive_is_named(tmp_path: Path, read: Read) -> None:
    settings = config.Gbif(name="gbif", reader="gbif", archive="x")
    with pytest.raises(InputError, match=r"broken\.zip: cannot be read as a zip"):
        read(read_gbif, settings, archive=put(tmp_path / "broken.zip", "no zip"))
    simple = tmp_path / "simple.zip"
    with zipfile.ZipFile(simple, "w") as opened:
        opened.writestr("0000123-200101000000000.csv", "gbifID\tspecies\n1\tPica pica\n")
    with pytest.raises(InputError, match=r"simple\.zip: .*occurrence.*DARWIN CORE ARCHIVE"):
        read(read_gbif, settings, archive=simple)
    put(tmp_path / "only/occurrence.txt", OCCURRENCE)
    with pytest.raises(InputError, match=r"only: .*multimedia"):
        read(read_gbif, settings, archive=tmp_path / "only")


def test_a_file_of_media_that_meta_xml_lists_and_the_archive_lacks_is_named(tmp_path: Path, read: Read) -> None:
    section = 'rowType="http://rs.tdwg.org/dwc/terms/Occurrence"><files><location>{}</location></files>'
    meta = "".join(
        f'<{tag} fieldsTerminatedBy="\\t" ignoreHeaderLines="1" {section.format(file)}<{index} index="0"/></{tag}>'
        for tag, index, file in [("core", "id", "occurrence.txt"), ("extension", "coreid", "media.txt")]
    ).replace('Occurrence"><files><location>media', 'Multimedia"><files><location>media')
    put(tmp_path / "a/meta.xml", f"<archive>{meta}</archive>")
    put(tmp_path / "a/occurrence.txt", OCCURRENCES)
    with pytest.raises(InputError, match=r"meta\.xml lists media\.txt"):
        read(read_gbif, config.Gbif(name="g", reader="gbif", archive="x"), archive=tmp_path / "a")


REAL = Path(os.environ.get("TREEOFLIFE_REAL_DATA", "/nowhere")) / "real/occurrences"


@pytest.mark.skipif(not REAL.exists(), reason="left out: TREEOFLIFE_REAL_DATA names no folder with real/occurrences")
@pytest.mark.parametrize("name", ["rgbif-2014.zip", "download-35d24686", "gbif-results.zip"])
def test_real_downloads_give_gbifs_own_species(tmp_path: Path, read: Read, name: str) -> None:
    archive = tmp_path / "archive"
    if name.endswith(".zip"):
        with zipfile.ZipFile(REAL / name) as opened:
            opened.extractall(archive)
    else:
        archive.mkdir()
        for file in (REAL / name).iterdir():
            (archive / file.name).write_bytes(file.read_bytes())
    has_header = name != "gbif-results.zip"
    with (archive / "occurrence.txt").open(encoding="utf-8", errors="replace") as file:
        lines = [line.rstrip("\n").split("\t") for line in file]
    header, lines = (lines[0], lines[1:]) if has_header else (["gbifID"], lines)
    species = {line[0]: dict(zip(header, line, strict=False)).get("species", "") for line in lines}
    if name != "rgbif-2014.zip":
        media = "".join(f"{number}\tStillImage\thttps://x.example/{number}.jpg\n" for number in species)
        put(archive / "multimedia.txt", f"gbifID\ttype\tidentifier\n{media}")
        if has_header:
            # The archive's own meta.xml describes more columns of it.
            columns = ("gbifID", "type", "format", "identifier")
            media = "".join(f"{number}\tStillImage\t\thttps://x.example/{number}.jpg\n" for number in species)
            put(archive / "multimedia.txt", "\t".join(columns) + "\n" + media)
    rows, account = read(read_gbif, config.Gbif(name="g", reader="gbif", archive=str(archive)), archive=archive)
    assert account["rows_in"] == account["kept"] + sum(account["dropped"].values())
    assert account["kept"] > 150
    if has_header:
        for row in rows:
            label = f"{row['genus']} {row['species']}" if row["species"] else ""
            assert label == species[row["source_id"]]


def test_eol(tmp_path: Path, read: Read) -> None:
    manifest = put(
        tmp_path / "media_manifest.csv",
        "EOL content ID,EOL page ID,Medium Source URL,EOL Full-Size Copy URL,License Name,Copyright Owner\n"
        'c1,p1,https://elsewhere.example/1.jpg,https://content.example/1.jpg,cc-by-3.0,"Lee, B."\n'
        "c2,p2,https://elsewhere.example/2.jpg,,cc-by-nc,\n"
        "c3,p9,https://elsewhere.example/3.jpg,,,\n"
        "c4,p4,https://elsewhere.example/4.jpg,,,\nc5,p5,https://elsewhere.example/5.jpg,,,\n",
    )
    taxa = put(
        tmp_path / "taxon.tab",
        "taxonID\tparentNameUsageID\tacceptedNameUsageID\tscientificName\tcanonicalName\ttaxonRank\ttaxonomicStatus\tEOLid\n"
        "a\t\t\tAnimalia\tAnimalia\tkingdom\taccepted\t1\n"
        "b\ta\t\tChordata\tChordata\tphylum\taccepted\t\n"
        "c\tb\t\tAves\tAves\tclass\taccepted\t\n"
        "d\tc\t\tPica\tPica\tgenus\taccepted\tp2\n"
        "e\td\t\tPica pica (L.)\tPica pica\tspecies\taccepted\tp1\n"
        "f\t\te\tCorvus pica\tCorvus pica\tspecies\tnot accepted\tp1\n"
        "g\t\t\tQuercus × rosacea Bechst.\tQuercus × rosacea\tspecies\taccepted\tp4\n"
        "h\t\t\tTobacco mosaic virus\tTobacco mosaic virus\tspecies\taccepted\tp5\n",
    )
    settings = config.Eol(
        name="eol", reader="eol", manifest="m", taxa="t", keep=["EOL page ID"], taxon_keys="hierarchy"
    )
    rows, account = read(read_eol, settings, manifest=manifest, taxa=taxa)
    first, second, third, hybrid, virus = sorted(rows, key=lambda row: str(row["source_id"]))
    assert (hybrid["species"], virus["species"]) == ("× rosacea", "Tobacco mosaic virus")
    assert names(first) == "Animalia Chordata Aves - - Pica pica"
    assert (first["source_url"], first["scientific_name"]) == ("https://content.example/1.jpg", "Pica pica")
    assert (first["copyright_owner"], first["license"], first["EOL page ID"]) == ("Lee, B.", "CC-BY-3.0", "p1")
    assert names(second) == "Animalia Chordata Aves - - Pica -"
    assert (second["source_url"], second["license"]) == ("https://elsewhere.example/2.jpg", "CC-BY-NC")
    assert third["scientific_name"] is third["taxon_key"] is None
    assert (first["taxon_key"], second["taxon_key"]) == ("hierarchy:e", "hierarchy:d")
    assert account["kept"] == 5


def test_bioscan_5m(tmp_path: Path, read: Read) -> None:
    metadata = put(
        tmp_path / "BIOSCAN_5M_Insect_Dataset_metadata.csv",
        "processid,sampleid,taxon,phylum,class,order,family,subfamily,genus,species,dna_bin,split,chunk\n"
        'P1,S1,x,Arthropoda,Insecta,Diptera,Syrphidae,,Syrphus,Syrphus ribesii,"B,1",pretrain,01\n'
        "P2,S2,x,Arthropoda,Insecta,Diptera,,,,,B2,val,\n",
    )
    settings = config.Bioscan(name="b", reader="bioscan", metadata="m", images="/data/bioscan", keep=["dna_bin"])
    rows, _ = read(read_bioscan, settings, metadata=metadata)
    first, second = sorted(rows, key=lambda row: str(row["source_id"]))
    assert names(first) == "Animalia Arthropoda Insecta Diptera Syrphidae Syrphus ribesii"
    assert (first["source_url"], first["host"], first["dna_bin"]) == ("/data/bioscan/pretrain/01/P1.jpg", "", "B,1")
    assert (second["source_url"], second["species"]) == ("/data/bioscan/val/P2.jpg", None)


def test_bioscan_1m(tmp_path: Path, read: Read) -> None:
    metadata = put(
        tmp_path / "BIOSCAN_Insect_Dataset_metadata.tsv",
        "sampleid\tprocessid\tphylum\tclass\torder\tfamily\tgenus\tspecies\timage_file\tchunk_number\tcopyright_license\tcopyright_holder\n"
        "S1\tP1\tArthropoda\tInsecta\tDiptera\tnot_classified\tnot_classified\tnot_classified\tP1.jpg\t7\tCreativeCommons - Attribution\tCBG\n",
    )
    settings = config.Bioscan(name="b", reader="bioscan", metadata="m", images="/data/1m")
    ((row,), _) = read(read_bioscan, settings, metadata=metadata)
    assert row["source_url"] == "/data/1m/part7/P1.jpg"
    assert names(row) == "Animalia Arthropoda Insecta Diptera - - -"
    assert (row["copyright_owner"], row["scientific_name"]) == ("CBG", None)


def test_fathomnet(tmp_path: Path, read: Read) -> None:
    box = {"concept": "Aegina", "altConcept": None, "x": 10, "y": 20.4, "width": 30, "height": 40, "rejected": False}
    images = [
        {
            "uuid": "i1",
            "url": "https://fathomnet.example/1.png",
            "width": 1920,
            "boundingBoxes": [
                box | {"uuid": "b1"},
                box | {"uuid": "b2", "x": 500},
                box | {"uuid": "b3", "rejected": True},
                box | {"uuid": "b4", "width": 0},
            ],
        },
        {"uuid": "i2", "url": "https://fathomnet.example/2.png", "width": 1920, "boundingBoxes": []},
    ]
    settings = config.FathomNet(name="f", reader="fathomnet", records="r")
    rows, account = read(read_fathomnet, settings, records=put(tmp_path / "f.json", json.dumps(images)))
    first, second = sorted(rows, key=lambda row: str(row["source_id"]))
    assert first["crop"] == {"x": 10, "y": 20, "width": 30, "height": 40}
    assert second["crop"]["x"] == 500
    assert first["uuid"] != second["uuid"]
    assert (first["source_url"], first["scientific_name"]) == (second["source_url"], "Aegina")
    assert first["occurrence_id"] == second["occurrence_id"]
    assert account["dropped"] == {"bad_crop": 1, "rejected": 1}
    with pytest.raises(InputError, match=r"broken\.json: .*FathomNet"):
        read(read_fathomnet, settings, records=put(tmp_path / "broken.json", "{[}"))


def test_folders(tmp_path: Path, read: Read) -> None:
    images = tmp_path / "photos"
    put(images / "train" / "0012_Alouatta_palliata" / "a.JPG")
    put(images / "train" / "Pica hudsonia" / "deeper" / "b.jpg")
    put(images / "train" / "Pica hudsonia" / "c.tiff")
    put(images / "train" / "Pica hudsonia" / "Thumbs.db")
    # Sorted by use within the species; by use alone they have no name.
    put(images / "Corvus_corax" / "Test" / "images" / "f.jpg")
    put(images / "train" / "g.jpg")
    put(images / ".hidden" / "d.jpg")
    put(images / "stray.png")
    put(images / "Corvus_corax" / os.fsdecode(b"caf\xe9.jpg"))
    (tmp_path / "elsewhere" / "Rosa canina").mkdir(parents=True)
    put(tmp_path / "elsewhere" / "Rosa canina" / "e.jpg")
    (images / "linked").symlink_to(tmp_path / "elsewhere")
    (images / "linked" / "Rosa canina" / "loop").symlink_to(images)
    settings = config.Folders(name="f", reader="folders", images=str(images), keep=["folder"])
    rows, account = read(read_folders, settings, images=images)
    assert {(Path(row["source_url"]).name, row["scientific_name"], row["folder"]) for row in rows} == {
        ("a.JPG", "Alouatta palliata", "0012_Alouatta_palliata"),
        ("b.jpg", "Pica hudsonia", "deeper"),
        ("c.tiff", "Pica hudsonia", "Pica hudsonia"),
        ("e.jpg", "Rosa canina", "Rosa canina"),
        ("f.jpg", "Corvus corax", "Corvus_corax"),
    }
    assert all(row["host"] == "" and Path(row["source_url"]).is_file() for row in rows)
    assert account["rows_in"] == 9
    assert account["dropped"] == {"in_no_folder": 2, "name_not_utf8": 1, "not_an_image": 1}
    empty = tmp_path / "empty"
    put(empty / "a.jpg")
    for given in (empty, tmp_path / "absent"):
        with pytest.raises(InputError, match=f"{given}: no "):
            read(read_folders, settings, images=given)


def test_inat21(tmp_path: Path, read: Read) -> None:
    images = tmp_path / "train"
    put(images / "00000_Animalia_Annelida_Clitellata_Haplotaxida_Lumbricidae_Lumbricus_terrestris" / "a-1.jpg")
    put(images / "09999_Plantae_Tracheophyta_Liliopsida_Poales_Poaceae_Zea_mays_x" / "b-2.jpg")
    put(images / "other" / "c.jpg")
    put(images / "other" / "notes.txt")
    rows, account = read(read_inat21, config.INat21(name="i", reader="inat21", images=str(images)), images=images)
    first, second = sorted(rows, key=lambda row: str(row["source_url"]))
    assert names(first) == "Animalia Annelida Clitellata Haplotaxida Lumbricidae Lumbricus terrestris"
    assert first["source_url"] == str(images / Path(first["source_url"]).parent.name / "a-1.jpg")
    assert second["species"] == "mays_x"
    assert account["dropped"] == {"other_folder": 1}
    with pytest.raises(InputError, match="no such folder"):
        read(read_inat21, config.INat21(name="i", reader="inat21", images="x"), images=tmp_path / "absent")


def test_treeoflife10m(tmp_path: Path, read: Read) -> None:
    sets = tmp_path / "EOL"
    file = put(sets / "image_set_03" / "77_88_eol-full-size-copy.jpg")
    ranks = "Animalia,Chordata,Aves,Passeriformes,Corvidae,Pica,hudsonia,magpie"
    columns = (
        "split,treeoflife_id,eol_content_id,eol_page_id,bioscan_part,bioscan_filename,inat21_filename,"
        f"inat21_cls_name,inat21_cls_num,{','.join(RANKS)},common\n"
    )
    catalog = put(
        tmp_path / "catalog.csv",
        columns
        + f"train,t1,77,88,,,,,,{ranks}\ntrain_small,t1,77,88,,,,,,{ranks}\nval,t2,,,4,B.jpg,,,,{ranks}\n"
        + f"val,t3,,,,,i.jpg,00001_Animalia_x,1,{ranks}\ntrain,t4,99,99,,,,,,{ranks}\n",
    )
    settings = config.TreeOfLife10M(name="t", reader="treeoflife10m", catalog="c", keep=["split"])
    folders = {"eol": sets, "bioscan": Path("/data/bioscan"), "inat21": Path("/data/inat21")}
    rows, account = read(read_treeoflife10m, settings, catalog=catalog, **folders)
    assert {row["source_id"]: row["source_url"] for row in rows} == {
        "t1": str(file),
        "t2": "/data/bioscan/part4/B.jpg",
        "t3": "/data/inat21/00001_Animalia_x/i.jpg",
    }
    assert {row["source_id"]: (row["data_source"], row["split"]) for row in rows}["t2"] == ("bioscan", "val")
    assert account["dropped"] == {"no_url": 1, "train_small": 1}


def test_treeoflife200m_with_fathomnet_crops(tmp_path: Path, read: Read, parquet: Callable[..., Path]) -> None:
    catalog = parquet(
        "catalog.parquet",
        [{"uuid": f"u{n}", "source_url": "https://f.example/1.png", "genus": "Aegina", "sex": "F"} for n in range(6)],
    )
    boxes = ("u0,1,2,30.0,40", "u1,1,2,,40", "u3,1,nan,30,40", "u4,inf,2,30,40", "u5,1,2,9e18,9e18")
    crops = put(tmp_path / "fathom_metadata.csv", "\n".join(["uuid,x,y,width,height", *boxes, ""]))
    settings = config.TreeOfLife200M(name="t", reader="treeoflife200m", catalog="c", keep=["sex"])
    rows, account = read(read_treeoflife200m, settings, catalog=catalog, crops=crops)
    assert {row["uuid"]: row["crop"] for row in rows} == {"u0": {"x": 1, "y": 2, "width": 30, "height": 40}, "u2": None}
    assert {row["sex"] for row in rows} == {"F"}
    assert account["dropped"] == {"bad_crop": 4}


def test_paths_with_glob_characters_are_read_literally(tmp_path: Path, read: Read) -> None:
    folder = tmp_path / "set [1]"
    image = put(folder / "00000_Animalia_Annelida_Clitellata_Haplotaxida_Lumbricidae_Lumbricus_terrestris" / "a.jpg")
    inat21 = config.INat21(name="i", reader="inat21", images="x")
    assert [row["source_url"] for row in read(read_inat21, inat21, images=folder)[0]] == [str(image)]
    box = {"uuid": "b", "concept": "Aegina", "x": 1, "y": 2, "width": 30, "height": 40}
    records = [{"uuid": "i", "url": "https://f.example/1.png", "boundingBoxes": [box]}]
    fathomnet = config.FathomNet(name="f", reader="fathomnet", records="r")
    rows, _ = read(read_fathomnet, fathomnet, records=put(folder / "f.json", json.dumps(records)))
    assert [row["source_id"] for row in rows] == ["b"]
    file = put(folder / "image_set_03" / "77_88_eol-full-size-copy.jpg")
    columns = (
        "split,treeoflife_id,eol_content_id,eol_page_id,bioscan_part,bioscan_filename,inat21_filename,inat21_cls_name"
    )
    ranks = ",".join(RANKS)
    catalog = put(folder / "catalog.csv", f"{columns},{ranks},common\ntrain,t1,77,88,,,,{',a' * len(RANKS)},b\n")
    treeoflife = config.TreeOfLife10M(name="t", reader="treeoflife10m", catalog="c")
    rows, _ = read(read_treeoflife10m, treeoflife, catalog=catalog, eol=folder)
    assert [row["source_url"] for row in rows] == [str(file)]


def test_a_missing_column_of_keep_is_named(tmp_path: Path, read: Read) -> None:
    put(tmp_path / "occurrence.txt", OCCURRENCE)
    put(tmp_path / "multimedia.txt", MULTIMEDIA)
    settings = config.Gbif(name="gbif", reader="gbif", archive="x", keep=["wingspan"])
    with pytest.raises(InputError, match="no column wingspan; it has gbifID"):
        read(read_gbif, settings, archive=tmp_path)
    with pytest.raises(ValueError, match=r"genus .*column"):
        config.Gbif(name="gbif", reader="gbif", archive="x", keep=["genus"])
