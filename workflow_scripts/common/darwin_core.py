"""A Darwin Core Archive's `meta.xml` (Darwin Core text guidelines, http://rs.tdwg.org/dwc/terms/guides/text/).

python-dwca-reader is not used: it takes one file of a section where the standard allows several (iNaturalist has one
file of common names a language), and stops at a section whose id is left out or written otherwise.
"""

import codecs
from dataclasses import dataclass
from pathlib import PurePosixPath
from xml.etree import ElementTree

from workflow_scripts.common.delimited import Form
from workflow_scripts.common.errors import InputError

META = "meta.xml"
ESCAPES = {"\\t": "\t", "\\n": "\n", "\\r": "\r", "\\\\": "\\"}
MOST_BYTES = 1 << 24


@dataclass(frozen=True)
class Field:
    """A term of a section: its last part, its column, the value of rows that have none."""

    term: str
    index: int | None
    default: str | None


@dataclass(frozen=True)
class Section:
    """The core, or an extension.

    Attributes:
        kind: the last part of its row type in lower case ("taxon", "occurrence", "vernacularname").
        files: the names of its files, without folders.
        form: how they are written.
        id_index: the column of the row's id, or of the core row's that an extension's row belongs to.
        fields: its terms.
    """

    kind: str
    files: tuple[str, ...]
    form: Form
    id_index: int | None
    fields: tuple[Field, ...]


def read_meta(text: bytes, place: str) -> list[Section]:
    """The sections of a `meta.xml`, the core first.

    Args:
        text: the file's content.
        place: what messages call it.

    Raises:
        InputError: it is no such file.
    """
    if len(text) > MOST_BYTES or b"<!ENTITY" in text:
        raise InputError(f"{place}: too large, or with entities of its own; write meta.xml again")
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise InputError(f"{place}: not XML ({error}); write meta.xml again") from None
    found = [element for element in root.iter() if local(element.tag).lower() in ("core", "extension")]
    sections = [_section(element, place) for element in sorted(found, key=lambda one: local(one.tag) != "core")]
    if not sections:
        raise InputError(f"{place}: describes no core file; give a Darwin Core Archive")
    return sections


def local(name: str) -> str:
    """The last part of a term or tag, without its namespace."""
    return name.strip().rstrip("/").replace("}", "/").replace("#", "/").replace(":", "/").rpartition("/")[2]


def _section(element: ElementTree.Element, place: str) -> Section:
    children = {name: [one for one in element if local(one.tag).lower() == name] for name in ("id", "coreid", "field")}
    locations = [one.text or "" for one in element.iter() if local(one.tag).lower() == "location"]
    files = tuple(PurePosixPath(name.strip().replace("\\", "/")).name for name in locations if name.strip())
    if not files:
        raise InputError(f"{place}: a section names no file; add its location")
    ids = [index for one in (*children["id"], *children["coreid"]) if (index := _index(one, place)) is not None]
    return Section(
        kind=local(element.get("rowType", "")).lower(),
        files=files,
        form=Form(
            delimiter=_delimiter(element, place),
            quote=_text(element.get("fieldsEnclosedBy"), '"')[:1],
            encoding=_encoding(element.get("encoding") or "utf-8", place),
            header_lines=_number(element.get("ignoreHeaderLines") or "0", place),
        ),
        id_index=next(iter(ids), None),
        fields=tuple(
            Field(local(term), _index(one, place), one.get("default"))
            for one in children["field"]
            if (term := one.get("term"))
        ),
    )


def _delimiter(element: ElementTree.Element, place: str) -> str:
    """What stands between two values.

    Raises:
        InputError: rows end with something else than a line break.
    """
    ends = _text(element.get("linesTerminatedBy"), "\n")
    if ends.strip():
        raise InputError(
            f"{place}: linesTerminatedBy is {ends!r}; write the file with a row on each line, and linesTerminatedBy "
            '"\\n"'
        )
    # XML reads a tab that is not written as a reference as a blank.
    written = _text(element.get("fieldsTerminatedBy") or None, ",")
    return "\t" if written == " " else written


def _encoding(name: str, place: str) -> str:
    try:
        "".encode(name.strip())
        return codecs.lookup(name.strip()).name
    except LookupError:
        raise InputError(f"{place}: encoding {name!r} is unknown; correct it, or write the file as UTF-8") from None


def _text(value: str | None, default: str) -> str:
    if value is None:
        return default
    for written, meant in ESCAPES.items():
        value = value.replace(written, meant)
    return value


def _index(element: ElementTree.Element, place: str) -> int | None:
    written = element.get("index")
    return None if not written else _number(written, place)


def _number(written: str, place: str) -> int:
    if not written.strip().isdecimal():
        raise InputError(f"{place}: {written!r} is no number of a column or line; correct it")
    return int(written)
