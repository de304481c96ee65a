"""A small backbone of real names, and a way to resolve labels against it."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from workflow_scripts.common import tables
from workflow_scripts.common.config.taxonomy import TaxonomySettings
from workflow_scripts.contracts import LABELS, PROVIDER_LABELS, RANKS
from workflow_scripts.taxonomy.backbone import build_backbone
from workflow_scripts.taxonomy.resolve import resolve

Row = dict[str, str]
COLUMNS = (
    *("taxonID", "parentNameUsageID", "acceptedNameUsageID", "scientificName", "scientificNameAuthorship"),
    *("canonicalName", "taxonRank", "taxonomicStatus", "kingdom", "phylum", "class", "order", "family", "genus"),
)
SETTINGS = {"backbones": [{"name": "test", "reader": "dwca", "path": "unused"}]}

LINEAGES = """
Animalia Chordata Mammalia Primates Hominidae Homo|sapiens Linnaeus, 1758
Animalia Chordata Mammalia Carnivora Canidae Canis|lupus Linnaeus, 1758
Animalia Chordata Mammalia Artiodactyla Bovidae Bison|bison (Linnaeus, 1758)
Animalia Chordata Aves Passeriformes Corvidae Pica|pica (Linnaeus, 1758)
Animalia Chordata Aves Passeriformes Corvidae Pica|hudsonia (Sabine, 1823)
Animalia Chordata Aves Passeriformes Paridae Cyanistes|caeruleus (Linnaeus, 1758)
Animalia Arthropoda Insecta Hymenoptera Apidae Apis|mellifera Linnaeus, 1758
Animalia Arthropoda Insecta Hymenoptera Braconidae Agathis|montana Shestakov, 1932
Animalia Arthropoda Insecta Lepidoptera Erebidae Laelia|rosea Schaus
Animalia Arthropoda Insecta Coleoptera Coccinellidae Coccinella|septempunctata Linnaeus, 1758
Animalia Arthropoda Insecta Coleoptera Carabidae Agonum|ambiguum Smith, 1900
Animalia Arthropoda Insecta Lepidoptera Noctuidae Agonum|ambiguum Jones, 1901
Animalia Echinodermata Asteroidea Valvatida Asterinidae Asterina|gibbosa (Pennant, 1777)
Plantae Tracheophyta Magnoliopsida Fagales Fagaceae Quercus|alba L.
Plantae Tracheophyta Magnoliopsida Fagales Fagaceae Quercus|robur L.
Plantae Tracheophyta Magnoliopsida Lamiales Lamiaceae Mentha|×piperita L.
Plantae Tracheophyta Liliopsida Asparagales Orchidaceae Laelia|rosea (Linden ex Lindl.) C.Schweinf.
Plantae Tracheophyta Pinopsida Pinales Araucariaceae Agathis|montana de Laub.
Fungi Basidiomycota Agaricomycetes Agaricales Amanitaceae Amanita|muscaria (L.) Lam.
Fungi Basidiomycota Agaricomycetes Boletales Boletaceae Boletus|edulis Bull.
Fungi Ascomycota Dothideomycetes Asterinales Asterinaceae Asterina|gibbosa Gaillard
"""
# New name: the name that it is a synonym of.
SYNONYMS = {
    "Parus caeruleus Linnaeus, 1758": "Cyanistes caeruleus",
    "Quercus candida Steud.": "Quercus alba",
    "Quercus nivea Raf.": "Quercus candida",
    "Amanita muscaria Secr.": "Boletus edulis",
    "Boletus edulis Auct.": "Quercus robur",
    "Asterina minor Hayward": "Asterina gibbosa",
}
VERNACULARS = [
    ("Apis mellifera", "Western honey bee", "en"),
    ("Apis mellifera", "honey bee", "en"),
    ("Apis mellifera", "honey bee", "en"),
    ("Apis mellifera", "Honigbiene", "de"),
    ("Quercus alba", "Weißeiche", "de"),
    ("Parus caeruleus", "blue tit", "en"),
    ("Fagaceae", "beech family", "eng"),
]


def backbone_rows() -> list[Row]:
    """The lineages as rows of Taxon.tsv; a taxon's id is its lineage."""
    rows: dict[str, Row] = {}
    for line in LINEAGES.strip().splitlines():
        higher, _, species = line.partition("|")
        names = higher.split()
        path = ""
        for rank, name in zip(RANKS, [*names, f"{names[-1]} {species}"], strict=True):
            parent, path = path, f"{path}/{name.split(' (')[0]}"
            rows.setdefault(
                path,
                {
                    "taxonID": path,
                    "parentNameUsageID": parent,
                    "scientificName": name,
                    "taxonRank": rank,
                    "taxonomicStatus": "accepted",
                },
            )
    rows["dog"] = {
        "taxonID": "dog",
        "parentNameUsageID": next(key for key in rows if "Canis lupus" in key),
        "scientificName": "Canis lupus familiaris Linnaeus, 1758",
        "taxonRank": "subspecies",
        "taxonomicStatus": "accepted",
    }
    for name, accepted in SYNONYMS.items():
        target = next(row for row in rows.values() if row["scientificName"].replace("×", "").startswith(accepted))
        rows[name] = {
            "taxonID": name,
            "parentNameUsageID": target["parentNameUsageID"],
            "acceptedNameUsageID": target["taxonID"],
            "scientificName": name,
            "taxonRank": "species",
            "taxonomicStatus": "heterotypic synonym",
        }
    return list(rows.values())


