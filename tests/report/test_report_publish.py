"""Published models and datasets are usable without this project, attribute their sources and respect licences."""

import csv
import json
import tarfile
from pathlib import Path
from typing import Any

import mlcroissant
import pytest
import yaml
from huggingface_hub import metadata_load

from tests.messages import says
from tests.report import small_corpus
from tests.report.small_corpus import SmallCorpus, publish
from workflow_scripts.common.config.project import about, read_project
from workflow_scripts.common.config.report import PublishSettings
from workflow_scripts.common.errors import InputError
from workflow_scripts.common.tables import read_rows, write_rows
from workflow_scripts.contracts import ATTRIBUTION, CATALOG
from workflow_scripts.report.publish_dataset import PUBLISHED_CATALOG, PUBLISHED_PROVENANCE
from workflow_scripts.report.publish_model import publish_model
from workflow_scripts.report.upload import upload

# facts: the columns of TreeOfLife-200M's two tables.
CATALOG_COLUMNS = {"uuid", "source_url", "kingdom", "phylum", "class", "order", "family", "genus", "species"}
CATALOG_COLUMNS |= {"scientific_name", "common", "data_source", "publisher", "basisOfRecord", "img_type", "source_id"}
CATALOG_COLUMNS |= {"shard_filename", "shard_file_path", "base_dataset_file_path"}
PROVENANCE_COLUMNS = {"uuid", "source_id", "data_source", "source_url", "license_name", "copyright_owner"}
PROVENANCE_COLUMNS |= {"license_link", "title"}


@pytest.fixture
def made(tmp_path: Path) -> SmallCorpus:
    return small_corpus.make(tmp_path)


def images_in(folder: Path) -> set[str]:
    """Names of all images in all tars."""
    found = set()
    for path in folder.rglob("*.tar"):
        with tarfile.open(path) as tar:
            found |= {name for name in tar.getnames() if name.endswith(".jpg")}
    return found


def test_only_redistributable_images_are_published(made: SmallCorpus) -> None:
    """The first is CC-BY, the second allows no derivatives, the third has no licence."""
    folder = publish(made)
    assert images_in(folder) == {f"{made.uuids[0]}.jpg"}
    with tarfile.open(folder / "images/g000/train/shard-000000.tar") as tar:
        image = tar.extractfile(f"{made.uuids[0]}.jpg")
        assert image is not None
        assert image.read() == small_corpus.photo(0, 60)
    rows = {row["uuid"]: row for row in read_rows(folder / "catalog.parquet", PUBLISHED_CATALOG).to_pylist()}
    assert set(rows) == set(made.uuids[:3])
    assert rows[made.uuids[0]]["shard_file_path"] == "images/g000/train/shard-000000.tar"
    assert rows[made.uuids[1]]["shard_file_path"] is None
    assert rows[made.uuids[1]]["base_dataset_file_path"] == "shards/g000/train/shard-000000.tar"


def test_images_left_out_after_their_shard_was_written_are_not_published(made: SmallCorpus) -> None:
    """Pinned shards may contain images that are no longer in the attribution table."""
    table = made.corpus / "curate/g000/attribution.parquet"
    first, _, third = read_rows(table, ATTRIBUTION).to_pylist()
    write_rows([first, third], ATTRIBUTION, table)
    assert images_in(publish(made)) == {f"{made.uuids[0]}.jpg"}


def test_fully_redistributable_shards_are_linked(made: SmallCorpus) -> None:
    folder = publish(made, licences=["CC-BY"])
    one = folder / "images/g000/train/shard-000000.tar"
    assert one.samefile(made.corpus / "shards/g000/train/shard-000000.tar")
    assert images_in(publish(made, images=False)) == set()
    assert not one.exists()


def test_the_tables_have_treeoflife_200ms_columns_and_resolved_names(made: SmallCorpus) -> None:
    folder = publish(made)
    catalog = read_rows(folder / "catalog.parquet", PUBLISHED_CATALOG)
    provenance = read_rows(folder / "provenance.parquet", PUBLISHED_PROVENANCE)
    assert set(catalog.column_names) >= CATALOG_COLUMNS
    assert set(provenance.column_names) >= PROVENANCE_COLUMNS
    assert catalog["kingdom"].to_pylist() == ["Animalia"] * 3
    assert provenance["license"].to_pylist() == ["CC-BY-4.0", "CC-BY-ND-4.0", None]
    assert provenance["copyright_owner"].to_pylist() == ["A. Person"] * 3


