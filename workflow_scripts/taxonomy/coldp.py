"""Read ColDP archives (https://github.com/CatalogueOfLife/coldp): NameUsage, or Name with Taxon and Synonym."""

from pathlib import PurePosixPath

from workflow_scripts.common.errors import InputError
from workflow_scripts.common.text_archives import Archive, Part, Table, by_header, named, plain
from workflow_scripts.taxonomy.columns import FLAT_RANKS

NAME_PARTS = ("uninomial", "genericName", "infragenericEpithet", "specificEpithet", "infraspecificEpithet")
USAGE_COLUMNS = (
    *("ID", "parentID", "status", "scientificName", "authorship", "rank", "nameStatus", "provisional"),
    *(*NAME_PARTS, *FLAT_RANKS),
)
# In Name, `genus` is a part of the name; in NameUsage and Taxon, it is a higher rank.
NAME_COLUMNS = ("ID", "scientificName", "authorship", "rank", "status", *NAME_PARTS)
TAXON_COLUMNS = ("ID", "parentID", "nameID", "status", "provisional", *FLAT_RANKS)
SYNONYM_COLUMNS = ("ID", "taxonID", "nameID", "status")
VERNACULAR_COLUMNS = ("taxonID", "name", "language")


def find_coldp(archive: Archive) -> list[Table]:
    """Find the tables `usage_rows`, `name_rows`, `placed_rows`, `synonym_rows` and `common_rows` of a ColDP archive.

    Raises:
        InputError: the archive has neither NameUsage, nor Name with Taxon.
    """
    usage = _entity(archive, "nameusage", named(*USAGE_COLUMNS))
    name = taxon = synonym = None
    if usage is None:
        name = _entity(archive, "name", named(*NAME_COLUMNS, genus="genericName", infraspeciesepithet=NAME_PARTS[-1]))
        taxon = _entity(archive, "taxon", named(*TAXON_COLUMNS))
        # A Darwin Core Archive may have a file of this name too.
        taxon = taxon if taxon is not None and "nameID" in taxon.columns else None
        synonym = _entity(archive, "synonym", named(*SYNONYM_COLUMNS))
        if name is None and taxon is None:
            raise InputError(
                f"{archive.place}: no NameUsage, and no Name with Taxon found ({archive.shown()}); give the folder or "
                "zip of a ColDP archive with names; for a Darwin Core Archive set reader: dwca"
            )
        if name is None or taxon is None:
            present, absent = ("Name", "Taxon") if taxon is None else ("Taxon", "Name")
            raise InputError(
                f"{archive.place}: found {present} without {absent}, so no name belongs to a taxon; "
                "give an archive with NameUsage, or with Name and Taxon"
            )
    common = _entity(archive, "vernacularname", named(*VERNACULAR_COLUMNS))
    return [
        _table("usage_rows", USAGE_COLUMNS, ("ID", "scientificName"), usage),
        _table("name_rows", NAME_COLUMNS, ("ID", "scientificName"), name),
        _table("placed_rows", TAXON_COLUMNS, ("ID", "nameID"), taxon),
        _table("synonym_rows", SYNONYM_COLUMNS, ("taxonID", "nameID"), synonym),
        _table("common_rows", VERNACULAR_COLUMNS, ("taxonID", "name"), common),
    ]


def _entity(archive: Archive, name: str, columns: dict[str, str]) -> Part | None:
    """Find an entity's file, whatever its case and punctuation: "NameUsage.tsv", "name-usages.csv"."""
    plurals = {name, f"{name}s", "taxa" if name == "taxon" else f"{name}s"}
    for member in archive.tables():
        if plain(PurePosixPath(member).stem) in plurals and archive.path(member).stat().st_size:
            return by_header(archive.path(member), columns)
    return None


def _table(name: str, columns: tuple[str, ...], needed: tuple[str, ...], part: Part | None) -> Table:
    return Table(name, columns, needed, [] if part is None else [part])
