"""A lab's photos, as a folder for each species or as a table: what is there, and what is odd about it."""

import hashlib
import re
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path, PurePosixPath

import duckdb
import pyarrow as pa

from workflow_scripts.common.class_folders import SORTING, files_by_folder, is_image, is_text, organism_of
from workflow_scripts.common.errors import InputError
from workflow_scripts.common.images import UnreadableImage, decode, read_size
from workflow_scripts.common.names import define_names
from workflow_scripts.common.progress import Progress
from workflow_scripts.common.table_columns import NAMES, match_columns
from workflow_scripts.common.table_files import open_table
from workflow_scripts.common.tables import literal, quoted, scalar

GENUS = re.compile(r"[A-Z][a-z-]{2,}")
EPITHET = re.compile(r"[a-z][a-z-]{2,}")
KINDS = {
    "unranked": "of one word, whose rank nothing says: without a backbone the photos are lost unless a table has the "
    "name in a column of its rank (genus, family, ...)",
    "unknown": "that say no name: without a backbone the photos are lost",
    "open": "not identified to a species, taken as far as they go",
    "recased": "not written like a binomial (Genus epithet), taken as if they were",
    "whole": "not written like a binomial (Genus epithet), kept whole as what the class is called",
}
"""What is odd about names that are no species', by their kind in `names.sql`."""
TEST = ("test", "testing")
"""Folders, or values of a column `split`, whose photos a person keeps for testing."""
BATCH_ROWS = 10_000
SHOWN = 5
SCHEMA = pa.schema(
    [("place", pa.string()), ("name", pa.string()), ("individual", pa.string()), ("is_test", pa.bool_())]
)


