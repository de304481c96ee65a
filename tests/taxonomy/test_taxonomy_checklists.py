"""Other projects' archives (CatalogueOfLife/backend's tests): each builds, or is refused with a correct message."""

import json
import os
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import duckdb
import pytest

from workflow_scripts.common import tables
from workflow_scripts.common.config.taxonomy import TaxonomySettings
from workflow_scripts.common.errors import InputError
from workflow_scripts.common.names import define_names
from workflow_scripts.common.text_archives import Archive, load_table
from workflow_scripts.contracts import LABELS, PROVIDER_LABELS
from workflow_scripts.taxonomy.backbone import build_backbone
from workflow_scripts.taxonomy.coldp import find_coldp
from workflow_scripts.taxonomy.dwca import find_dwca
from workflow_scripts.taxonomy.resolve import resolve

RANKS = ("kingdom", "phylum", "class", "order", "family", "genus", "species")
SQL = Path(build_backbone.__code__.co_filename).parent
FOLDER = os.environ.get("TREEOFLIFE_REAL_DATA")
PLACE = Path(FOLDER or ".") / "real" / "checklists"
ARCHIVES = (
    sorted(f"{kind}/{one.name}" for kind in ("dwca", "coldp") for one in (PLACE / kind).glob("*")) if FOLDER else []
)
pytestmark = pytest.mark.skipif(
    not ARCHIVES, reason="left out: TREEOFLIFE_REAL_DATA names no folder with real/checklists"
)

REFUSED = {
    "coldp/20": "none of its 2 rows names a taxon (bare names 2)",
    "coldp/32": "no NameUsage, and no Name with Taxon",
    "coldp/stray": "Name without Taxon",
    "coldp/worms": "Name without Taxon",
}
"""Bare names, references alone, names without a taxon."""

PLACE_KEPT_FREE = "a place kept free is no taxon"
OTHER_RANK = "of the ranks in columns a backbone keeps seven"
FLAT_RANKS_COUNT = "ranks in columns fill what no parent says; the editor leaves them out where a row has a parent"
ONE_TAXON = "rows that leave a rank out mean the taxon that others give with it"
KEPT_EMPTY = "the row leaves its class out; the editor merges it with another's"
FAMILY_BY_ENDING = "an animal's -idae is a family, though the row leaves its rank out"
DIFFERENT: dict[str, dict[str, str]] = {
    "coldp/-12": {"Crustaceae": OTHER_RANK, "Eumalacostraca": OTHER_RANK, "Pleocyemata": KEPT_EMPTY},
    "coldp/12": {"Crustaceae": OTHER_RANK, "Eumalacostraca": OTHER_RANK}
    | dict.fromkeys(
        (
            *("Aethridae Dana, 1851", "Actaeomorpha Miers, 1877", "Cryptochiridae Paulson, 1875", "Cryptochiridae"),
            *("Lithoscaptus A. Milne-Edwards, 1862", "Lithoscaptus grandis (Takeda & Tamura, 1983)"),
        ),
        FLAT_RANKS_COUNT,
    ),
    "dwca/10": dict.fromkeys(
        ("[unassigned] Cladobranchia", "[unassigned] Caenogastropoda", "[unassigned] Pulmonata"), PLACE_KEPT_FREE
    )
    | dict.fromkeys(
        (
            *("Discodorididae", "Kentrodorididae Bergh, 1891", "Dorididae", "Archidorididae Bergh, 1891"),
            *("Skeneidae", "Skeneinae Clark W., 1851", "Limapontiidae", "Stiligeridae Iredale & O'Donoghue, 1923"),
        ),
        FAMILY_BY_ENDING,
    ),
    "dwca/12": dict.fromkeys(("Basidiomycota", "Agaricomycetes", "Agaricales", "Agaricaceae", "Lepiota"), ONE_TAXON),
    "dwca/20": {"Incertae sedis": PLACE_KEPT_FREE},
    "dwca/26": {"'Prosthète' Hesse": "a name in quotes that is no name stays as it is written"},
    "dwca/6": {"Incertae sedis": PLACE_KEPT_FREE},
}
"""Lines of an expected tree that a backbone has otherwise on purpose: archive, line, why."""


