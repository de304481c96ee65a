"""Candidate species for prediction: from a list, or from a corpus's training data."""

import codecs
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from workflow_scripts.common import tables
from workflow_scripts.common.captions import Taxon
from workflow_scripts.common.errors import InputError
from workflow_scripts.common.layout import Corpus
from workflow_scripts.common.species import species_in_batches
from workflow_scripts.common.table_columns import ACCEPTED_NAMES, NAMES, column_named, first_column, is_named
from workflow_scripts.common.table_files import header_of, open_table
from workflow_scripts.contracts import LABELS, RANKS, SEEN_SPECIES

BATCH = 65_536
# A character that no list of names contains.
NO_DELIMITER = "\x1f"
SEEN = "lower(concat_ws(' ', genus, species)) IN (SELECT species FROM seen)"


def read_species_list(path: Path) -> list[Taxon]:
    """Read a list of species, without duplicates.

    The list is a table with columns for ranks or `scientific_name`, and `common_name`, in any spelling that source
    tables may use; or a `.txt` file with one scientific name per line, in which lines that start with `#` are comments.

    Raises:
        InputError: the file is missing, is not a table, or contains no names.
    """
    with tempfile.TemporaryDirectory(prefix="species-") as scratch, tables.connect() as connection:
        text = path if path.suffix != ".txt" else _without_comments(path, Path(scratch))
        # Names with authors contain commas.
        is_plain = path.suffix == ".txt" and not any(map(is_named, header_of(text)))
        form = {"delimiter": NO_DELIMITER, "quote": ""} if is_plain else {}
        try:
            source = open_table(connection, text, "species", Path(scratch), **form)
        except InputError as error:
            raise InputError(str(error).replace(str(text), str(path))) from None
        columns = [row[0] for row in connection.execute(f"DESCRIBE SELECT * FROM {source}").fetchall()]
        spelt = {name: first_column(columns, ACCEPTED_NAMES[name]) for name in (*NAMES, "common")}
        named = {name: column for name, column in spelt.items() if column is not None}
        # In a benchmark's label file `class` is the label and `cls` the rank.
        if rank := column_named(columns, "cls"):
            named["class"] = rank
        header = []
        if not named and path.suffix == ".txt" and len(columns) == 1:
            named, header = {"scientific_name": columns[0]}, columns
        if not named:
            raise InputError(
                f"{path}: no column of names; expected columns such as genus, species and common_name, or "
                f"scientific_name; found {', '.join(columns)}"
            )
        selected = ", ".join(f"CAST({tables.quoted(column)} AS VARCHAR)" for column in named.values())
        rows = [header, *connection.execute(f"SELECT {selected} FROM {source}").fetchall()]
    found = list(dict.fromkeys(_taxa([dict(zip(named, row, strict=False)) for row in rows])))
    if not found:
        raise InputError(f"{path}: no names found; the columns {', '.join(named.values())} are empty")
    return found


def _without_comments(path: Path, scratch: Path) -> Path:
    """Copy a text file without comments and empty lines.

    Raises:
        InputError: the file cannot be read, or no line is left.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from None
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return path
    lines = data.removeprefix(codecs.BOM_UTF8).splitlines()
    # A line with `#` and a tab is a table's header, not a comment.
    kept = [line for line in lines if line.strip() and (not line.lstrip().startswith(b"#") or b"\t" in line)]
    if not kept:
        raise InputError(f"{path}: no names found; write one scientific name on each line")
    copy = scratch / path.name
    copy.write_bytes(b"".join(line + b"\n" for line in kept))
    return copy


def _taxa(rows: Sequence[Mapping[str, str | None]]) -> Iterator[Taxon]:
    for row in rows:
        *higher, epithet = (" ".join((row.get(rank) or "").split()) for rank in RANKS)
        name = " ".join((row.get("scientific_name") or "").split())
        # Lists often have the complete binomial in the species column, or nothing but the binomial.
        binomial = (epithet or name).split()
        if len(binomial) == 2 and binomial[0].istitle() and higher[-1] in ("", binomial[0]):
            higher[-1], epithet, name = *binomial, ""
        elif epithet:
            name = ""
        ranks = (*higher, epithet.removeprefix(f"{higher[-1]} ").lower())
        if any(ranks) or name:
            yield Taxon(ranks, scientific_name=name, common_name=" ".join((row.get("common") or "").split()))


def trained_on(corpus: Path) -> list[Taxon]:
    """The species in a corpus's training data.

    Raises:
        InputError: the corpus's labels or list of seen species are missing, or the list is empty.
    """
    files = Corpus(str(corpus))
    with tables.connect() as connection:
        tables.read(connection, Path(files.seen_species()), SEEN_SPECIES, "seen")
        tables.read(connection, Path(files.labels()), LABELS, "labels", only=SEEN)
        found = [taxon for batch in species_in_batches(connection, BATCH) for taxon in batch]
    if not found:
        raise InputError(f"{corpus}: its training data has no species")
    return found
