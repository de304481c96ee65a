"""Column names of image tables: one list for sources, label files and the documentation."""

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from workflow_scripts.common.errors import InputError


class TableColumn(NamedTuple):
    """A column that a table may have.

    Attributes:
        name: name of the column.
        spellings: other accepted names; case, `_`, spaces and prefixes of Darwin Core are ignored in all names.
        description: what it contains.
    """

    name: str
    spellings: tuple[str, ...]
    description: str


TABLE_COLUMNS = (
    TableColumn(
        "url",
        ("image_url", "accessURI", "source_url", "identifier"),
        "URL of the image (http or https). If a table has `image_url` or `accessURI`, its column `url` is not read, "
        "because it usually contains addresses of web pages.",
    ),
    TableColumn(
        "path",
        ("filepath", "file_path", "file_name", "filename"),
        "Path of the image, from the folder `images`; takes precedence over its URL.",
    ),
    TableColumn("kingdom", ("kingdomName", "taxon_kingdom_name"), "Kingdom. All rank columns are optional."),
    TableColumn("phylum", ("phylumName", "taxon_phylum_name"), "Phylum."),
    TableColumn(
        "class",
        ("cls", "taxon_class_name"),
        "Class. In a table with `cls`, or with `filepath` and no other name, `class` is the label.",
    ),
    TableColumn("order", ("orderName", "taxon_order_name"), "Order."),
    TableColumn("family", ("familyName", "taxon_family_name"), "Family."),
    TableColumn("genus", ("genericName", "genusName", "taxon_genus_name"), "Genus."),
    TableColumn(
        "species",
        ("specificEpithet", "binomial", "binomial_name", "species_name", "taxon_species_name"),
        "Epithet or binomial.",
    ),
    TableColumn(
        "scientific_name",
        ("canonicalName", "taxon_name", "sci_name", "latin_name", "label", "class_name", "label_name"),
        "Name as written, at any rank.",
    ),
    TableColumn("common", ("common_name", "vernacularName", "english_name", "common_name_english"), "Common name."),
    TableColumn("data_source", (), "Where the image comes from. Default: the name of the source."),
    TableColumn("source_id", ("gbifID", "observation_id"), "ID of the image or observation there."),
    TableColumn("publisher", (), "Publisher of the image."),
    TableColumn("dataset_key", (), "Key of the data set, for citation."),
    TableColumn("basisOfRecord", (), "Kind of record (Darwin Core vocabulary)."),
    TableColumn("img_type", (), "TreeOfLife-200M's image type."),
    TableColumn("occurrence_id", (), "ID of the individual or occurrence, whose images go to the same split."),
    TableColumn("license_name", (), "Licence as written."),
    TableColumn("license", ("licence", "rights"), "Licence, used if `license_name` is empty."),
    TableColumn("copyright_owner", ("rightsHolder", "copyright_holder"), "Copyright holder, for attribution."),
    TableColumn("creator", ("photographer", "user_login"), "Photographer."),
    TableColumn("license_link", ("license_url",), "URL of the licence."),
    TableColumn("title", (), "Title of the image."),
    TableColumn(
        "x", (), "Left edge of a crop, pixels of the original; empty for the complete image. Needs y, width and height."
    ),
    TableColumn("y", (), "Top edge of the crop, pixels."),
    TableColumn("width", (), "Width of the crop, pixels."),
    TableColumn("height", (), "Height of the crop, pixels."),
)
NAMED = tuple(column.name for column in TABLE_COLUMNS)
PLACES = ("url", "path")
IMAGE_URLS = ("image_url", "accessURI")
"""Names of URL columns that are certainly of images, not of pages or identifiers."""
NAMES = ("kingdom", "phylum", "class", "order", "family", "genus", "species", "scientific_name")


def match_columns(
    found: Sequence[str], given: Mapping[str, str], where: str, setting: str = "the source's `columns`"
) -> dict[str, str]:
    """Match a table's columns to our column names.

    Args:
        found: the table's columns.
        given: the table's name by our name, from the config; takes precedence.
        where: beginning of messages.
        setting: where to map columns, for messages.

    Returns:
        The table's name of each column, by our name.

    Raises:
        InputError: `given` has an unknown name, or the table has no column of paths or URLs, or none of names.
    """
    has = f"it has {', '.join(found)}"
    by_plain = {_plain(name): name for name in reversed(found)}
    matched: dict[str, str] = {}
    for column in TABLE_COLUMNS:
        names = (
            (*IMAGE_URLS, column.name, *column.spellings) if column.name == "url" else (column.name, *column.spellings)
        )
        spelt = next((by_plain[key] for key in map(_plain, names) if key in by_plain), None)
        if spelt is not None:
            matched[column.name] = spelt
    for name, other in given.items():
        if name not in NAMED:
            raise InputError(f"{where}: columns: unknown column {name}; choose from {', '.join(NAMED)}")
        if _plain(other) not in by_plain:
            raise InputError(f"{where}: no column {other} (columns.{name}); {has}")
        matched[name] = by_plain[_plain(other)]
    has_ranks = not by_plain.keys().isdisjoint(("phylumname", "ordername", "familyname"))
    if "classname" in by_plain and "class" not in matched and has_ranks:
        # Beside other ranks, `class_name` is the class, not a label (BOLD).
        matched["class"] = by_plain["classname"]
        if matched.get("scientific_name") == by_plain["classname"] and "scientific_name" not in given:
            del matched["scientific_name"]
    is_label = "class" in by_plain and "class" not in given
    if is_label and "cls" in by_plain:
        matched["class"] = by_plain["cls"]
        matched.setdefault("scientific_name", by_plain["class"])
    elif is_label and "filepath" in by_plain and not set(NAMES) & matched.keys() - {"class"}:
        matched["scientific_name"] = matched.pop("class")
    if not any(name in matched for name in PLACES):
        raise InputError(f"{where}: no column url or path; {has}; map it in {setting}")
    if not any(name in matched for name in NAMES):
        raise InputError(f"{where}: no column {', '.join(NAMES)}; {has}; map one in {setting}")
    return matched


def column_named(found: Sequence[str], name: str) -> str | None:
    """The table's column of this name, or None; case, `_` and spaces are ignored."""
    return next((column for column in found if _plain(column) == _plain(name)), None)


def first_column(found: Sequence[str], names: Iterable[str]) -> str | None:
    """The table's column with the first of these names that it has, or None."""
    return next((column for name in names if (column := column_named(found, name)) is not None), None)


def is_named(column: str) -> bool:
    """Whether a column has one of our names or its other spellings."""
    return _plain(column) in SPELLINGS


def _plain(name: str) -> str:
    return re.sub(r"[\W_]+", "", NAMESPACE.sub("", unicodedata.normalize("NFC", name))).lower()


NAMESPACE = re.compile(r"^\s*(?:dwc|dcterms|dc|ac|xmpRights|gbif|idigbio)[:.]", re.IGNORECASE)
"""Prefixes of Darwin Core's terms and those of its extensions; R writes a dot for the colon."""
SPELLINGS = frozenset(_plain(name) for column in TABLE_COLUMNS for name in (column.name, *column.spellings))
ACCEPTED_NAMES = {column.name: (column.name, *column.spellings) for column in TABLE_COLUMNS}
"""Accepted names of each column, ours first."""