@dataclass
class Line:
    """A line of a tree: its name without author, its rank, and its seven ranks."""

    text: str
    rank: str
    depth: int
    is_synonym: bool
    lineage: dict[str, str] = field(default_factory=dict)


def tree(path: Path) -> Iterator[Line]:
    """The lines of an expected tree; a synonym's lineage is its accepted name's."""
    above: list[Line] = []
    for written in path.read_text(encoding="utf-8").splitlines():
        if not (found := re.fullmatch(r"( *)(=?)\$?\??(.*) \[(\w+)\]", written)):
            continue
        spaces, sign, text, rank = found.groups()
        line = Line(re.sub(r" pro-parte:\S+$", "", text), rank, len(spaces) // 2, bool(sign))
        del above[line.depth :]
        line.lineage = dict(above[-1].lineage) if above else {}
        if not line.is_synonym and rank in RANKS[:6]:
            line.lineage[rank] = text
        if not line.is_synonym and rank in ("species", "subspecies", "variety", "form", "infraspecific_name"):
            line.lineage["species"] = text
        above.append(line)
        yield line


Built = Callable[[str], tuple[Path, dict[str, Any]]]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Build a real archive once; return its file and summary."""
    folder = tmp_path_factory.mktemp("built")

    @cache
    def build(archive: str) -> tuple[Path, dict[str, Any]]:
        reader: Any = archive.partition("/")[0]
        out = folder / f"{archive.replace('/', '-')}.duckdb"
        summary = out.with_suffix(".json")
        build_backbone(
            name="real", archive=PLACE / archive, out=out, summary=summary, memory_mb=500, threads=1, reader=reader
        )
        return out, dict(json.loads(summary.read_text()))

    return build


@dataclass(frozen=True)
class Name:
    """A name's parts, and its possible keys: of the parts, and of the full text."""

    word: str | None
    epithet: str | None
    infra: str | None
    keys: frozenset[str]


def read_names(names: Iterable[str]) -> dict[str, Name]:
    """Names by the project's own parser."""
    with duckdb.connect() as connection:
        define_names(connection)
        connection.execute("CREATE TEMP TABLE asked AS SELECT unnest(?::VARCHAR[]) AS written", [sorted(set(names))])
        rows = connection.execute(
            "SELECT asked.written, word, epithet, infra, name_key(concat_ws(' ', word, epithet, infra)), "
            "name_key(plain_text(asked.written)) FROM asked LEFT JOIN parsed_names('asked') AS parsed USING (written)"
        ).fetchall()
    return {
        written: Name(word, epithet, infra, frozenset(filter(None, keys)))
        for written, word, epithet, infra, *keys in rows
    }


@pytest.mark.parametrize("archive", ARCHIVES)
def test_an_archive_builds_or_is_refused_in_one_true_line(archive: str, built: Built) -> None:
    if archive in REFUSED:
        with pytest.raises(InputError) as caught:
            built(archive)
        assert REFUSED[archive] in str(caught.value)
        assert str(PLACE / archive) in str(caught.value)
        assert "\n" not in str(caught.value)
        return
    _, summary = built(archive)
    assert summary["rows"] == summary["rows_named"] + sum(summary["refused"].values())
    assert summary["rows_named"] > 0


@pytest.mark.parametrize("archive", [one for one in ARCHIVES if (PLACE / one / "expected.tree").exists()])
def test_an_expected_tree_is_matched_at_the_seven_ranks(archive: str, built: Built) -> None:
    lines = list(tree(PLACE / archive / "expected.tree"))
    parts = read_names(name for line in lines for name in (line.text, *line.lineage.values()))
    with duckdb.connect(str(built(archive)[0]), read_only=True) as connection:
        columns = ", ".join(f'taxa."{rank}"' for rank in RANKS)
        rows = connection.execute(
            f"SELECT names.key, {columns} FROM names JOIN taxa ON taxa.taxon_id = names.accepted_id"
        ).fetchall()
    found: dict[str, set[tuple[str | None, ...]]] = defaultdict(set)
    for key, *ranks in rows:
        found[key].add(tuple(ranks))
    wrong = {}
    for line in lines:
        expected = lineage(line, parts)
        answers = set().union(*(found[key] for key in parts[line.text].keys))
        if any(expected) and expected not in answers:
            wrong[line.text] = (expected, answers)
    assert set(wrong) == set(DIFFERENT.get(archive, {})), wrong


def core_rows(archive: str, folder: Path) -> list[tuple[str, str]]:
    """Ids and names of an archive's rows, as written."""
    with duckdb.connect() as connection:
        source = Archive(PLACE / archive, folder)
        if archive.startswith("dwca/"):
            load_table(connection, find_dwca(source)[0], folder)
            query = """SELECT "taxonID", "scientificName" FROM taxon_rows"""
        else:
            usages, names, *_ = find_coldp(source)
            for one in (usages, names):
                load_table(connection, one, folder)
            query = (
                """SELECT "ID", "scientificName" FROM usage_rows UNION SELECT "ID", "scientificName" FROM name_rows"""
            )
        rows = connection.execute(f"SELECT * FROM ({query}) ORDER BY ALL").fetchall()
    return [(row[0], row[1]) for row in rows if row[0] and row[1] and not row[0].startswith("#")]


@pytest.mark.slow
@pytest.mark.parametrize("archive", [one for one in ARCHIVES if one not in REFUSED])
def test_each_species_gives_itself_its_accepted_name_or_a_reason(archive: str, built: Built, tmp_path: Path) -> None:
    file, summary = built(archive)
    rows = core_rows(archive, tmp_path)
    parts = read_names(name for _, name in rows)
    read = [parts[name] for _, name in rows if parts[name].epithet]
    keys = {" ".join(filter(None, (one.word, one.epithet, one.infra))): one.keys for one in read}
    species = sorted(keys)
    with duckdb.connect(str(file), read_only=True) as connection:
        accepted = defaultdict(set)
        for key, answer in connection.execute(
            "SELECT names.key, taxa.answer_id FROM names JOIN taxa ON taxa.taxon_id = names.accepted_id "
            "WHERE is_species_level"
        ).fetchall():
            accepted[key].add(answer)
    empty = dict.fromkeys((*RANKS, "scientific_name", "common"))
    labels = [
        {"label_id": f"{place:06d}", "images": 1} | empty | {"scientific_name": name}
        for place, name in enumerate(species)
    ]
    if not labels:
        return
    tables.write_rows(labels, PROVIDER_LABELS, tmp_path / "labels.parquet")
    resolve(
        labels=(tmp_path / "labels.parquet",),
        backbones={"real": file},
        settings=TaxonomySettings(),
        out=tmp_path / "resolved.parquet",
        account=tmp_path / "account.json",
        memory_mb=500,
        threads=1,
    )
    answers = tables.read_rows(tmp_path / "resolved.parquet", LABELS).to_pylist()
    for name, answer in zip(species, answers, strict=True):
        own = set().union(*(accepted[key] for key in keys[name]))
        # A dangling name is counted as refused, and resolves to a higher rank at most.
        if own:
            assert answer["accepted_id"] in own or answer["detail"], (name, answer, own)
            assert len(own) > 1 or answer["accepted_id"] in own, (name, answer, own)
        else:
            assert summary["refused"], name
            above = name.rpartition(" ")[0]
            assert answer["reason"] or answer["scientific_name"] == above or answer["strategy"] != "exact", (
                name,
                answer,
            )


def lineage(line: Line, parts: dict[str, Name]) -> tuple[str | None, ...]:
    """The seven ranks of a tree's line as in a backbone: single words, and a binomial's own genus."""
    ranks = [parts[line.lineage[rank]].word if rank in line.lineage else None for rank in RANKS[:6]]
    species = parts[line.lineage["species"]] if "species" in line.lineage else None
    return (*ranks[:5], species.word, species.epithet) if species and species.epithet else (*ranks, None)
