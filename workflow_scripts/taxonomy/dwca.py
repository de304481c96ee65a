"""Read Darwin Core Archives by their `meta.xml`, or by the header of a file without one."""

from collections.abc import Sequence
from pathlib import PurePosixPath

from workflow_scripts.common.darwin_core import META, Section, read_meta
from workflow_scripts.common.delimited import Source
from workflow_scripts.common.errors import InputError
from workflow_scripts.common.text_archives import (
    Archive,
    Part,
    Table,
    best_table,
    fit_section,
    header_columns,
    named,
    plain,
)
from workflow_scripts.taxonomy.columns import TAXON_COLUMNS, VERNACULAR_COLUMNS

# Synonyms of the terms, from older versions and other standards.
TAXON_TERMS = named(
    *TAXON_COLUMNS,
    id="taxonID",
    parenttaxonid="parentNameUsageID",
    highertaxonid="parentNameUsageID",
    highernameusageid="parentNameUsageID",
    parentid="parentNameUsageID",
    acceptedtaxonid="acceptedNameUsageID",
    acceptedid="acceptedNameUsageID",
    acceptedtaxonnameusageid="acceptedNameUsageID",
    parenttaxon="parentNameUsage",
    highernameusage="parentNameUsage",
    acceptedscientificname="acceptedNameUsage",
    acceptedtaxon="acceptedNameUsage",
    rank="taxonRank",
    status="taxonomicStatus",
    author="scientificNameAuthorship",
    authorship="scientificNameAuthorship",
)
VERNACULAR_TERMS = named(
    *VERNACULAR_COLUMNS, id="taxonID", coreid="taxonID", commonname="vernacularName", locale="language"
)
UNTYPED = ("", "simpledarwinrecord")
COLDP_FILES = ("nameusage", "nameusages")
# Columns that identify a taxon: a name, or parts of one.
NAMES = ("scientificName", "canonicalName", "genus", "genericName", "specificEpithet")


def find_dwca(archive: Archive) -> tuple[Table, Table]:
    """Find the tables of taxa and common names in a Darwin Core Archive.

    Raises:
        InputError: the archive has no table of taxa, or a file that `meta.xml` lists is missing.
    """
    meta = archive.find(META)
    if meta is None:
        return _without_meta(archive)
    sections = read_meta(archive.path(meta).read_bytes(), f"{archive.place}: {META}")
    # A core without a row type may be one of taxa.
    taxa = next((one for one in sections if one.kind == "taxon"), sections[0] if sections[0].kind in UNTYPED else None)
    if taxa is None:
        kinds = ", ".join(sorted({one.kind or "rows without a type" for one in sections}))
        raise InputError(
            f"{archive.place}: {META}: expected rows of type Taxon, found {kinds}; give the archive of a checklist"
        )
    is_core = taxa is sections[0]
    parts = [_part(archive, taxa, name, TAXON_TERMS, "taxonID" if not is_core else None) for name in taxa.files]
    missing = [name for name, part in zip(taxa.files, parts, strict=True) if part is None]
    if missing:
        raise InputError(
            f"{archive.place}: {META} lists {missing[0]}, but the archive does not contain it; fetch the archive again"
        )
    vernaculars = [
        part
        for section in sections
        if section.kind == "vernacularname"
        for name in section.files
        if (part := _part(archive, section, name, VERNACULAR_TERMS, "taxonID")) is not None
    ]
    return _tables(archive, [part for part in parts if part is not None], vernaculars)


def _part(archive: Archive, section: Section, name: str, terms: dict[str, str], id_name: str | None) -> Part | None:
    """One file of a section; None if it is missing. `id_name`: the column that the id of an extension fills."""
    member = archive.find(name)
    if member is None:
        return None
    path = archive.path(member)
    section = fit_section(section, path)
    columns: dict[str, Source] = {}
    for field in section.fields:
        if (column := terms.get(field.term.lower())) is not None:
            columns.setdefault(column, Source(field.index, field.default))
    if not columns and section.form.header_lines and path.stat().st_size:
        columns = header_columns(path, section.form, terms)
    if section.id_index is not None:
        identity = Source(section.id_index)
        if id_name is None:
            columns["coreID"] = identity
            columns.setdefault("taxonID", identity)
        else:
            columns[id_name] = identity
    return Part(path, section.form, columns)


def _without_meta(archive: Archive) -> tuple[Table, Table]:
    if usages := next((name for name in archive.tables() if plain(PurePosixPath(name).stem) in COLDP_FILES), None):
        raise InputError(f"{archive.place}: {usages} belongs to a ColDP archive; set reader: coldp")

    def score_taxa(part: Part) -> int:
        is_vernacular = "vernacularName" in header_columns(part.path, part.form, VERNACULAR_TERMS)
        return 0 if is_vernacular or not set(NAMES) & set(part.columns) else len(part.columns)

    def score_vernaculars(part: Part) -> int:
        return len(part.columns) if {"taxonID", "vernacularName"} <= set(part.columns) else 0

    taxa = best_table(archive, score_taxa, TAXON_TERMS)
    vernaculars = best_table(archive, score_vernaculars, VERNACULAR_TERMS)
    return _tables(archive, [] if taxa is None else [taxa], [] if vernaculars is None else [vernaculars])


def _tables(archive: Archive, taxa: Sequence[Part], vernaculars: Sequence[Part]) -> tuple[Table, Table]:
    rows = Table("taxon_rows", TAXON_COLUMNS, ("taxonID", "scientificName"), taxa)
    if not rows.has(*NAMES):
        raise InputError(
            f"{archive.place}: no table of names found ({archive.shown()}); give a Darwin Core Archive with meta.xml, "
            "or a table with a column scientificName; for a ColDP archive set reader: coldp"
        )
    common = [part for part in vernaculars if {"taxonID", "vernacularName"} <= set(part.columns)]
    return rows, Table("vernacular_rows", VERNACULAR_COLUMNS, ("taxonID", "vernacularName"), common)
