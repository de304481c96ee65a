"""Read Darwin Core Archives by their `meta.xml`, or by the header of a file without one."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import PurePosixPath

from workflow_scripts.common.darwin_core import META, Section, read_meta
from workflow_scripts.common.delimited import Source
from workflow_scripts.common.errors import InputError
from workflow_scripts.common.text_archives import (
    Archive,
    Part,
    Table,
    best_tables,
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
    commonname="vernacularName",
)
VERNACULAR_TERMS = named(
    *VERNACULAR_COLUMNS,
    id="taxonID",
    coreid="taxonID",
    commonname="vernacularName",
    locale="language",
    preferred="isPreferredName",
    ispreferred="isPreferredName",
)
CORE_ID = {"id": "coreID"}
UNTYPED = ("", "simpledarwinrecord")
COLDP_FILE = "nameusage"
COMMON = {"taxonID", "vernacularName"}
# Columns that identify a taxon: a name, or parts of one.
NAMES = ("scientificName", "canonicalName", "genus", "genericName", "specificEpithet")


def find_dwca(archive: Archive) -> tuple[Table, Table, list[str]]:
    """Find the tables of taxa and common names in a Darwin Core Archive, and files of common names that are not read.

    A file of common names is not read if it is missing, or has no column of names or of taxa.

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
        (name, _part(archive, section, name, VERNACULAR_TERMS, "taxonID"))
        for section in sections
        if section.kind == "vernacularname"
        for name in section.files
    ]
    common = [part for _, part in vernaculars if part is not None and set(part.columns) >= COMMON]
    unread = [name for name, part in vernaculars if part not in common]
    return *_tables(archive, [part for part in parts if part is not None], common), unread


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


def _without_meta(archive: Archive) -> tuple[Table, Table, list[str]]:
    if usages := next(
        (name for name in archive.tables() if plain(PurePosixPath(name).stem).startswith(COLDP_FILE)), None
    ):
        raise InputError(f"{archive.place}: {usages} belongs to a ColDP archive; set reader: coldp")

    def score_taxa(part: Part) -> int:
        # A table of common names may repeat the scientific names; it is one of taxa only if there is no other.
        is_vernacular = "vernacularName" in part.columns
        return (
            0 if not set(NAMES) & set(part.columns) else len(part.columns) + (0 if is_vernacular else len(TAXON_TERMS))
        )

    def score_vernaculars(part: Part) -> int:
        is_core = part.path in {one.path for one in taxa}
        return len(part.columns) if set(part.columns) >= COMMON and not is_core else 0

    taxa = best_tables(archive, score_taxa, TAXON_TERMS)
    if len(taxa) > 1:
        names = ", ".join(part.path.name for part in taxa)
        raise InputError(
            f"{archive.place}: several tables of names ({names}) and no {META}; combine them into one, or make a "
            "backbone of each"
        )
    # Tables of common names may refer to `id`, as in iNaturalist's archive.
    with_ids = [
        replace(part, columns={**header_columns(part.path, part.form, CORE_ID), **part.columns}) for part in taxa
    ]
    return *_tables(archive, with_ids, best_tables(archive, score_vernaculars, VERNACULAR_TERMS)), []


def _tables(archive: Archive, taxa: Sequence[Part], vernaculars: Sequence[Part]) -> tuple[Table, Table]:
    rows = Table("taxon_rows", TAXON_COLUMNS, ("taxonID", "scientificName"), taxa)
    if not rows.has(*NAMES):
        raise InputError(
            f"{archive.place}: no table of names found ({archive.shown()}); give a Darwin Core Archive with meta.xml, "
            "or a table with a column scientificName; for a ColDP archive set reader: coldp"
        )
    return rows, Table("vernacular_rows", VERNACULAR_COLUMNS, ("taxonID", "vernacularName"), vernaculars)
