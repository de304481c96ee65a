"""Index a classification benchmark in the papers' common layout: a table of labels and a folder of images.

As published with BioCLIP and BioCLIP 2, the table is a CSV with an index column, `filepath` (relative to the folder),
`class` (missing for camera traps) and, if known, kingdom, phylum, `cls` for the rank class, order, family, genus,
species (the epithet), subspecies and common_name. Tables from elsewhere may use other names for these.
"""

import unicodedata
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from workflow_scripts.common.accounts import GUESSED_ENCODING, SHARED_NAMES
from workflow_scripts.common.cli import run
from workflow_scripts.common.config.evaluate import ClassText, CsvBenchmark, LabelledFolder
from workflow_scripts.common.errors import InputError
from workflow_scripts.common.image_lists import PATH_COLUMNS
from workflow_scripts.common.table_columns import ACCEPTED_NAMES, column_named, first_column
from workflow_scripts.common.tables import literal, quoted
from workflow_scripts.contracts import RANKS
from workflow_scripts.evaluate.binomials import genus_and_epithet
from workflow_scripts.evaluate.csv.texts import name_of_type
from workflow_scripts.evaluate.image_folder import ImageFolder
from workflow_scripts.evaluate.indexing import Labelled, index_images
from workflow_scripts.evaluate.label_files import LabelTable, check_folder, has_guessed_encoding, open_labels