def test_paths_of_local_files_are_not_published(made: SmallCorpus) -> None:
    table = made.corpus / "catalog/g000/part-0000.parquet"
    rows = read_rows(table, CATALOG).to_pylist()
    rows[0] |= {"host": "", "source_url": "/home/somebody/photos/0.jpg"}
    write_rows(rows, CATALOG, table)
    folder = publish(made)
    for name, contract in (("catalog", PUBLISHED_CATALOG), ("provenance", PUBLISHED_PROVENANCE)):
        urls = read_rows(folder / f"{name}.parquet", contract)["source_url"].to_pylist()
        assert urls == [None, "https://example.org/1.jpg", "https://example.org/2.jpg"]


def test_card_citation_and_what_to_cite(made: SmallCorpus) -> None:
    folder = publish(made, authors=["A. Group"])
    front = metadata_load(folder / "README.md")
    assert front["license"] == "other"
    assert front["size_categories"] == "n<1K"
    assert front["configs"][0]["data_files"] == "catalog.parquet"
    identity = json.loads((made.corpus / "corpus.json").read_text())
    card = (folder / "README.md").read_text()
    assert f"`{identity['id']}`" in card
    assert "| CC-BY-4.0 | 1 | 1 |" in card
    assert "| CC-BY-ND-4.0 | 1 | 0 |" in card
    assert about(read_project()) in card
    cited = yaml.safe_load((folder / "CITATION.cff").read_text())
    assert (cited["type"], cited["authors"]) == ("dataset", [{"name": "A. Group"}])
    assert cited["identifiers"][0]["value"] == identity["id"]
    with (folder / "citations.csv").open() as file:
        [row] = csv.DictReader(file)
    assert (row["cite"], row["images"]) == ("10.15468/dl.abc", "3")


def test_publishing_needs_authors_and_licence(made: SmallCorpus, score_files: list[Path], tmp_path: Path) -> None:
    with pytest.raises(InputError) as error:
        publish(made, authors=[])
    assert says(str(error.value), "publish.authors", "config", "authors: [")
    for settings, key in ((PublishSettings(authors=["A"]), "publish.model_license"), (PublishSettings(), "authors")):
        with pytest.raises(InputError, match=key):
            publish_model(
                model=made.run / "model", scores=tuple(score_files), facts=made.run / "report/run.json",
                table=tmp_path / "scores.csv", settings=settings, out=made.run / "publish/model/README.md",
            )  # fmt: skip
    assert not (made.run / "publish").exists()


def test_the_croissant_metadata_is_valid_and_gives_the_records(made: SmallCorpus) -> None:
    folder = publish(made)
    dataset = mlcroissant.Dataset(jsonld=folder / "croissant.json")
    assert dataset.metadata.issues.errors == set()
    assert [one.name for one in dataset.metadata.creators] == ["A. Group"]
    records = list(dataset.records("catalog"))
    assert {record["catalog/uuid"].decode() for record in records} == set(made.uuids[:3])


def test_publishing_again_rewrites_nothing(made: SmallCorpus) -> None:
    folder = publish(made)
    before = {path: path.stat().st_ino for path in folder.rglob("*.tar")}
    work = {path: path.stat().st_mtime_ns for path in (made.run / ".work/publish").rglob("*.tar")}
    assert {path: path.stat().st_ino for path in publish(made).rglob("*.tar")} == before
    assert {path: path.stat().st_mtime_ns for path in (made.run / ".work/publish").rglob("*.tar")} == work


def publish_card(made: SmallCorpus, score_files: list[Path], tmp_path: Path) -> Path:
    table = tmp_path / "scores.csv"
    table.write_text("benchmark\n")
    publish_model(
        model=made.run / "model",
        scores=tuple(score_files),
        facts=made.run / "report/run.json",
        table=table,
        settings=PublishSettings(model_license="apache-2.0", authors=["A. Group"]),
        out=made.run / "publish/model/README.md",
    )
    return made.run / "publish/model/README.md"


