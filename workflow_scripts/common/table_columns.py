"""Column names of tables of images: one list for sources, label files and the documentation."""

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from workflow_scripts.common.errors import InputError


class TableColumn(NamedTuple):
    """A column that a table may have.

    Attributes:
        name: its name.
        spellings: other names for it. Case, `_` and blanks do not count in any of them.
        holds: what it holds.
    """

    name: str
    spellings: tuple[str, ...]
    holds: str


TABLE_COLUMNS = (
    TableColumn("url", ("source_url", "image_url", "identifier", "accessURI"), "The image's address (http or https)."),
    TableColumn("path", ("filepath", "file_path", "file_name", "filename"), "Or its file, from the folder `images`."),
    TableColumn("kingdom", (), "A rank of its taxon; the others likewise. Any of them may be missing."),
    TableColumn("phylum", (), "Phylum."),
    TableColumn("class", ("cls",), "Class. With `cls`, or with `filepath` and no other name, `class` is the label."),
    TableColumn("order", (), "Order."),
    TableColumn("family", (), "Family."),
    TableColumn("genus", ("genericName",), "Genus."),
    TableColumn("species", ("specificEpithet", "binomial"), "Epithet or binomial."),
    TableColumn("scientific_name", ("canonicalName", "taxon_name", "label"), "Its name as written, at any rank."),
    TableColumn("common", ("common_name", "vernacularName"), "A common name."),
    TableColumn("data_source", (), "Where it comes from. Default: the source's name."),
    TableColumn("source_id", ("gbifID", "observation_id"), "Its number there."),
    TableColumn("publisher", (), "Who published it."),
    TableColumn("dataset_key", (), "The data set, for what is to be cited."),
    TableColumn("basisOfRecord", (), "How the record was made (Darwin Core's words)."),
    TableColumn("img_type", (), "TreeOfLife-200M's image type."),
    TableColumn("occurrence_id", (), "The individual: its photos go to the same split."),
    TableColumn("license_name", (), "The image's licence as written."),
    TableColumn("license", ("licence", "rights"), "The same, where `license_name` is empty."),
    TableColumn("copyright_owner", ("rightsHolder", "copyright_holder"), "Whom to name."),
    TableColumn("creator", ("photographer",), "Who took it."),
    TableColumn("license_link", ("license_url",), "The licence's address."),
    TableColumn("title", (), "Its title."),
    TableColumn("x", (), "With y, width and height: a crop, in pixels of the original; empty for the whole image."),
    TableColumn("y", (), "Upper edge of the crop, pixels."),
    TableColumn("width", (), "Width of the crop, pixels."),
    TableColumn("height", (), "Height of the crop, pixels."),
)
NAMED = tuple(column.name for column in TABLE_COLUMNS)
PLACES = ("url", "path")
NAMES = ("kingdom", "phylum", "class", "order", "family", "genus", "species", "scientific_name")


def match_columns(
    found: Sequence[str], given: Mapping[str, str], where: str, setting: str = "the source's `columns`"
) -> dict[str, str]:
    """Our column names: their names in a table.

    Args:
        found: the table's columns.
        given: what the config maps, our name: the table's; it comes first.
        where: what messages begin with.
        setting: where a person names columns.

    Raises:
        InputError: the config maps a name that is none of ours or none of the table's, or the table has no column of
            places or none of names.
    """
    has = f"it has {', '.join(found)}"
    by_plain = {_plain(name): name for name in reversed(found)}
    matched: dict[str, str] = {}
    for column in TABLE_COLUMNS:
        spelt = next((by_plain[key] for key in map(_plain, (column.name, *column.spellings)) if key in by_plain), None)
        if spelt is not None:
            matched[column.name] = spelt
    for name, other in given.items():
        if name not in NAMED:
            raise InputError(f"{where}: columns: {name} is none of {', '.join(NAMED)}")
        if _plain(other) not in by_plain:
            raise InputError(f"{where}: no column {other} (columns.{name}); {has}")
        matched[name] = by_plain[_plain(other)]
    is_label = "class" in by_plain and "class" not in given
    if is_label and "cls" in by_plain:
        matched["class"] = by_plain["cls"]
        matched.setdefault("scientific_name", by_plain["class"])
    elif is_label and "filepath" in by_plain and not set(NAMES) & matched.keys() - {"class"}:
        matched["scientific_name"] = matched.pop("class")
    if not any(name in matched for name in PLACES):
        raise InputError(f"{where}: no column url or path; {has}; name it in {setting}")
    if not any(name in matched for name in NAMES):
        raise InputError(f"{where}: no column {', '.join(NAMES)}; {has}; name one in {setting}")
    return matched


def column_named(found: Sequence[str], name: str) -> str | None:
    """The table's column of that name, if there is one; case, `_` and blanks do not count."""
    return next((column for column in found if _plain(column) == _plain(name)), None)


def is_named(column: str) -> bool:
    """Whether a column's name is one of ours, or another spelling of one."""
    return _plain(column) in SPELLINGS


def _plain(name: str) -> str:
    return re.sub(r"[\W_]+", "", name).lower()


SPELLINGS = frozenset(_plain(name) for column in TABLE_COLUMNS for name in (column.name, *column.spellings))
PATH_SPELLINGS = next((column.name, *column.spellings) for column in TABLE_COLUMNS if column.name == "path")
"""What a table's column of files may be called."""