# Names of the column of labels, in order of preference.
LABELS = ("class", "label", "labels", "class_name", "category")
# A table with one of these ranks has the rank class in `class`, unless it has `cls`.
AROUND_CLASS = ("kingdom", "phylum", "order", "family")
# Cells that pandas, and with it the published code, reads as empty.
EMPTY = frozenset(
    {"", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A", "NA"}
    | {"NULL", "NaN", "None", "n/a", "nan", "null"}
)


@dataclass(frozen=True)
class LabelColumns:
    """Names of a table's columns, None if it has none.

    Attributes:
        image: path of the image.
        label: class, verbatim.
        ranks: names at each rank; the last one is the epithet or a complete name.
        subspecies: infraspecific epithet.
        name: scientific name, for tables without genus and species.
        common_name: common name.
        split: split.
    """

    image: str
    label: str | None
    ranks: Mapping[str, str | None]
    subspecies: str | None
    name: str | None
    common_name: str | None
    split: str | None


def index_csv(*, name: str, settings: CsvBenchmark, out: Path, account: Path, jobs: int = 2) -> None:
    """Write the images table of a CSV benchmark.

    Args:
        name: the benchmark's name.
        settings: the benchmark's settings: `labels` is the table, `images` the folder, which is not modified.
        out: the images table to write.
        account: the account to write: rows in and out, and which images are missing or unreadable.
        jobs: threads that decode and hash; the number does not affect the output.

    Raises:
        InputError: the label file is not a table or lacks a column, a row is incomplete or its path leaves the folder,
            or there is no usable image.
    """
    check_folder(Path(settings.images), f"benchmarks.{name}.images")
    doubtful: dict[str, list[str]] = {}
    rows = read_labels(settings, settings.text_types, doubtful)
    index_images(
        rows,
        benchmark=name,
        out=out,
        account=account,
        jobs=jobs,
        doubtful=doubtful,
        names="prompts" if "asis" in settings.text_types else "labels",
        remedy=""
        if settings.find == "name"
        else f"; correct benchmarks.{name}.images, or set benchmarks.{name}.find: name",
    )


def read_labels(
    given: LabelledFolder, text_types: Sequence[ClassText] = ("asis",), doubtful: dict[str, list[str]] | None = None
) -> Iterator[Labelled]:
    """Yield the rows of a table of labels, in order.

    An image without `class` gets the name written by the first text type as its class, as in the published code.

    Args:
        given: the table and the folder of its images.
        text_types: the text types that the benchmark uses.
        doubtful: gets examples of what a person should check, by note.

    Raises:
        InputError: the file is missing, is not a table, lacks a column or has a bad row; the message names file and
            row.
    """
    images = ImageFolder(Path(given.images), by_name=given.find == "name")
    labels_of: dict[str, set[str]] = defaultdict(set)
    # Published class names are used as they are written, but one with a blank more is no other class.
    written: dict[str, str] = {}
    with open_labels(Path(given.labels)) as table:
        if doubtful is not None and has_guessed_encoding(table.path):
            doubtful.setdefault(GUESSED_ENCODING, []).append(given.labels)
        columns = _columns_of(table, text_types)
        for position, (where, row) in enumerate(table.rows()):
            named = _names_of(row, columns)
            label = _cell(row, columns.label)
            if columns.label and label:
                label = written.setdefault(label, row[columns.label])
            if "asis" not in text_types:
                name = name_of_type(named, text_types[0])
                label = label or name
                if name:
                    labels_of[name].add(label)
            if not label:
                why = (
                    f"{columns.label} is empty{_read_as_empty(row, columns.label)}"
                    if "asis" in text_types
                    else f"no name of text type {text_types[0]}; fill in the row's ranks"
                )
                raise InputError(f"{where}: {why}")
            yield Labelled(
                position=position,
                image=row[columns.image],
                path=images.find(row[columns.image], where),
                span=None,
                label=label,
                ranks={rank: named[f"taxon_{rank}"] for rank in RANKS},
                common_name=named["common_name"],
                split=_cell(row, columns.split) or None,
            )
    shared = [f"{name} ({', '.join(sorted(labels))})" for name, labels in labels_of.items() if len(labels) > 1]
    if doubtful is not None and shared:
        doubtful.setdefault(SHARED_NAMES, []).extend(shared)


def _columns_of(table: LabelTable, text_types: Sequence[ClassText]) -> LabelColumns:
    """The columns of a table of labels.

    Raises:
        InputError: a column that the text types need is missing, or a column is there twice.
    """
    found = table.columns
    ranks = {rank: first_column(found, ACCEPTED_NAMES[rank]) for rank in RANKS} | {"class": column_named(found, "cls")}
    # A column of labels is a name only if the text types need one.
    names = [name for name in ACCEPTED_NAMES["scientific_name"] if "asis" not in text_types or name not in LABELS]
    name = None if ranks["genus"] or ranks["species"] else _worded(table, names)
    common_name = first_column(found, ACCEPTED_NAMES["common"])
    image = column_named(found, "filepath") or first_column(found, (*PATH_COLUMNS, "image_id"))
    label = column_named(found, "class")
    rank = label if label and _is_rank(table, label, ranks, (common_name, name)) else None
    if "asis" in text_types:
        label = _worded(table, LABELS, besides=rank) or first_column([c for c in found if c != rank], LABELS)
        if rank and label is None:
            raise InputError(
                f"{table.path}: column {rank} is the rank, beside {', '.join(filter(None, ranks.values()))}; set "
                "text_type: taxon_com, or call the column of labels `label`"
            )
    elif rank:
        label = None
    ranks["class"] = ranks["class"] or rank
    name = name if name != label else None
    missing = [] if image else ["filepath"]
    if "asis" in text_types and label is None:
        missing.append("class (or set text_type: sci, to name classes by genus and species)")
    built = {*text_types} - {"asis"}
    if built and not any([*ranks.values(), name, common_name if built == {"com"} else None]):
        missing.append(f"genus and species (or other ranks), required by text_type {' and '.join(sorted(built))}")
    if image is None or missing:
        has = ", ".join(found)
        raise InputError(f"{table.path}: missing column {', '.join(missing)}; found {has}; rename columns to these")
    columns = LabelColumns(
        image, label, ranks, column_named(found, "subspecies"), name, common_name, column_named(found, "split")
    )
    used = [image, label, *ranks.values(), name, common_name]
    # A column that is there twice is read under a numbered name.
    if twice := [column for column in used if column and f"{column}_1" in found]:
        raise InputError(f"{table.path}: duplicate column {', '.join(twice)}; rename or delete one")
    return columns


def _worded(table: LabelTable, names: Sequence[str], besides: str | None = None) -> str | None:
    """The first column of these names with values other than numbers, which say nothing in a prompt."""
    several = [column for name in names if (column := column_named(table.columns, name)) not in (None, besides)]
    words = "count(*) = 0 OR bool_or(trim({0}) <> '' AND try_cast({0} AS DOUBLE) IS NULL)"
    return next((one for one in several if table.holds(words.format(f"CAST({quoted(one)} AS VARCHAR)"))), None)


def _is_rank(table: LabelTable, column: str, ranks: Mapping[str, str | None], others: Sequence[str | None]) -> bool:
    """Whether `class` is the rank: other ranks are beside it, and its values are coarser and mostly not the same.

    Args:
        table: the table.
        column: its column `class`.
        ranks: its columns of ranks.
        others: its other columns of names.
    """
    if ranks["class"] or not any(ranks[rank] for rank in AROUND_CLASS):
        return False
    empty = ", ".join(map(literal, sorted(EMPTY)))

    def plain(name: str | None) -> str:
        if name is None:
            return "NULL"
        text = f"CAST({quoted(name)} AS VARCHAR)"
        return f"CASE WHEN {text} NOT IN ({empty}) THEN lower(replace({text}, '_', ' ')) END"

    label, genus = plain(column), plain(ranks["genus"])
    names = ", ".join(map(plain, filter(None, (*ranks.values(), *others))))
    lower = plain(next((ranks[rank] for rank in ("order", "family", "genus") if ranks[rank]), None))
    # Words such as "unknown" may be in all columns of a few rows.
    return not table.holds(
        f"count(*) = 0"
        f" OR 2 * count_if(list_contains([{names}], {label}) OR starts_with({label}, {genus} || ' ')) > count({label})"
        f" OR count(DISTINCT {label}) FILTER ({lower} IS NOT NULL) > count(DISTINCT {lower})"
    )


def _names_of(row: Mapping[str, str], columns: LabelColumns) -> dict[str, str | None]:
    """A row's ranks as `taxon_RANK` and its common name."""
    ranks = {rank: _cell(row, column) for rank, column in columns.ranks.items()}
    genus, species = genus_and_epithet(ranks["genus"], ranks["species"])
    if name := _cell(row, columns.name):
        # A single word is the name of a genus, or of a higher rank that is not known.
        genus, species = genus_and_epithet("", name) if " " in name else (name, "")
    subspecies = _cell(row, columns.subspecies).rpartition(" ")[2]
    if subspecies and not species.endswith(f" {subspecies}"):
        species = f"{species} {subspecies}".lstrip()
    ranks |= {"genus": genus, "species": species}
    named = {f"taxon_{rank}": name or None for rank, name in ranks.items()}
    return named | {"common_name": _cell(row, columns.common_name) or None}


def _read_as_empty(row: Mapping[str, str], column: str | None) -> str:
    written = row[column] if column else ""
    return f": {written!r} is read as empty, as in the published code" if written else ""


def _cell(row: Mapping[str, str], column: str | None) -> str:
    """A cell in composed letters and single spaces, so that equal names are equal; "" if it is empty."""
    text = " ".join(row[column].split()) if column else ""
    return "" if text in EMPTY else unicodedata.normalize("NFC", text)


if __name__ == "__main__":
    run(index_csv)
