"""Read a Darwin Core Archive's `meta.xml` (Darwin Core text guidelines, http://rs.tdwg.org/dwc/terms/guides/text/).

python-dwca-reader is not used: it reads only one file per section, although the standard allows several (iNaturalist
has one file of common names per language), and fails on sections without a plain id.
"""

import codecs
from dataclasses import dataclass
from pathlib import PurePosixPath
from xml.etree import ElementTree

from workflow_scripts.common.delimited import Form
from workflow_scripts.common.errors import InputError

META = "meta.xml"
ESCAPES = {"\\t": "\t", "\\n": "\n", "\\r": "\r", "\\\\": "\\"}
MAX_BYTES = 1 << 24


@dataclass(frozen=True)
class Field:
    """A term of a section: its name without namespace, its column, and the value for rows without one."""

    term: str
    index: int | None
    default: str | None


@dataclass(frozen=True)
class Section:
    """The core or an extension.

    Attributes:
        kind: row type without namespace, in lower case ("taxon", "occurrence", "vernacularname").
        files: names of its files, without folders.
        form: format of the files.
        id_index: column of the row's id or, in an extension, of the core row's id.
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
        place: name of the file, for messages.

    Raises:
        InputError: the file is not a valid `meta.xml`.
    """
    if len(text) > MAX_BYTES or b"<!ENTITY" in text:
        raise InputError(f"{place}: too large, or defines XML entities; replace meta.xml")
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise InputError(f"{place}: not valid XML ({error}); replace meta.xml") from None
    found = [element for element in root.iter() if local(element.tag).lower() in ("core", "extension")]
    sections = [_section(element, place) for element in sorted(found, key=lambda one: local(one.tag) != "core")]
    if not sections:
        raise InputError(f"{place}: has no core section; expected a Darwin Core Archive")
    return sections


def local(name: str) -> str:
    """A term or tag without its namespace."""
    return name.strip().rstrip("/").replace("}", "/").replace("#", "/").replace(":", "/").rpartition("/")[2]


def _section(element: ElementTree.Element, place: str) -> Section:
    children = {name: [one for one in element if local(one.tag).lower() == name] for name in ("id", "coreid", "field")}
    locations = [one.text or "" for one in element.iter() if local(one.tag).lower() == "location"]
    files = tuple(PurePosixPath(name.strip().replace("\\", "/")).name for name in locations if name.strip())
    if not files:
        raise InputError(f"{place}: a section has no file; add its location")
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
    """Separator of values.

    Raises:
        InputError: rows do not end with a line break.
    """
    ends = _text(element.get("linesTerminatedBy"), "\n")
    if ends.strip() and not set(ends) & {"\n", "\r"}:
        raise InputError(
            f'{place}: linesTerminatedBy is {ends!r}; write one row per line, and set linesTerminatedBy to "\\n"'
        )
    # XML turns a literal tab in an attribute into a space.
    written = _text(element.get("fieldsTerminatedBy") or None, ",")
    return "\t" if written == " " else written


def _encoding(name: str, place: str) -> str:
    try:
        "".encode(name.strip())
        return codecs.lookup(name.strip()).name
    except LookupError:
        raise InputError(f"{place}: unknown encoding {name!r}; correct it, or convert the file to UTF-8") from None


def _text(value: str | None, default: str) -> str:
    if value is None:
        return default
    for escape, character in ESCAPES.items():
        value = value.replace(escape, character)
    return value


def _index(element: ElementTree.Element, place: str) -> int | None:
    written = element.get("index")
    return None if not written else _number(written, place)


def _number(written: str, place: str) -> int:
    if not written.strip().isdecimal():
        raise InputError(f"{place}: expected the number of a column or line, found {written!r}")
    return int(written)
