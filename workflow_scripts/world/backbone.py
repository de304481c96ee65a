"""Write the world's taxonomic backbone, a Darwin Core Archive with the columns of GBIF's."""

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

from workflow_scripts.common.files import atomic, write_text
from workflow_scripts.contracts import RANKS
from workflow_scripts.world.table import Species

VERNACULARS = Path(__file__).parent / "vernacular.csv"
TAXON_COLUMNS = (
    *("taxonID", "parentNameUsageID", "acceptedNameUsageID", "scientificName", "scientificNameAuthorship"),
    *("canonicalName", "taxonRank", "taxonomicStatus", "kingdom", "phylum", "class", "order", "family", "genus"),
)
VERNACULAR_COLUMNS = ("taxonID", "vernacularName", "language", "source")
DWC = "http://rs.tdwg.org/dwc/terms/"
TERMS = {
    "canonicalName": "http://rs.gbif.org/terms/1.0/canonicalName",
    "language": "http://purl.org/dc/terms/language",
    "source": "http://purl.org/dc/terms/source",
}
"""Terms of columns that are not Darwin Core."""
FIRST_TAXON = 1_000_001
FIRST_SYNONYM = 5_000_001
# Synonyms whose epithets share this many letters count as homotypic: a Latin ending changes with the genus.
STEM = 5

Ranks = tuple[str, ...]
"""Names from kingdom to a taxon."""


def write_backbone(folder: Path, species: Sequence[Species]) -> None:
    """Write `Taxon.tsv`, `VernacularName.tsv` and `meta.xml` for the species, their synonyms and all higher taxa."""
    ids = _ids(species)
    taxa = [*_higher_taxa(ids), *_species(ids, species), *_synonyms(ids, species)]
    _write(folder / "Taxon.tsv", TAXON_COLUMNS, sorted(taxa))
    _write(folder / "VernacularName.tsv", VERNACULAR_COLUMNS, sorted(_vernaculars(ids, species)))
    write_text(folder / "meta.xml", _meta())


def _ids(species: Sequence[Species]) -> dict[Ranks, str]:
    """Taxon ids by path: the names from kingdom to the taxon, with "" for a missing inner rank."""
    paths = {one.ranks[:depth] for one in species for depth in range(1, len(RANKS) + 1) if one.ranks[depth - 1]}
    return {path: str(FIRST_TAXON + place) for place, path in enumerate(sorted(paths))}


def _parent(ids: dict[Ranks, str], path: Ranks) -> str:
    above = (path[:depth] for depth in range(len(path) - 1, 0, -1))
    return next((ids[path] for path in above if path in ids), "")


def _upper_ranks(path: Ranks) -> tuple[str, ...]:
    upper = path[:6]
    return (*upper, *[""] * (6 - len(upper)))


def _higher_taxa(ids: dict[Ranks, str]) -> Iterable[tuple[str, ...]]:
    for path, taxon in ids.items():
        if len(path) < len(RANKS):
            name, rank = path[-1], RANKS[len(path) - 1]
            yield (taxon, _parent(ids, path), "", name, "", name, rank, "accepted", *_upper_ranks(path))


def _species(ids: dict[Ranks, str], species: Sequence[Species]) -> Iterable[tuple[str, ...]]:
    for one in species:
        full = f"{one.binomial} {one.authorship}".strip()
        names = (full, one.authorship, one.binomial, "species", one.status)
        yield (ids[one.ranks], _parent(ids, one.ranks), "", *names, *_upper_ranks(one.ranks))


def _synonyms(ids: dict[Ranks, str], species: Sequence[Species]) -> Iterable[tuple[str, ...]]:
    number = FIRST_SYNONYM
    for one in species:
        for name in one.synonyms:
            same_epithet = name.split()[-1][:STEM] == one.epithet[:STEM]
            status = "homotypic synonym" if same_epithet else "synonym"
            # As in GBIF's backbone, a synonym has the ranks of its accepted name.
            upper = (_parent(ids, one.ranks), ids[one.ranks])
            yield (str(number), *upper, name, "", name, "species", status, *_upper_ranks(one.ranks))
            number += 1


def _vernaculars(ids: dict[Ranks, str], species: Sequence[Species]) -> Iterable[tuple[str, ...]]:
    for one in species:
        if one.common_name:
            yield ids[one.ranks], one.common_name, "en", "checklist"
    by_name: dict[str, list[str]] = {}
    for path, taxon in ids.items():
        name = " ".join(path[-2:]) if len(path) == len(RANKS) else path[-1]
        by_name.setdefault(name, []).append(taxon)
    with VERNACULARS.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            for taxon in by_name.get(row["taxon"], []):
                yield taxon, row["name"], row["language"], "field guide"


def _write(path: Path, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    with atomic(path) as temporary:
        lines = ["\t".join(row) for row in (columns, *rows)]
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _meta() -> str:
    def fields(columns: Sequence[str]) -> str:
        places = enumerate(columns[1:], start=1)
        return "\n".join(f'    <field index="{place}" term="{TERMS.get(name, DWC + name)}"/>' for place, name in places)

    layout = (
        'encoding="UTF-8" fieldsTerminatedBy="\\t" linesTerminatedBy="\\n" fieldsEnclosedBy="" ignoreHeaderLines="1"'
    )
    return f"""<archive xmlns="http://rs.tdwg.org/dwc/text/">
  <core {layout} rowType="{DWC}Taxon">
    <files><location>Taxon.tsv</location></files>
    <id index="0"/>
{fields(TAXON_COLUMNS)}
  </core>
  <extension {layout} rowType="http://rs.gbif.org/terms/1.0/VernacularName">
    <files><location>VernacularName.tsv</location></files>
    <coreid index="0"/>
{fields(VERNACULAR_COLUMNS)}
  </extension>
</archive>
"""
