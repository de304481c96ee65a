"""Read a GBIF download, or another Darwin Core Archive of occurrences with media, into contract records.

In: the archive (zip or folder), with a table of media or with URLs in associatedMedia. Out: one row per image, with the
extra columns source_doi (the download's DOI), taxon_key (the taxon that GBIF matched the record to), record_name and
accepted_name (the record's own name and GBIF's accepted name), and record_license (the licence of the record's data).
"""

import re
import tempfile
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import duckdb

from workflow_scripts.catalog.records import HERE, count_rows, run_sql, set_variable, write_named
from workflow_scripts.common.accounts import count_by_reason
from workflow_scripts.common.cli import run
from workflow_scripts.common.config.catalog import Gbif
from workflow_scripts.common.darwin_core import META, Section, read_meta
from workflow_scripts.common.delimited import Form, Source, header_cells
from workflow_scripts.common.errors import InputError
from workflow_scripts.common.tables import connect
from workflow_scripts.common.text_archives import Archive, Part, Table, fit_section, load_table

OCCURRENCE, MULTIMEDIA = "occurrence", "multimedia"
ASSOCIATED = "associatedMedia"
ABOUT = "metadata.xml"
CORE_KINDS = ("occurrence", "darwincore", "simpledarwinrecord")
# The core of a checklist: its media show its taxa.
TAXON_KINDS = ("taxon",)
MEDIA_KINDS = ("multimedia", "image", "simplemultimedia")
ID, ROW_ID, OCCURRENCE_ID = "gbifID", "row_id", "occurrenceID"
# Columns that gbif.sql uses; those missing from an archive are null.
COLUMNS = {
    OCCURRENCE: (
        *("kingdom", "phylum", "class", "order", "family", "genus", "species", "genericName", "specificEpithet"),
        *("scientificName", "acceptedScientificName", "vernacularName", "datasetKey", "basisOfRecord"),
        *("institutionCode", "license", "rightsHolder", "publisher", "creator", "title", "type", "format"),
        *("identifier", "description", "taxonKey", "eventRemarks", ASSOCIATED),
    ),
    MULTIMEDIA: (
        *("type", "format", "identifier", "title", "description", "creator", "publisher", "license", "rightsHolder"),
        # Terms of Audubon Core and of older downloads.
        *("accessURI", "rights", "webStatement", "usageTerms", "owner"),
    ),
}
DOI = re.compile(r"10\.\d{4,9}/[^\s<>\"]+")
CITIZEN = re.compile(r"citizen|ciudadan|cidad[aã]|citoyen", re.IGNORECASE)
MAX_DATASET_BYTES = 1 << 24


def read_gbif(*, archive: Path, settings: Gbif, out: Path, account: Path, memory_mb: int, threads: int) -> None:
    """Read a GBIF download into contract records.

    Args:
        archive: the download's zip, or the folder it was unpacked to.
        settings: the source's config section.
        out: output: the records (contract SOURCE_RECORDS).
        account: output: the account of rows.
        memory_mb: DuckDB's memory limit, MiB.
        threads: DuckDB's threads.

    Raises:
        InputError: the archive cannot be read or lacks a file, or `select` or `keep` names a missing column.
    """
    with tempfile.TemporaryDirectory(prefix="gbif-") as folder, connect(memory_mb, threads) as connection:
        scratch = Path(folder)
        opened = Archive(archive, scratch)
        occurrences, media, is_of_taxa = _tables(opened)
        for table in (occurrences, media):
            load_table(connection, table, scratch)
        set_variable(connection, "doi", settings.doi or _doi(opened))
        set_variable(connection, "taxon_keys", settings.taxon_keys)
        set_variable(connection, "names", settings.names)
        set_variable(connection, "has_species", occurrences.has("species"))
        set_variable(connection, "is_of_taxa", is_of_taxa)
        set_variable(connection, "license_stands_in", "license" in settings.stand_in)
        set_variable(connection, "owner_stands_in", "rightsHolder" in settings.stand_in)
        _create_list(connection, "citizen_datasets", "dataset_key", _citizen_datasets(opened))
        _create_list(connection, "fish_orders", "name", (HERE / "fish_orders.txt").read_text(encoding="utf-8").split())
        if occurrences.has(ASSOCIATED):
            run_sql(connection, HERE / "gbif_associated.sql")
        run_sql(connection, HERE / "gbif.sql")
        counts = count_by_reason(connection, "joined", "left_out")
        left_out = {reason: count for reason, count in counts.items() if reason is not None}
        write_named(
            connection,
            settings=settings,
            query="SELECT * EXCLUDE (left_out) FROM joined WHERE left_out IS NULL",
            rows=count_rows(connection, MULTIMEDIA),
            out=out,
            account=account,
            left_out=left_out,
            always_kept=("source_doi", "taxon_key", "record_name", "accepted_name", "record_license"),
        )