@pytest.fixture
def model_card(made: SmallCorpus, score_files: list[Path], tmp_path: Path) -> Path:
    return publish_card(made, score_files, tmp_path)


def test_the_embeddings_of_the_species_are_published_with_their_names(
    made: SmallCorpus, score_files: list[Path], tmp_path: Path
) -> None:
    names = {"txt_emb_species.json", "txt_emb_species.npy"}
    for name in names:
        (made.run / "model" / name).write_bytes(b"")
    card = publish_card(made, score_files, tmp_path)
    assert names <= {path.name for path in card.parent.iterdir()}


def test_the_card_of_a_mixture_names_the_mixture(made: SmallCorpus, score_files: list[Path], tmp_path: Path) -> None:
    facts = json.loads((made.run / "report/run.json").read_text())
    facts["config"]["mix"] = [{"corpus": "small"}, {"tars": "elsewhere/*.tar"}]
    (made.run / "report/run.json").write_text(json.dumps(facts))
    card = publish_card(made, score_files, tmp_path).read_text()
    assert "trained on the mixture `small` + `elsewhere/*.tar`" in card
    assert "trained on the corpus" not in card


def test_the_card_of_a_model_whose_corpus_has_grown_claims_none_of_what_is_new(
    made: SmallCorpus, score_files: list[Path], tmp_path: Path
) -> None:
    identity = json.loads((made.corpus / "corpus.json").read_text())
    assert f"`{identity['id']}`" in publish_card(made, score_files, tmp_path).read_text()
    own = made.run / "model/README.md"
    own.write_text(own.read_text().replace(identity["digest"], "of its training"))
    published = publish_card(made, score_files, tmp_path)
    for text in (published.read_text(), published.with_name("CITATION.cff").read_text()):
        assert identity["id"] not in text and identity["name"] in text
    assert f"{identity['images']['train']} images" not in published.read_text()


def test_an_f1_is_published_as_one(made: SmallCorpus, score_files: list[Path], tmp_path: Path) -> None:
    for path in score_files:
        described = json.loads(path.read_text())
        described["metrics"] = {"attributes/macro_f1": 0.5, "v1.0.1/attributes/macro_f1": 0.25}
        path.write_text(json.dumps(described))
    front = metadata_load(publish_card(made, score_files, tmp_path))
    found = [metric for one in front["model-index"][0]["results"] for metric in one["metrics"]]
    assert found == [{"type": "f1", "value": 50.0, "name": "attributes/macro_f1"}] * 2


def test_a_model_is_published_with_its_scores_and_what_it_came_from(made: SmallCorpus, model_card: Path) -> None:
    front = metadata_load(model_card)
    assert (front["license"], front["library_name"]) == ("apache-2.0", "open_clip")
    results = [one for one in front["model-index"][0]["results"] if one["dataset"]["name"] == "tiny"]
    found = {metric["name"]: metric["value"] for one in results for metric in one["metrics"]}
    assert found == {"zero_shot/top1": 75.0, "few_shot/1": 75.0}
    card = model_card.read_text()
    assert json.loads((made.corpus / "corpus.json").read_text())["id"] in card
    assert "## Training\n\n10 steps.\n" in card
    assert "old" not in card
    assert "| tiny | zero_shot/top1 | 75.0 | 50.0 | 50.0 | 8 |" in card
    assert {path.name for path in model_card.parent.iterdir()} == {
        "README.md",
        "CITATION.cff",
        "open_clip_model.safetensors",
        "open_clip_config.json",
        "run.json",
        "scores.csv",
    }


def test_uploading_needs_a_token_from_the_environment(
    model_card: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("HF_TOKEN", raising=False)
    arguments: dict[str, Any] = {"folder": model_card.parent, "repo": "group/demo", "kind": "model"}
    upload(**arguments, dry_run=True)
    assert "open_clip_model.safetensors" in capsys.readouterr().out
    with pytest.raises(InputError, match="HF_TOKEN"):
        upload(**arguments)
    with pytest.raises(InputError, match=r"README\.md"):
        upload(**(arguments | {"folder": tmp_path}))