@dataclass
class Collection:
    """Photos in the DuckDB table `photos` (place, name, individual, is_test), and what was noticed on the way.

    Attributes:
        connection: where the table is. `place` is an address, or a path from `images`.
        images: the folder that paths start from.
        columns: of a table: our column names, and its names for them.
        unused: of a table: the columns that are not ours.
        unreadable: how many of the photos that were opened cannot be read.
        reinterpreted: whether names are not those of the folders that hold the photos.
        odd: what is odd, a sentence each.
        kinds: what `kind_of` found.
    """

    connection: duckdb.DuckDBPyConnection
    images: Path
    columns: Mapping[str, str] = field(default_factory=dict)
    unused: Sequence[str] = ()
    unreadable: int = 0
    reinterpreted: bool = False
    odd: list[str] = field(default_factory=list)
    kinds: dict[str, str] = field(default_factory=dict)

    @property
    def is_table(self) -> bool:
        """Whether a table names the photos, not folders."""
        return bool(self.columns)

    @property
    def has_ranks(self) -> bool:
        """Whether a table names the ranks themselves, so that a name need not say its own."""
        return any(rank in self.columns for rank in NAMES[:6])

    @property
    def has_crops(self) -> bool:
        """Whether a table's rows are crops of photos."""
        return all(side in self.columns for side in ("x", "y", "width", "height"))

    def count(self, condition: str = "true") -> int:
        """How many photos satisfy an SQL condition."""
        return int(scalar(self.connection, f"SELECT count(*) FROM photos WHERE {condition}"))

    def species(self) -> dict[str, int]:
        """Each name with its number of photos, the most first."""
        rows = self.connection.execute("SELECT name, count(*) FROM photos GROUP BY name ORDER BY count(*) DESC, name")
        return dict(rows.fetchall())

    def kind_of(self, name: str) -> str:
        """How a name is written, by `names.sql`: how it is taken where no backbone is asked."""
        if name not in self.kinds:
            self.kinds[name] = scalar(self.connection, f"SELECT kind_of_name({literal(name)})")
        return self.kinds[name]

    def same_species(self) -> dict[str, list[str]]:
        """Binomials, and the names that are taken as each where they are several."""
        kinds = "kind_of_name(written) IN ('species', 'recased')"
        self.connection.execute(
            f"CREATE OR REPLACE TEMP TABLE asked AS SELECT DISTINCT name AS written FROM photos WHERE {kinds}"
        )
        rows = self.connection.execute(
            "SELECT word || ' ' || epithet AS one, list(written ORDER BY written) FROM name_parts('asked') "
            "GROUP BY one HAVING count(*) > 1 ORDER BY one"
        )
        return dict(rows.fetchall())

    def local_places(self, most: int) -> list[tuple[str, str]]:
        """Paths and names of at most so many local photos, evenly spaced among all of them."""
        if not most:
            return []
        every = max(1, -(-self.count(LOCAL) // most))
        query = f"SELECT place, name, row_number() OVER (ORDER BY place) AS number FROM photos WHERE {LOCAL}"
        rows = self.connection.execute(f"SELECT place, name FROM ({query}) WHERE number % {every} = 0 ORDER BY place")
        return [(str(place), str(name)) for place, name in rows.fetchall()]


LOCAL = "NOT regexp_matches(place, '^https?://', 'i')"


def read_folder(connection: duckdb.DuckDBPyConnection, images: Path) -> Collection:
    """The photos of a folder with a folder for each species, at any depth.

    A folder of an epithet within one of its genus is both; a folder within a species' own is an individual or a place.

    Raises:
        InputError: no folder in it holds an image.
    """
    found = Collection(connection, images)
    _create(connection)
    strange: dict[str, list[str]] = defaultdict(list)
    rows = _folder_rows(images, found, strange)
    while some := list(islice(rows, BATCH_ROWS)):
        connection.register("batch", pa.Table.from_pylist(some, SCHEMA))
        connection.execute("INSERT INTO photos SELECT * FROM batch")
        connection.unregister("batch")
    for what, paths in strange.items():
        found.odd.append(f"{count(len(paths), 'file')} {what}: {shown(paths)}")
    if not found.count():
        raise InputError(f"{images}: no folder in it holds an image; give the folder above the species' folders")
    if not found.count("NOT is_test"):
        # Somebody's folder `test` alone: all of it is the collection.
        connection.execute("UPDATE photos SET is_test = false")
    return found


def _folder_rows(images: Path, found: Collection, strange: dict[str, list[str]]) -> Iterator[dict[str, str | bool]]:
    for path, folder in files_by_folder(images):
        if not is_text(path):
            strange["with a name that is not UTF-8, left out; rename them"].append(ascii(path))
        elif not is_image(path):
            strange["not named like images, left out"].append(path)
        elif not folder:
            strange["in no species' folder, left out"].append(path)
        else:
            name, inner = _meant(path, found)
            found.reinterpreted |= name != organism_of(folder)
            yield {
                "place": path,
                "name": name,
                "individual": str(PurePosixPath(path).parent) if inner else path,
                "is_test": PurePosixPath(path).parts[0].lower() in TEST,
            }


def _meant(path: str, found: Collection) -> tuple[str, int]:
    """The name that the folders around a photo write, and how many folders below those it lies in.

    That is the deepest binomial, written by one folder or by two, or else what the deepest folder writes.
    """
    names = [organism_of(part) for part in PurePosixPath(path).parent.parts if part.lower() not in SORTING]
    for inner, name in enumerate(reversed(names)):
        if found.kind_of(name) == "species":
            return name, inner
        above = names[: len(names) - 1 - inner][-1:]
        if above and EPITHET.fullmatch(name) and GENUS.fullmatch(above[0]):
            return f"{above[0]} {name}", inner
    return names[-1], 0


def read_table(
    connection: duckdb.DuckDBPyConnection, table: Path, columns: Mapping[str, str], images: Path
) -> Collection:
    """The photos that a table names.

    Args:
        connection: a DuckDB connection.
        table: delimited text, an Excel workbook, or parquet.
        columns: our column names, and the table's where they differ.
        images: the folder that its paths start from.

    Raises:
        InputError: the table is unreadable, has no column of places or of names, or no row with both.
    """
    _create(connection)
    with tempfile.TemporaryDirectory(prefix="table-") as scratch:
        source = open_table(connection, table, "given", Path(scratch))
        names = [str(row[0]) for row in connection.execute(f"DESCRIBE SELECT * FROM {source}").fetchall()]
        ours = match_columns(names, columns, str(table), "--columns")
        unused = [name for name in names if name not in ours.values()]
        split = next((name for name in unused if name.lower() == "split"), None)
        found = Collection(connection, images, ours, [name for name in unused if name != split])
        # Windows writes `\\`; the catalog reads it so too.
        place = f"coalesce(replace({_text(ours.get('path'))}, '\\', '/'), {_text(ours.get('url'))})"
        individual = f"coalesce({_text(ours.get('occurrence_id'))}, {place})"
        is_test = f"coalesce(lower({_text(split)}) IN {TEST}, false)"
        connection.execute(
            f"INSERT INTO photos SELECT {place}, {_name_of(ours)}, {individual}, {is_test} FROM {source}"
        )
    for what, condition in {
        "no file or address": "place IS NULL",
        "no name": "place IS NOT NULL AND name IS NULL",
    }.items():
        if without := found.count(condition):
            found.odd.append(f"{count(without, 'row')} with {what}, left out")
    connection.execute("DELETE FROM photos WHERE place IS NULL OR name IS NULL")
    if not found.count():
        raise InputError(f"{table}: no row has both a file or address and a name")
    folder = str(images.absolute())
    connection.execute(
        f"UPDATE photos SET place = substr(place, ?) WHERE {LOCAL} AND starts_with(place, ?)",
        [len(folder) + 2, f"{folder}/"],
    )
    if not found.has_crops and (
        repeated := found.count() - int(scalar(connection, "SELECT count(DISTINCT place) FROM photos"))
    ):
        found.odd.append(f"{count(repeated, 'row')} with a file or address that another row has")
    return found


def _text(column: str | None) -> str:
    return "NULL" if column is None else f"nullif(trim(CAST({quoted(column)} AS VARCHAR)), '')"


def _name_of(ours: Mapping[str, str]) -> str:
    """SQL: a row's name as a person would write it, from the columns that it has."""
    genus, species = _text(ours.get("genus")), _text(ours.get("species"))
    binomial = f"CASE WHEN contains({species}, ' ') THEN {species} ELSE {genus} || ' ' || {species} END"
    higher = [_text(ours.get(rank)) for rank in reversed(NAMES[:6])]
    return f"coalesce({_text(ours.get('scientific_name'))}, {binomial}, {', '.join(higher)})"


def note_names(found: Collection) -> None:
    """Add what is odd about the names: no binomials, rare ones, several spellings of one."""
    species = found.species()
    if not found.has_ranks:
        kinds: dict[str, list[str]] = defaultdict(list)
        for name in species:
            kinds[found.kind_of(name)].append(name)
        for kind, meaning in KINDS.items():
            if kinds[kind]:
                found.odd.append(f"{count(len(kinds[kind]), 'name')} {meaning}: {shown(kinds[kind])}")
        for one, names in found.same_species().items():
            found.odd.append(f"{count(len(names), 'name')} taken as one species, {one}: {shown(names)}")
    spellings: dict[str, list[str]] = defaultdict(list)
    for name in species:
        spellings[" ".join(re.sub(r"[\W_]+", " ", name).casefold().split())].append(name)
    for alike in map(sorted, spellings.values()):
        if len(alike) > 1:
            found.odd.append(
                f"one name in {len(alike)} spellings, which a test takes for different ones: {shown(alike)}"
            )
    if single := [name for name, photos in species.items() if photos == 1]:
        found.odd.append(
            f"{len(single)} species with one photo, which teaches little and tests nothing: {shown(single)}"
        )


def check_photos(found: Collection, most: int, min_size: int) -> int:
    """Decode local photos and add what is odd about them; how many were decoded.

    Args:
        found: the collection.
        most: how many at most, evenly spaced.
        min_size: shorter side below which the recipe leaves a photo out, pixels.
    """
    places = found.local_places(most)
    unreadable: dict[str, list[str]] = defaultdict(list)
    small: list[str] = []
    names_of: dict[str, set[str]] = defaultdict(set)
    copies: Counter[str] = Counter()
    with Progress("looking at photos", len(places), "photos") as progress:
        for place, name in places:
            progress.update()
            try:
                data = (found.images / place).read_bytes()
                size = read_size(data)
                decode(data, at_least=1)
            except OSError as error:
                unreadable[str(error.strerror)].append(place)
                continue
            except UnreadableImage as error:
                unreadable[str(error)].append(place)
                continue
            if min(size) < min_size:
                small.append(place)
            digest = hashlib.md5(data, usedforsecurity=False).hexdigest()
            names_of[digest].add(name)
            copies[digest] += 1
    found.unreadable = sum(map(len, unreadable.values()))
    for why, paths in unreadable.items():
        found.odd.append(f"{count(len(paths), 'photo')} unreadable ({why}): {shown(paths)}")
    if small:
        found.odd.append(
            f"{count(len(small), 'photo')} smaller than {min_size} pixels (curate.min_size), left out: {shown(small)}"
        )
    if several := [sorted(names) for names in names_of.values() if len(names) > 1]:
        pairs = [" = ".join(names) for names in several]
        found.odd.append(f"{count(len(several), 'photo')} under several names: {shown(pairs)}")
    if twice := sum(copies.values()) - len(copies):
        found.odd.append(f"{count(twice, 'photo')} there more than once, byte for byte; one of each is kept")
    return len(places)


def hold_out(found: Collection, share: float, least: int) -> int:
    """Choose local photos to test on, a share of each name's individuals, unless a person has; how many there are.

    Args:
        found: the collection.
        share: share of a name's individuals.
        least: photos that a name must have.
    """
    if found.has_crops:
        found.odd.append("rows are crops of photos, of which none is kept for testing; give a benchmark of your own")
        return 0
    if not found.count("is_test") and share > 0:
        found.connection.execute(
            f"""UPDATE photos SET is_test = true FROM (
                SELECT name, individual,
                    row_number() OVER (PARTITION BY name ORDER BY md5(individual), individual) AS place_in_name,
                    count(*) OVER (PARTITION BY name) AS individuals,
                    sum(photos) OVER (PARTITION BY name) AS photos
                FROM (SELECT name, individual, count(*) AS photos FROM photos WHERE {LOCAL} GROUP BY ALL)
            ) AS drawn
            WHERE photos.name = drawn.name AND photos.individual = drawn.individual
                AND individuals > 1 AND drawn.photos >= {least}
                AND place_in_name <= greatest(1, round(individuals * {share}))"""
        )
    found.connection.execute(f"UPDATE photos SET is_test = false WHERE NOT ({LOCAL}) OR starts_with(place, '/')")
    return found.count("is_test")


def count(number: int, what: str) -> str:
    """A number with its noun."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def shown(names: Sequence[str]) -> str:
    """The first few of many names."""
    more = f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def _create(connection: duckdb.DuckDBPyConnection) -> None:
    define_names(connection)
    connection.execute("CREATE OR REPLACE TABLE photos (place VARCHAR, name VARCHAR, individual VARCHAR, is_test BOOL)")