def _tables(archive: Archive) -> tuple[Table, Table, bool]:
    """The occurrence table, the multimedia table, and whether the first holds the taxa of a checklist.

    Raises:
        InputError: the archive has no occurrences, or neither media nor associatedMedia.
    """
    meta = archive.find(META)
    sections = [] if meta is None else read_meta(archive.path(meta).read_bytes(), f"{archive.place}: {META}")
    core = sections[0].kind if sections else OCCURRENCE
    is_of_taxa = core in TAXON_KINDS
    occurrences = _parts(archive, sections, TAXON_KINDS if is_of_taxa else CORE_KINDS, OCCURRENCE)
    media = _parts(archive, sections, MEDIA_KINDS, MULTIMEDIA)
    has_media = media or any(name.lower() == ASSOCIATED.lower() for part in occurrences for name in part.columns)
    if not occurrences or not has_media:
        missing = "multimedia table and no column associatedMedia" if occurrences else "occurrence table"
        raise InputError(
            f"{archive.place}: no {missing} in the archive ({archive.shown()}); at GBIF choose the download "
            "format DARWIN CORE ARCHIVE (SIMPLE and SPECIES LIST contain no images)"
        )
    if core not in (*CORE_KINDS, *TAXON_KINDS) and all(
        OCCURRENCE_ID in part.columns for part in (*occurrences, *media)
    ):
        # Both extend an event, which may have several occurrences; join them by occurrence instead.
        occurrences, media = (
            [Part(part.path, part.form, {**part.columns, ROW_ID: part.columns[OCCURRENCE_ID]}) for part in parts]
            for parts in (occurrences, media)
        )
    return _table(OCCURRENCE, occurrences), _table(MULTIMEDIA, media), is_of_taxa


def _parts(archive: Archive, sections: Sequence[Section], kinds: Sequence[str], name: str) -> list[Part]:
    """The files of a table. Without a section of one of `kinds` in `meta.xml`, the file `<name>.txt`.

    Media may be in several sections (of Simple Multimedia and of Audubon Core). Of occurrences, only the first counts:
    GBIF's `verbatim.txt` has the same ones again.

    Raises:
        InputError: a file that `meta.xml` lists is missing.
    """
    found = [section for section in sections if section.kind in kinds]
    chosen = found if name == MULTIMEDIA else found[:1]
    if chosen:
        files = [(section, file, archive.find(file)) for section in chosen for file in section.files]
        if missing := [file for _, file, member in files if member is None]:
            raise InputError(
                f"{archive.place}: {META} lists {missing[0]}, but the archive does not contain it; fetch the archive "
                "again, or remove the file from meta.xml"
            )
        return [_part(archive.path(member), section) for section, _, member in files if member is not None]
    member = archive.find(f"{name}.txt")
    return [] if member is None else [_part(archive.path(member))]


def _part(path: Path, section: Section | None = None) -> Part:
    """A file with its columns by term (from `meta.xml`, then from its header) and its occurrence id as `row_id`.

    Raises:
        InputError: the file has no occurrence id.
    """
    if section is not None:
        section = fit_section(section, path)
    form = Form() if section is None else section.form
    columns: dict[str, Source] = {}
    for field in [] if section is None else section.fields:
        columns.setdefault(field.term, Source(field.index, field.default))
    if section is not None and section.kind == "image":
        # Rows of this extension are images even without a type.
        columns.setdefault("type", Source(None, "StillImage"))
    known = {name.lower() for name in columns}
    placed = {source.index for source in columns.values()}
    if form.header_lines and path.stat().st_size:
        for place, cell in enumerate(header_cells(path, form)):
            if cell and cell.lower() not in known and place not in placed:
                known.add(cell.lower())
                columns[cell] = Source(place)
    if section is not None and section.id_index is not None:
        return Part(path, form, columns | {ROW_ID: Source(section.id_index)})
    identity = next((source for name, source in columns.items() if name.lower() == ID.lower()), None)
    if identity is None:
        raise InputError(f"{path.name}: no column {ID}, and {META} defines no id column; fetch the download again")
    return Part(path, form, columns | {ROW_ID: identity})


def _table(name: str, parts: Sequence[Part]) -> Table:
    found = {column.lower(): column for part in parts for column in part.columns}
    known = {column.lower(): column for column in COLUMNS[name]}
    # Known columns are spelled as in gbif.sql.
    columns = tuple({ROW_ID: ROW_ID, **found, **known}.values())
    renamed = [
        Part(
            part.path, part.form, {known.get(column.lower(), column): source for column, source in part.columns.items()}
        )
        for part in parts
    ]
    return Table(name, columns, (ROW_ID,), renamed)


def _create_list(connection: duckdb.DuckDBPyConnection, table: str, column: str, values: Sequence[str]) -> None:
    query = f"CREATE TEMP TABLE {table} AS SELECT unnest($values::VARCHAR[]) AS {column}"
    connection.execute(query, {"values": values})


def _citizen_datasets(archive: Archive) -> list[str]:
    """The keys of datasets whose description mentions citizen science."""
    found = []
    for member in archive.members:
        path = PurePosixPath(member)
        if path.parent.name == "dataset" and path.suffix == ".xml":
            with archive.path(member).open("rb") as file:
                if CITIZEN.search(file.read(MAX_DATASET_BYTES).decode("utf-8", errors="replace")):
                    found.append(path.stem)
    return found


def _doi(archive: Archive) -> str:
    """The DOI in the archive's metadata.xml, or ""."""
    about = archive.find(ABOUT)
    if about is None:
        return ""
    found = DOI.search(archive.path(about).read_text(encoding="utf-8", errors="replace"))
    return found.group(0) if found else ""


if __name__ == "__main__":
    run(read_gbif)
