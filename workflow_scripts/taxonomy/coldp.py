"""Read ColDP archives (https://github.com/CatalogueOfLife/coldp): NameUsage, or Name with Taxon and Synonym.

An entity may be split over numbered files (`NameUsage-1.tsv`, `NameUsage-2.tsv`), and VernacularName over one file per
language. Default values come from `default.yaml`.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from itertools import islice
from pathlib import Path, PurePosixPath

from workflow_scripts.common.delimited import Source
from workflow_scripts.common.errors import InputError
from workflow_scripts.common.text_archives import Archive, Part, Table, by_header, named, plain
from workflow_scripts.taxonomy.columns import FLAT_RANKS

DEFAULTS = "default.yaml"
EMPTY = ("", "null", "~")
MAX_DEFAULTS_BYTES = 1 << 20
NUMBERED = re.compile(r"(?:part|chunk)?\d+(?:of\d+)?")
NAME_PARTS = ("uninomial", "genericName", "infragenericEpithet", "specificEpithet", "infraspecificEpithet")
USAGE_COLUMNS = (
    *("ID", "parentID", "status", "scientificName", "authorship", "rank", "nameStatus", "provisional"),
    *(*NAME_PARTS, *FLAT_RANKS),
)
# In Name, `genus` is a part of the name; in NameUsage and Taxon, it is a higher rank.
NAME_COLUMNS = ("ID", "scientificName", "authorship", "rank", "status", *NAME_PARTS)
TAXON_COLUMNS = ("ID", "parentID", "nameID", "status", "provisional", *FLAT_RANKS)
SYNONYM_COLUMNS = ("ID", "taxonID", "nameID", "status")
VERNACULAR_COLUMNS = ("taxonID", "name", "language", "preferred")


def find_coldp(archive: Archive) -> list[Table]:
    """Find the tables `usage_rows`, `name_rows`, `placed_rows`, `synonym_rows` and `common_rows` of a ColDP archive.

    Raises:
        InputError: the archive has neither NameUsage, nor Name with Taxon, or has an entity twice.
    """
    usage = _entity(archive, "nameusage", named(*USAGE_COLUMNS))
    name: list[Part] = []
    taxon: list[Part] = []
    synonym: list[Part] = []
    if not usage:
        name = _entity(archive, "name", named(*NAME_COLUMNS, genus="genericName", infraspeciesepithet=NAME_PARTS[-1]))
        # A Darwin Core Archive may have a file of this name too.
        taxon = [part for part in _entity(archive, "taxon", named(*TAXON_COLUMNS)) if "nameID" in part.columns]
        synonym = _entity(archive, "synonym", named(*SYNONYM_COLUMNS))
        if not name and not taxon:
            raise InputError(
                f"{archive.place}: no NameUsage, and no Name with Taxon found ({archive.shown()}); give the folder or "
                "zip of a ColDP archive with names; for a Darwin Core Archive set reader: dwca"
            )
        if not name or not taxon:
            present, absent = ("Name", "Taxon") if not taxon else ("Taxon", "Name")
            raise InputError(
                f"{archive.place}: found {present} without {absent}, so no name belongs to a taxon; "
                "give an archive with NameUsage, or with Name and Taxon"
            )
    common = _entity(archive, "vernacularname", named(*VERNACULAR_COLUMNS))
    return [
        Table("usage_rows", USAGE_COLUMNS, ("ID", "scientificName"), usage),
        Table("name_rows", NAME_COLUMNS, ("ID", "scientificName"), name),
        Table("placed_rows", TAXON_COLUMNS, ("ID", "nameID"), taxon),
        Table("synonym_rows", SYNONYM_COLUMNS, ("taxonID", "nameID"), synonym),
        Table("common_rows", VERNACULAR_COLUMNS, ("taxonID", "name"), common),
    ]


def _entity(archive: Archive, name: str, columns: dict[str, str]) -> list[Part]:
    """Find an entity's files, whatever their case and punctuation: "NameUsage.tsv", "name-usages-1.csv".

    Only the topmost folder that has the entity counts; files without rows do not.

    Raises:
        InputError: two files are the same part of the entity.
    """
    pattern = re.compile(rf"{'(?:taxa|taxons?)' if name == 'taxon' else f'{name}s?'}(.*)")
    members = [
        (member, found[1])
        for member in archive.tables()
        if (found := pattern.fullmatch(plain(PurePosixPath(member).stem)))
        and (not found[1] or NUMBERED.fullmatch(found[1]) or name == "vernacularname")
        and _has_rows(archive.path(member))
    ]
    top = min((member.count("/") for member, _ in members), default=0)
    parts: dict[str, str] = {}
    for member, piece in members:
        if member.count("/") > top:
            continue
        if piece in parts:
            raise InputError(
                f"{archive.place}: {parts[piece]} and {member} are the same file of ColDP; remove one of them, "
                "or number them if both are needed (-1, -2)"
            )
        parts[piece] = member
    defaults = _defaults(archive, pattern, columns)
    return [_with_defaults(by_header(archive.path(member), columns), defaults) for member in parts.values()]


def _has_rows(path: Path) -> bool:
    """Whether a file has more than a header."""
    with path.open("rb") as file:
        return len(list(islice((line for line in file if line.strip()), 2))) == 2


def _defaults(archive: Archive, entity: re.Pattern[str], columns: Mapping[str, str]) -> dict[str, str]:
    """An entity's default values by column, from `default.yaml`.

    Raises:
        InputError: the file is not a mapping of entities to values by column.
    """
    member = archive.find(DEFAULTS)
    if member is None:
        return {}
    import yaml

    path = archive.path(member)
    try:
        if path.stat().st_size > MAX_DEFAULTS_BYTES:
            raise ValueError("too large")
        # Values as written: to YAML, the language `no` is false.
        found = yaml.BaseLoader(path.read_text(encoding="utf-8")).get_single_data() or {}
        by_term = {
            plain(str(term)): value
            for key, values in found.items()
            if (match := entity.fullmatch(plain(str(key)))) and not match[1]
            for term, value in (values or {}).items()
        }
    except (yaml.YAMLError, ValueError, AttributeError) as error:
        reason = " ".join(str(error).split())
        raise InputError(
            f"{archive.place}: {DEFAULTS}: expected values by entity and column, such as "
            f"`VernacularName: {{language: eng}}` ({reason}); correct it"
        ) from None
    return {columns[term]: str(value) for term, value in by_term.items() if term in columns and value not in EMPTY}


def _with_defaults(part: Part, defaults: Mapping[str, str]) -> Part:
    sources = {
        name: Source(part.columns[name].index if name in part.columns else None, value)
        for name, value in defaults.items()
    }
    return replace(part, columns={**part.columns, **sources})
