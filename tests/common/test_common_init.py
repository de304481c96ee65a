"""`init` checks photos and writes a config with which the catalog reads the same photos."""

import csv
import json
import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
from PIL import Image

from tests.messages import says
from workflow_scripts.catalog.folders import read_folders
from workflow_scripts.catalog.table import read_table
from workflow_scripts.common import tables
from workflow_scripts.common.config.catalog import Folders, Table
from workflow_scripts.common.config.root import load_config, load_site
from workflow_scripts.common.config.taxonomy import TaxonomySettings
from workflow_scripts.common.errors import InputError
from workflow_scripts.common.init import init, with_sections
from workflow_scripts.common.layout import Corpus
from workflow_scripts.common.names import define_names
from workflow_scripts.common.species_embeddings import EMBEDDINGS, NAMES, read_species_embeddings
from workflow_scripts.contracts import LABELS, PROVIDER_LABELS, RANKS, VERDICTS
from workflow_scripts.evaluate.candidates import trained_on
from workflow_scripts.evaluate.seen_species import list_seen_species
from workflow_scripts.taxonomy.resolve import resolve

ROOT = Path(__file__).resolve().parents[2]
REAL = os.environ.get("TREEOFLIFE_REAL_DATA")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def photo(path: Path, number: int = 0, side: int = 80) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(number).integers(0, 255, (side, side, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path, format="jpeg")


def photos(folder: Path, name: str, number: int, suffix: str = ".jpg") -> None:
    """Photos of one species, all different."""
    for place in range(number):
        photo(folder / name / f"{place}{suffix}", number=hash((name, place)) % 2**32)


def written(out: str = "config/config.yaml") -> Any:
    """The written config, validated as in the workflow."""
    schema = Path(out).read_text().partition("\n")[0].removeprefix("# yaml-language-server: $schema=")
    assert Path(schema).samefile(ROOT / "config/schema.json"), "editors find the schema from any folder"
    return load_config(yaml.safe_load(Path(out).read_text()), out, load_site())


def catalogued(tmp_path: Path) -> dict[str, str]:
    """Names by file of the photos that the catalog reads with that config."""
    (source,) = written().generations[0].sources
    out = tmp_path / "records.parquet"
    common = {"settings": source, "out": out, "account": tmp_path / "account.json", "memory_mb": 500, "threads": 1}
    if isinstance(source, Folders):
        read_folders(images=Path(source.images), **common)
    else:
        assert isinstance(source, Table) and isinstance(source.table, str)
        read_table(table=Path(source.table), **common)
    rows = pq.read_table(out, columns=["source_url", "scientific_name"]).to_pylist()
    return {row["source_url"]: row["scientific_name"] for row in rows}


def held_out(name: str) -> dict[str, str]:
    with Path(f"config/{name}_test.csv").open(newline="") as file:
        return {row["filepath"]: row["class"] for row in csv.DictReader(file)}


def test_contents_and_problems_are_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    birds = tmp_path / "My birds"
    photos(birds, "Pica_pica", 5)
    photos(birds, "003 Pica hudsonia", 6, ".JPG")
    photos(birds, "Corvus corax", 1)
    photos(birds, "corvus_corax", 2)
    photos(birds, "mantled howler", 2)
    photos(birds, "Corvus sp.", 2)
    shutil.copy(birds / "Pica_pica/0.jpg", birds / "Corvus sp./copied.jpg")
    (birds / "Pica_pica/broken.jpg").write_bytes((birds / "Pica_pica/1.jpg").read_bytes()[:700])
    photo(birds / "Pica_pica/tiny.jpg", side=20)
    (birds / "Pica_pica/notes.txt").touch()
    photo(birds / "loose.jpg")
    init(photos=birds)
    said = capsys.readouterr().out
    assert says(said, "21 photos of 6 species", "Pica hudsonia", "1 species with one photo", ": Corvus corax")
    assert says(said, "suffix", "Pica_pica/notes.txt")
    assert says(said, "species folder", "loose.jpg")
    assert says(said, "truncated", "Pica_pica/broken.jpg", "smaller than 64 pixels", "Pica_pica/tiny.jpg")
    assert says(said, "not written like a binomial", "mantled howler")
    assert says(said, "2 spellings", "Corvus corax, corvus corax")
    assert says(said, "not identified", "Corvus sp.", "several names", "Corvus sp. = Pica pica")
    assert says(said, "1 exact duplicate", ": Pica_pica/0.jpg = Corvus sp./copied.jpg")
    recipe = (ROOT / "config/photos.yaml").read_text().replace("min_size: 64", "min_size: 20")
    Path("mine.yaml").write_text(recipe)
    init(photos=birds, recipe="mine.yaml", overwrite=True)
    assert "smaller than" not in capsys.readouterr().out
    # A fifth of the photos of each species with at least five, but at least one.
    assert sorted(held_out("my_birds").values()) == ["Pica hudsonia", "Pica pica"]
    assert {Path(written().benchmarks["test"].images) / path for path in held_out("my_birds")} <= set(birds.rglob("*"))


HOSTILE = ('it\'s "here"', "{run} <x> %s $HOME", "日本 Ünïcode", "a: [b] #c", "-dash & *star?")


@pytest.mark.parametrize("name", HOSTILE)
def test_a_folder_of_any_name_is_read_as_the_catalog_reads_it(name: str, tmp_path: Path) -> None:
    folder = tmp_path / name
    photos(folder, "Pica_pica", 5)
    photos(folder, "Nested/Parus major {x} 'y'", 2)
    photos(tmp_path / "elsewhere", "Corvus_corax", 2)
    (folder / "Corvus_corax").symlink_to(tmp_path / "elsewhere/Corvus_corax")
    init(photos=folder)
    names = catalogued(tmp_path)
    assert sorted(names.values()) == ["Corvus corax"] * 2 + ["Parus major {x} 'y'"] * 2 + ["Pica pica"] * 5
    assert all(Path(path).is_file() for path in names)
    (labels,) = Path("config").glob("*_test.csv")
    assert held_out(labels.name.removesuffix("_test.csv")) == {
        f"Pica_pica/{at}.jpg": "Pica pica" for at in held(labels)
    }


def held(labels: Path) -> list[str]:
    return [row.split("/")[1].split(".")[0] for row in labels.read_text().splitlines()[1:]]


def test_folders_of_genus_and_epithet_and_of_individuals_become_a_table(tmp_path: Path) -> None:
    for path in ("Macaca/fuscata/1.jpg", "Macaca/fuscata/2.jpg", "Pan_paniscus/Individual 1/a.jpg"):
        photo(tmp_path / "apes" / path, number=len(path))
    for number in range(6):
        photo(tmp_path / f"apes/Pan_paniscus/Individual {number % 3 + 2}/{number}.jpg", number=number)
    init(photos=tmp_path / "apes")
    names = {Path(path).parent.name: name for path, name in catalogued(tmp_path).items()}
    assert names == {"fuscata": "Macaca fuscata"} | {f"Individual {number}": "Pan paniscus" for number in (1, 2, 3, 4)}
    # No individual is in both training and test photos.
    (individual,) = {Path(path).parent for path in held_out("apes")}
    assert len(held_out("apes")) == len(list((tmp_path / "apes" / individual).iterdir()))


def test_a_folder_that_is_split_already_stays_split(tmp_path: Path) -> None:
    photos(tmp_path / "set/train", "Pica_pica", 4)
    photos(tmp_path / "set/Test", "Pica_pica", 2)
    init(photos=tmp_path / "set")
    assert held_out("set") == {f"Test/Pica_pica/{number}.jpg": "Pica pica" for number in (0, 1)}
    assert written().curate.clean_of == ["test"]
    # A collection that is only a folder `test` is not a test set.
    init(photos=tmp_path / "set/Test", test_share=0, overwrite=True)
    assert (written().benchmarks, written().curate.clean_of) == ({}, [])


def test_a_file_whose_name_is_not_utf8_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photos(tmp_path / "set", "Pica_pica", 1)
    photo(Path(os.fsdecode(os.fsencode(tmp_path / "set/Pica_pica") + b"/caf\xe9.jpg")))
    init(photos=tmp_path / "set")
    assert says(capsys.readouterr().out, "1 photo of 1 species", "not UTF-8", "caf\\udce9.jpg")


def test_a_folder_that_cannot_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    photos(tmp_path / "set", "Pica_pica", 1)
    photos(tmp_path / "set", "Closed", 1)
    # Root could read it, so the error is simulated.
    listing = os.scandir

    def scandir(path: str) -> Any:
        if str(path).endswith("Closed"):
            raise PermissionError(13, "Permission denied", str(path))
        return listing(path)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(InputError) as error:
        init(photos=tmp_path / "set")
    assert says(str(error.value), "set/Closed", "Permission denied")


def test_a_tables_columns_are_recognised_or_named_and_its_rows_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos(tmp_path, "files", 6)
    rows = [f"files/{number}.jpg;Pica;pica;{number};me\n" for number in range(6)]
    rows += ["https://a.example/1.jpg;Pica;hudsonia;9;you\n", ";Pica;hudsonia;9;you\n", "files/7.jpg;;;9;you\n"]
    (tmp_path / "fotos.csv").write_text("Datei;Genus;species;tag;Photographer\n" + "".join(rows))
    with pytest.raises(InputError) as error:
        init(photos=tmp_path / "fotos.csv")
    assert says(str(error.value), "url or path", "Datei", "--columns")
    assert not Path("config").exists()
    init(photos=tmp_path / "fotos.csv", columns={"path": "Datei"})
    said = capsys.readouterr().out
    assert says(said, "7 photos of 2 species", "Photographer (creator)", "not read", ".keep", ": tag")
    assert "Datei (path)" in said
    assert says(said, "1 row with no path or URL", "1 row with no name")
    assert "1 photo given by URL" in said
    assert len(catalogued(tmp_path)) == 8
    assert set(held_out("fotos").values()) == {"Pica pica"}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "windows-1252"])
