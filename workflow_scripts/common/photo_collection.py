"""Read a lab's photos, from one folder per species or from a table, and find problems in them."""

import hashlib
import re
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path, PurePosixPath

import duckdb
import pyarrow as pa

from workflow_scripts.common.class_folders import (
    files_by_folder,
    folders_below,
    is_image,
    is_text,
    organism_in_path,
    organism_of,
)
from workflow_scripts.common.errors import InputError
from workflow_scripts.common.images import UnreadableImage, decode, read_size
from workflow_scripts.common.names import define_names
from workflow_scripts.common.progress import Progress
from workflow_scripts.common.table_columns import NAMES, match_columns
from workflow_scripts.common.table_files import open_table
from workflow_scripts.common.tables import quoted, scalar

KINDS = {
    "unranked": "of one word and unknown rank (without a backbone, such photos are lost unless a table has the name in "
    "a rank column: genus, family, ...)",
    "unknown": "without a taxon (without a backbone, such photos are lost)",
    "open": "not identified to species, used at the rank given",
    "recased": "not written like a binomial (Genus epithet), read as a binomial",
    "whole": "not written like a binomial (Genus epithet), used unchanged",
}
"""Description of names that are not species names, by their kind in `names.sql`, for any number of them."""
LOST = ("unranked", "unknown")
"""Kinds of names that have no taxon without a backbone, so that curation loses their photos."""
TEST = ("test", "testing")
"""Names of folders, or values of the column `split`, that mark test photos."""
BATCH_ROWS = 10_000
SHOWN = 5
SCHEMA = pa.schema(
    [("place", pa.string()), ("name", pa.string()), ("individual", pa.string()), ("is_test", pa.bool_())]
)