def vernacular_rows(rows: Sequence[Row]) -> list[Row]:
    """The common names as rows of VernacularName.tsv."""
    ids = {
        name: next(row["taxonID"] for row in rows if row["scientificName"].startswith(name)) for name, *_ in VERNACULARS
    }
    return [
        {"taxonID": ids[name], "vernacularName": vernacular, "language": language}
        for name, vernacular, language in VERNACULARS
    ]


def write_archive(folder: Path, taxa: Sequence[Row], vernaculars: Sequence[Row] = ()) -> Path:
    """A Darwin Core Archive's folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, columns, rows in [
        ("Taxon.tsv", COLUMNS, taxa),
        ("VernacularName.tsv", ("taxonID", "vernacularName", "language"), vernaculars),
    ]:
        lines = ["\t".join(columns), *("\t".join(row.get(column, "") for column in columns) for row in rows)]
        (folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def build_summary(archive: Path, out: Path, name: str = "test") -> dict[str, Any]:
    """Build a backbone; return its summary."""
    summary = out.with_suffix(".json")
    build_backbone(name=name, archive=archive, out=out, summary=summary, memory_mb=1000, threads=1)
    return dict(json.loads(summary.read_text()))


@pytest.fixture(scope="session")
def backbone(tmp_path_factory: pytest.TempPathFactory, archive: Path) -> Path:
    """The small backbone, built."""
    out = tmp_path_factory.mktemp("backbone") / "test.duckdb"
    build_summary(archive, out)
    return out


def write_labels(path: Path, labels: Sequence[dict[str, Any]]) -> Path:
    """Labels from dicts of ranks; an id that is not given is the label's position."""
    empty = dict.fromkeys((*RANKS, "scientific_name", "common"))
    rows = [{"label_id": f"{place:04d}", "images": 1} | empty | label for place, label in enumerate(labels)]
    tables.write_rows(rows, PROVIDER_LABELS, path)
    return path


@pytest.fixture(scope="session")
def resolved(tmp_path_factory: pytest.TempPathFactory, backbone: Path) -> Callable[..., list[dict[str, Any]]]:
    """Resolve labels; the answers come in the order of their ids."""

    def run(
        labels: Sequence[dict[str, Any]],
        *,
        backbones: dict[str, Path] | None = None,
        threads: int = 1,
        out: Path | None = None,
        overrides: Path | None = None,
        **settings: Any,
    ) -> list[dict[str, Any]]:
        folder = tmp_path_factory.mktemp("labels")
        out = out or folder / "resolved.parquet"
        resolve(
            labels=(write_labels(folder / "labels.parquet", labels),),
            backbones=backbones or {"test": backbone},
            settings=TaxonomySettings.model_validate(SETTINGS | settings),
            out=out,
            account=out.with_suffix(".json"),
            memory_mb=1000,
            threads=threads,
            overrides=overrides,
        )
        return tables.read_rows(out, LABELS).to_pylist()

    return run


@pytest.fixture(scope="session")
def make_backbone(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., tuple[Path, dict[str, Any]]]:
    """Build a backbone from rows; return its file and summary."""

    def make(taxa: Sequence[Row], vernaculars: Sequence[Row] = (), name: str = "test") -> tuple[Path, dict[str, Any]]:
        folder = tmp_path_factory.mktemp("backbone")
        archive = write_archive(folder / "archive", taxa, vernaculars)
        return folder / "made.duckdb", build_summary(archive, folder / "made.duckdb", name)

    return make


@pytest.fixture(scope="session")
def build() -> Callable[..., dict[str, Any]]:
    """Build a backbone from an archive; return its summary."""
    return build_summary


@pytest.fixture(scope="session")
def make_archive() -> Callable[..., Path]:
    """Write rows as a Darwin Core Archive's folder."""
    return write_archive


@pytest.fixture(scope="session")
def rows() -> list[Row]:
    """The small backbone's rows."""
    return backbone_rows()


@pytest.fixture(scope="session")
def commons(rows: list[Row]) -> list[Row]:
    """The small backbone's common names."""
    return vernacular_rows(rows)


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory, rows: list[Row]) -> Path:
    """The small backbone's folder."""
    return write_archive(tmp_path_factory.mktemp("archive"), rows, vernacular_rows(rows))