@pytest.mark.parametrize("place", ["Zurich", "Zürich"])
def test_a_column_name_with_an_umlaut_is_read_in_the_encoding_of_the_values(
    encoding: str, place: str, tmp_path: Path
) -> None:
    photos(tmp_path, "files", 2)
    rows = [f"files/{number}.jpg;Pica pica;{place}\n" for number in range(2)]
    (tmp_path / "fotos.csv").write_bytes(("Bild;Gattung & Art;Größe\n" + "".join(rows)).encode(encoding))
    columns = {"path": "Bild", "scientific_name": "Gattung & Art", "title": "Größe"}
    init(photos=tmp_path / "fotos.csv", columns=columns)
    assert set(catalogued(tmp_path).values()) == {"Pica pica"}
    assert pq.read_table(tmp_path / "records.parquet", columns=["title"]).to_pylist() == [{"title": place}] * 2


def test_names_that_lose_too_many_photos_are_reported_with_max_loss(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos(tmp_path / "cats", "Felis_catus", 16)
    photos(tmp_path / "cats", "Panthera", 3)
    photos(tmp_path / "cats", "Unknown", 1)
    init(photos=tmp_path / "cats")
    said = capsys.readouterr().out
    assert says(said, "will stop", "4 of 20 photos", "Panthera, Unknown", "rename the folders", "next:")
    (key,) = re.findall(r"`(max_loss: .*)`", said)
    with Path("config/config.yaml").open("a") as file:
        file.write(f"{key}\n")
    assert written().max_loss.of("cats", is_local=True) == 0.2
    # A backbone may know the names.
    init(photos=tmp_path / "cats", recipe="finetune", overwrite=True)
    assert "max_loss" not in capsys.readouterr().out
    (tmp_path / "cats/Panthera").rename(tmp_path / "cats/Panthera sp.")
    init(photos=tmp_path / "cats", overwrite=True)
    said = capsys.readouterr().out
    assert "max_loss" not in said
    assert says(said, "1 name without a taxon", "1 name not identified", ": Panthera sp.")


def test_too_many_unreadable_photos_are_reported_with_max_loss(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos(tmp_path / "birds", "Pica_pica", 4)
    (tmp_path / "birds/Pica_pica/broken.jpg").write_bytes(b"no photo")
    init(photos=tmp_path / "birds")
    (key,) = re.findall(r"`(max_loss: .*)`", capsys.readouterr().out)
    with Path("config/config.yaml").open("a") as file:
        file.write(f"{key}\n")
    assert written().max_loss.of("birds", is_local=True) == 0.2
    photos(tmp_path / "birds", "Pica_pica", 20)
    init(photos=tmp_path / "birds", overwrite=True)
    assert "max_loss" not in capsys.readouterr().out


def test_a_table_from_windows_with_a_split_and_a_column_x(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photos(tmp_path, "img s", 4)
    rows = [f"img s\\{number}.jpg,Pica pica,{'test' if number == 3 else 'train'},7\n" for number in range(4)]
    (tmp_path / "list.csv").write_text("path,species,split,x\n" + "".join(rows))
    init(photos=tmp_path / "list.csv")
    said = capsys.readouterr().out
    assert "unreadable" not in said and "columns not read" not in said and "crops" not in said
    assert held_out("list") == {"img s/3.jpg": "Pica pica"}
    assert all(Path(path).is_file() for path in catalogued(tmp_path))
    init(photos=tmp_path / "list.csv", check=0, overwrite=True)
    assert "opened 0 of 4" in capsys.readouterr().out
    (tmp_path / "list.csv").write_text("path,species,x,y,width,height\n" + "img s\\1.jpg,Pica pica,7,7,9,9\n" * 2)
    init(photos=tmp_path / "list.csv", overwrite=True)
    assert "crops" in capsys.readouterr().out


def test_a_config_is_overwritten_only_on_request(tmp_path: Path) -> None:
    photos(tmp_path / "set", "Pica_pica", 1)
    init(photos=tmp_path / "set", name="first")
    with pytest.raises(InputError) as error:
        init(photos=tmp_path / "set")
    assert says(str(error.value), "config/config.yaml", "--out", "--overwrite")
    assert written().corpus == "first"
    Path("set_test.csv").touch()
    with pytest.raises(InputError, match=r"set_test\.csv: .*--name"):
        init(photos=tmp_path / "set", out=Path("mine.yaml"))
    Path("set_test.csv").unlink()
    init(photos=tmp_path / "set", out=Path("mine.yaml"))
    init(photos=tmp_path / "set", overwrite=True)
    assert written().corpus == written("mine.yaml").corpus == "set"


def test_what_is_refused_writes_nothing(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    photos(tmp_path / "set", "Pica_pica", 1)
    table = tmp_path / "set/broken_test.csv"
    table.write_text("path,species\nPica_pica/1.jpg,Pica pica\n")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.*")}
    refused: tuple[tuple[dict[str, Any], str], ...] = (
        ({"photos": tmp_path / "none"}, "no such folder or table"),
        ({"photos": tmp_path / "emty"}, f"did you mean {tmp_path / 'empty'}?"),
        ({"photos": tmp_path / "empty"}, f"{tmp_path / 'empty'}: no subfolder contains an image"),
        ({"photos": tmp_path}, f"{tmp_path}: the current folder"),
        ({"photos": Path()}, ".: the current folder"),
        ({"photos": tmp_path / "set", "name": "../x"}, "--name ../x"),
        ({"photos": tmp_path / "set", "test_share": 1.0}, "--test-share"),
        ({"photos": tmp_path / "set", "recipe": "none"}, "--recipe none: no such file; use photos, finetune"),
        ({"photos": tmp_path / "set", "recipe": "gbif"}, "--recipe gbif: does not fit photos (screen.amphibians.of: "),
        ({"photos": tmp_path / "set", "recipe": "config"}, "--recipe config: does not fit photos (ablations: "),
        ({"photos": tmp_path / "set", "check": -1}, "--check -1"),
        ({"photos": tmp_path / "set", "columns": {"path=Bild": "species=Art"}}, "--columns path Bild"),
        ({"photos": tmp_path / "set", "out": Path("/proc/config.yaml")}, "/proc/config.yaml: cannot be written"),
        ({"photos": tmp_path / "set", "out": tmp_path / "set/Pica_pica/0.jpg", "overwrite": True}, ".yaml"),
        ({"photos": tmp_path / "set", "out": tmp_path / "set/a.yaml"}, f"--out {tmp_path / 'set/a.yaml'}"),
        (
            {"photos": table, "name": "broken", "out": tmp_path / "set/a.yaml", "overwrite": True},
            f"{table}: would be overwritten",
        ),
        ({"photos": table}, "none of the 1 photo opened is readable"),
    )
    for words, said in refused:
        with pytest.raises(InputError) as error:
            init(**words)
        assert said in str(error.value)
    assert list(Path.cwd().iterdir()) == []
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.*")} == before


@pytest.mark.parametrize("recipe", ["photos", "finetune", "beetles"])
def test_every_recipe_takes_photos_and_keeps_its_own_training(recipe: str, tmp_path: Path) -> None:
    photos(tmp_path / "set", "Pica_pica", 5)
    init(photos=tmp_path / "set", recipe=recipe)
    own = load_config(yaml.safe_load((ROOT / f"config/{recipe}.yaml").read_text()), recipe, load_site())
    config = written()
    assert (config.train, config.model, config.run) == (own.train, own.model, own.run)
    (benchmark,) = config.benchmarks
    assert config.curate.clean_of == [benchmark]
    assert config.benchmarks[benchmark].labels == "config/set_test.csv"


def test_sections_that_stay_keep_their_comments() -> None:
    text = "# head\na: 1  # one\n# of b\nb:\n  # within\n  c: 2\n\n# of d\nd: 3\n"
    changed = with_sections(text, {"b": {"c": 4}, "e": [5], "d": None}, "# new\n")
    assert changed == "# new\na: 1  # one\n# of b\nb:\n  c: 4\n\ne:\n- 5\n"


def test_names_are_judged_as_the_taxonomy_takes_them_without_a_backbone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kinds = {
        "species": (
            "Pica pica",
            "Quercus alba L.",
            "Salix × fragilis",
            "P. leo",
            "Aus (Bus) cus",
            "Canis lupus Linnaeus, 1758",
        ),
        "recased": ("mantled howler", "HOUSE MARTIN"),
        "unranked": ("Quercus", "fuscata", "IMG2031"),
        "unknown": ("unknown", "not identified"),
        "open": ("Corvus sp.", "Salix cf. alba"),
        "whole": (
            *(
                "House Sparrow",
                "class_0",
                "class_1",
                "not a bird",
                "red 2",
                "50% off; ls",
                "Turdus Merula",
                "Bird of prey",
            ),
            *("Black footed Albatross", "Black footed Ferret", "Panthera leo x tigris", "O'Brien's $HOME {x} frog"),
            *(
                "Turdus Merula",
                "house sparrow male",
                "日本 猿",
                "猿",
                "IMG 2031",
                "Felis catus Siamese",
                "Influenza A virus",
            ),
        ),
    }
    names = [name for written in kinds.values() for name in written]
    with tables.connect(500, 1) as connection:
        define_names(connection)
        judged = [tables.scalar(connection, f"SELECT kind_of_name({tables.literal(name)})") for name in names]
    assert judged == [kind for kind, written in kinds.items() for _ in written]
    answers = dict(zip(names, resolved(names, tmp_path), strict=True))
    assert {name: answers[name]["scientific_name"] for name in kinds["whole"]} == {
        name: name.replace("_", " ") for name in kinds["whole"]
    }
    assert [answers[name]["scientific_name"] for name in kinds["recased"]] == ["Mantled howler", "House martin"]
    for kind in ("species", "recased", "whole"):
        assert {answers[name]["resolved_rank"] for name in kinds[kind]} == {"species"}
    assert {answers[name]["reason"] for name in kinds["unranked"]} == {"not_found"}
    assert {answers[name]["reason"] for name in kinds["unknown"]} == {"no_name"}
    assert {answers[name]["resolved_rank"] for name in kinds["open"]} == {"genus"}
    # A rank's own column is left to say so; with a genus the name is read by it.
    (ranked, read) = resolved(["House Sparrow", "Salix alba Andersson"], tmp_path, genus=[None, "Salix"])
    assert (ranked["family"], ranked["species"], read["scientific_name"]) == (
        "Passeridae",
        "House Sparrow",
        "Salix alba",
    )
    # They stay whole on the way to a model's classes, and in the files beside a model.
    corpus = Corpus(str(tmp_path / "corpus"))
    labels, verdicts, seen = Path(corpus.labels()), tmp_path / "verdicts.parquet", Path(corpus.seen_species())
    for folder in (labels.parent, seen.parent):
        folder.mkdir(parents=True)
    shutil.copy(tmp_path / "resolved.parquet", labels)
    kept = [{"uuid": str(at), "label_id": f"{at:04d}", "split": "train", "keep": True, "part": 0} for at in range(2)]
    tables.write_rows(kept, VERDICTS, verdicts)
    list_seen_species(labels=labels, verdicts=(verdicts,), out=seen)
    taxa = trained_on(tmp_path / "corpus")
    (tmp_path / NAMES).write_text(json.dumps([[list(taxon.ranks), taxon.common_name] for taxon in taxa]))
    np.save(tmp_path / EMBEDDINGS, np.ones((3, 2), np.float32))
    for found in (taxa, read_species_embeddings(tmp_path)[0]):
        assert [taxon.scientific for taxon in found] == ["House Sparrow", "Salix alba"]
    # Init says which are one.
    for name in ("Canis lupus", "Canis lupus familiaris", "001.Black_footed_Albatross"):
        photos(tmp_path / "set", name, 1)
    photos(tmp_path / "set", "00000_Animalia_Annelida_Clitellata_Haplotaxida_Lumbricidae_Lumbricus_terrestris", 1)
    init(photos=tmp_path / "set")
    said = capsys.readouterr().out
    assert says(said, "2 names read as one species, Canis lupus: Canis lupus, Canis lupus familiaris")
    assert says(said, "1 name not written like a binomial", ": Black footed Albatross")
    assert "Lumbricus terrestris" in catalogued(tmp_path).values()


def resolved(names: list[str], folder: Path, genus: Sequence[str | None] | None = None) -> list[dict[str, Any]]:
    """How the taxonomy reads names without a backbone."""
    empty = dict.fromkeys((*RANKS, "common"))
    rows = [{"label_id": f"{at:04d}", "images": 1, "scientific_name": name} | empty for at, name in enumerate(names)]
    for row, of in zip(rows, genus or [], strict=genus is not None):
        row |= {"family": "Passeridae", "genus": of}
    tables.write_rows(rows, PROVIDER_LABELS, folder / "labels.parquet")
    out = folder / "resolved.parquet"
    resolve(
        labels=(folder / "labels.parquet",),
        settings=TaxonomySettings(),
        out=out,
        account=folder / "account.json",
        memory_mb=500,
        threads=1,
    )
    return list(tables.read_rows(out, LABELS).to_pylist())


@pytest.mark.skipif(REAL is None, reason="TREEOFLIFE_REAL_DATA is not set")
def test_real_photos_are_read_alike_from_folders_and_from_their_table(tmp_path: Path) -> None:
    monkeys = Path(str(REAL)) / "real/photos"
    init(photos=monkeys, check=20)
    by_folder = catalogued(tmp_path)
    assert (len(by_folder), len(set(by_folder.values())), len(held_out("photos"))) == (340, 10, 100)
    init(photos=monkeys / "photos.csv", check=20, overwrite=True)
    by_table = catalogued(tmp_path)
    assert len(by_table) == 240
    assert by_table.items() <= by_folder.items()