@dataclass
class Collection:
    """Photos in the DuckDB table `photos` (place, name, individual, is_test), and the problems found in them.

    Attributes:
        connection: connection that has the table. `place` is a URL, or a path relative to `images`.
        images: the folder that paths are relative to.
        columns: our column names and the table's names for them; empty for a folder.
        unused: the table's other columns.
        unreadable: number of opened photos that are unreadable.
        reinterpreted: whether any name differs from that of the photo's own folder.
        problems: the problems found, one sentence each.
        kinds: cache of `kinds_of`.
    """

    connection: duckdb.DuckDBPyConnection
    images: Path
    columns: Mapping[str, str] = field(default_factory=dict)
    unused: Sequence[str] = ()
    unreadable: int = 0
    reinterpreted: bool = False
    problems: list[str] = field(default_factory=list)
    kinds: dict[str, str] = field(default_factory=dict)

    @property
    def is_table(self) -> bool:
        """Whether the photos are listed in a table."""
        return bool(self.columns)

    @property
    def has_ranks(self) -> bool:
        """Whether the table has rank columns, so that names of any rank are usable."""
        return any(rank in self.columns for rank in NAMES[:6])

    @property
    def has_crops(self) -> bool:
        """Whether the table's rows are crops of photos."""
        return all(side in self.columns for side in ("x", "y", "width", "height"))

    def count(self, condition: str = "true") -> int:
        """Number of photos that satisfy an SQL condition."""
        return int(scalar(self.connection, f"SELECT count(*) FROM photos WHERE {condition}"))

    def species(self) -> dict[str, int]:
        """Number of photos of each name, in descending order."""
        rows = self.connection.execute("SELECT name, count(*) FROM photos GROUP BY name ORDER BY count(*) DESC, name")
        return dict(rows.fetchall())

    def kinds_of(self, names: Iterable[str]) -> Mapping[str, str]:
        """Kinds of names by `names.sql`, which decide how they are read without a backbone; at least of these names."""
        # Parsing the query takes longer than examining a thousand names.
        if new := sorted(set(names) - self.kinds.keys()):
            query = "SELECT name, kind_of_name(name) FROM (SELECT unnest(?::VARCHAR[]) AS name)"
            self.kinds.update(self.connection.execute(query, [new]).fetchall())
        return self.kinds

    def lost_names(self) -> list[str]:
        """Names that have no taxon without a backbone, those with most photos first."""
        if self.has_ranks:
            return []
        species = self.species()
        kinds = self.kinds_of(species)
        return [name for name in species if kinds[name] in LOST]

    def lost_photos(self) -> dict[bool, tuple[int, int]]:
        """Numbers of photos with such names and of all photos, for local photos (True) and for URLs (False)."""
        query = f"SELECT {LOCAL} AS is_local, count(*) FILTER (list_contains(?::VARCHAR[], name)), count(*) FROM photos"
        rows = self.connection.execute(f"{query} GROUP BY is_local", [self.lost_names()]).fetchall()
        return {is_local: (lost, photos) for is_local, lost, photos in rows}

    def same_species(self) -> dict[str, list[str]]:
        """Binomials that several names are read as, with those names."""
        kinds = "kind_of_name(written) IN ('species', 'recased')"
        self.connection.execute(
            f"CREATE OR REPLACE TEMP TABLE written_names AS SELECT DISTINCT name AS written FROM photos WHERE {kinds}"
        )
        rows = self.connection.execute(
            "SELECT word || ' ' || epithet AS one, list(written ORDER BY written) FROM name_parts('written_names') "
            "GROUP BY one HAVING count(*) > 1 ORDER BY one"
        )
        return dict(rows.fetchall())

    def local_places(self, most: int) -> list[tuple[str, str]]:
        """Paths and names of at most `most` local photos, evenly spaced."""
        if not most:
            return []
        every = max(1, -(-self.count(LOCAL) // most))
        query = f"SELECT place, name, row_number() OVER (ORDER BY place) AS number FROM photos WHERE {LOCAL}"
        rows = self.connection.execute(f"SELECT place, name FROM ({query}) WHERE number % {every} = 0 ORDER BY place")
        return [(str(place), str(name)) for place, name in rows.fetchall()]


LOCAL = "NOT regexp_matches(place, '^https?://', 'i')"


def read_folder(connection: duckdb.DuckDBPyConnection, images: Path) -> Collection:
    """Read the photos of a folder that has one folder per species, at any depth.

    An epithet folder in a genus folder gives a binomial. A folder in a species folder is an individual or a place.

    Raises:
        InputError: no subfolder contains an image.
    """
    found = Collection(connection, images)
    _create(connection)
    left_out: dict[str, list[str]] = defaultdict(list)
    rows = _folder_rows(images, found, left_out)
    while some := list(islice(rows, BATCH_ROWS)):
        connection.register("batch", pa.Table.from_pylist(some, SCHEMA))
        connection.execute("INSERT INTO photos SELECT * FROM batch")
        connection.unregister("batch")
    for reason, paths in left_out.items():
        found.problems.append(f"{count(len(paths), 'file')} {reason}: {shown(paths)}")
    if not found.count():
        raise InputError(f"{images}: no subfolder contains an image; give the folder that contains the species folders")
    if not found.count("NOT is_test"):
        # If all photos are in `test`, the folder is the collection itself.
        connection.execute("UPDATE photos SET is_test = false")
    return found


def _folder_rows(images: Path, found: Collection, left_out: dict[str, list[str]]) -> Iterator[dict[str, str | bool]]:
    folders = (Path(folder).relative_to(images) for folder, _ in folders_below(images))
    kinds = found.kinds_of(organism_of(part) for folder in folders for part in folder.parts if is_text(part))
    for path, folder in files_by_folder(images):
        if not is_text(path):
            left_out["with a name that is not UTF-8 (left out; rename to include)"].append(ascii(path))
        elif not is_image(path):
            left_out["without an image suffix (left out)"].append(path)
        elif not folder:
            left_out["outside of a species folder (left out)"].append(path)
        else:
            name, inner = organism_in_path(path, lambda name: kinds[name] == "species")
            found.reinterpreted |= name != organism_of(folder)
            yield {
                "place": path,
                "name": name,
                "individual": str(PurePosixPath(path).parent) if inner else path,
                "is_test": PurePosixPath(path).parts[0].lower() in TEST,
            }


def read_table(
    connection: duckdb.DuckDBPyConnection, table: Path, columns: Mapping[str, str], images: Path
) -> Collection:
    """Read the photos that a table lists.

    Args:
        connection: a DuckDB connection.
        table: delimited text, an Excel workbook, or parquet.
        columns: our column names, with the table's name for each that differs.
        images: the folder that its paths are relative to.

    Raises:
        InputError: the table is unreadable, has no column of paths or URLs or of names, or no row with both.
    """
    _create(connection)
    with tempfile.TemporaryDirectory(prefix="table-") as scratch:
        source = open_table(connection, table, "given", Path(scratch))
        names = [str(row[0]) for row in connection.execute(f"DESCRIBE SELECT * FROM {source}").fetchall()]
        ours = match_columns(names, columns, str(table), "--columns")
        unused = [name for name in names if name not in ours.values()]
        split = next((name for name in unused if name.lower() == "split"), None)
        found = Collection(connection, images, ours, [name for name in unused if name != split])
        # Tables from Windows have `\\`, which the catalog reads in the same way.
        place = f"coalesce(replace({_text(ours.get('path'))}, '\\', '/'), {_text(ours.get('url'))})"
        individual = f"coalesce({_text(ours.get('occurrence_id'))}, {place})"
        is_test = f"coalesce(lower({_text(split)}) IN {TEST}, false)"
        connection.execute(
            f"INSERT INTO photos SELECT {place}, {_name_of(ours)}, {individual}, {is_test} FROM {source}"
        )
    for what, condition in {
        "no path or URL": "place IS NULL",
        "no name": "place IS NOT NULL AND name IS NULL",
    }.items():
        if without := found.count(condition):
            found.problems.append(f"{count(without, 'row')} with {what}, left out")
    connection.execute("DELETE FROM photos WHERE place IS NULL OR name IS NULL")
    if not found.count():
        raise InputError(f"{table}: no row has both a path or URL and a name")
    folder = str(images.absolute())
    connection.execute(
        f"UPDATE photos SET place = substr(place, ?) WHERE {LOCAL} AND starts_with(place, ?)",
        [len(folder) + 2, f"{folder}/"],
    )
    if not found.has_crops and (
        repeated := found.count() - int(scalar(connection, "SELECT count(DISTINCT place) FROM photos"))
    ):
        found.problems.append(f"{count(repeated, 'row')} with the same path or URL as another row")
    return found


def _text(column: str | None) -> str:
    return "NULL" if column is None else f"nullif(trim(CAST({quoted(column)} AS VARCHAR)), '')"


def _name_of(ours: Mapping[str, str]) -> str:
    """SQL for a row's name, from the name and rank columns that the table has."""
    genus, species = _text(ours.get("genus")), _text(ours.get("species"))
    binomial = f"CASE WHEN contains({species}, ' ') THEN {species} ELSE {genus} || ' ' || {species} END"
    higher = [_text(ours.get(rank)) for rank in reversed(NAMES[:6])]
    return f"coalesce({_text(ours.get('scientific_name'))}, {binomial}, {', '.join(higher)})"


def note_names(found: Collection) -> None:
    """Add the problems in names: names that are not binomials, single photos, several spellings of one name."""
    species = found.species()
    if not found.has_ranks:
        kinds: dict[str, list[str]] = defaultdict(list)
        kind_of = found.kinds_of(species)
        for name in species:
            kinds[kind_of[name]].append(name)
        for kind, meaning in KINDS.items():
            if kinds[kind]:
                found.problems.append(f"{count(len(kinds[kind]), 'name')} {meaning}: {shown(kinds[kind])}")
        for one, names in found.same_species().items():
            found.problems.append(f"{count(len(names), 'name')} read as one species, {one}: {shown(names)}")
    spellings: dict[str, list[str]] = defaultdict(list)
    for name in species:
        spellings[" ".join(re.sub(r"[\W_]+", " ", name).casefold().split())].append(name)
    for alike in map(sorted, spellings.values()):
        if len(alike) > 1:
            found.problems.append(
                f"one name in {len(alike)} spellings, which are scored as different classes: {shown(alike)}"
            )
    if single := [name for name, photos in species.items() if photos == 1]:
        found.problems.append(f"{len(single)} species with one photo, too few to train and test on: {shown(single)}")


def check_photos(found: Collection, most: int, min_size: int) -> int:
    """Decode local photos and add the problems found; return the number of photos opened.

    Args:
        found: the collection.
        most: maximum number of photos to open, evenly spaced.
        min_size: photos with a shorter side than this are left out by the recipe, pixels.
    """
    places = found.local_places(most)
    unreadable: dict[str, list[str]] = defaultdict(list)
    small: list[str] = []
    names_of: dict[str, set[str]] = defaultdict(set)
    first_of: dict[str, str] = {}
    copies: list[str] = []
    with Progress("checking photos", len(places), "photos") as progress:
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
            if first_of.setdefault(digest, place) != place:
                copies.append(f"{place} = {first_of[digest]}")
    found.unreadable = sum(map(len, unreadable.values()))
    for why, paths in unreadable.items():
        found.problems.append(f"{count(len(paths), 'unreadable photo')} ({why}): {shown(paths)}")
    if small:
        found.problems.append(
            f"{count(len(small), 'photo')} smaller than {min_size} pixels (curate.min_size), left out: {shown(small)}"
        )
    if several := [sorted(names) for names in names_of.values() if len(names) > 1]:
        pairs = [" = ".join(names) for names in several]
        found.problems.append(f"{count(len(several), 'photo')} with several names: {shown(pairs)}")
    if copies:
        found.problems.append(f"{count(len(copies), 'exact duplicate')} (one copy of each is kept): {shown(copies)}")
    return len(places)


def hold_out(found: Collection, share: float, least: int) -> int:
    """Hold out a share of each name's individuals for testing, unless the collection has test photos already.

    Only local photos are held out.

    Args:
        found: the collection.
        share: share of each name's individuals.
        least: minimum number of photos of a name to hold any out.

    Returns:
        The number of test photos.
    """
    if found.has_crops:
        found.problems.append(
            "rows are crops of photos, and none are held out for testing; add a benchmark to the config"
        )
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
    """A number with its noun, in the plural if needed."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def shown(names: Sequence[str]) -> str:
    """The first few names, and how many more there are."""
    more = f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def _create(connection: duckdb.DuckDBPyConnection) -> None:
    define_names(connection)
    connection.execute("CREATE OR REPLACE TABLE photos (place VARCHAR, name VARCHAR, individual VARCHAR, is_test BOOL)")
