"""Where the tables of a corpus and the files of a run lie, for those who ask about single images and models."""

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import duckdb

from workflow_scripts.common import layout, tables
from workflow_scripts.common.documents import read_document
from workflow_scripts.common.errors import InputError
from workflow_scripts.common.files import sha256_file
from workflow_scripts.contracts import CORPUS, RUN, TRAINING

Row = dict[str, Any]


@dataclass(frozen=True)
class Corpus:
    """A corpus on disk; what was not made yet is empty.

    Attributes:
        folder: `results/corpora/<corpus>`.
    """

    folder: Path

    @property
    def name(self) -> str:
        """Its name."""
        return self.folder.name

    @property
    def files(self) -> layout.Corpus:
        """Where its tables lie."""
        return layout.Corpus(str(self.folder))

    @cached_property
    def identity(self) -> Row:
        """What `corpus.json` says; only the name where there is none."""
        path = Path(self.files.identity())
        return read_document(path, CORPUS) if path.exists() else {"name": self.name}

    @cached_property
    def sums(self) -> list[frozenset[str]]:
        """SHA-256 of the names' table and of the shards' manifests, for each split that a training may take."""
        names = {sha256_file(path) for path in self.files.labels.found()}
        splits: dict[str, set[str]] = {}
        for path, digest in self.manifests.items():
            splits.setdefault(path.parent.name, set()).add(digest)
        return [frozenset(names | shards) for shards in splits.values()]

    @cached_property
    def manifests(self) -> dict[Path, str]:
        """The shards' manifests that a training may read, with the SHA-256 of each."""
        return {path: sha256_file(path) for path in self.files.shard_manifest.found() if path.parent.name != "val"}

    @cached_property
    def replay_sums(self) -> frozenset[str]:
        """SHA-256 of the replay shards' manifest, as a training records it."""
        return frozenset(sha256_file(path) for path in self.files.replay_manifest.found(split="train"))


@dataclass(frozen=True)
class Run:
    """A run on disk.

    Attributes:
        folder: `results/runs/<run>`.
    """

    folder: Path

    @property
    def name(self) -> str:
        """Its name."""
        return self.folder.name

    @cached_property
    def summary(self) -> Row:
        """What its training recorded."""
        return read_document(Path(layout.Run(str(self.folder)).summary()), TRAINING)

    @cached_property
    def facts(self) -> Row:
        """What its report says of it; empty before there is one."""
        path = Path(layout.Run(str(self.folder)).facts())
        return read_document(path, RUN) if path.exists() else {}

    def trained_on(self, corpus: Corpus) -> bool:
        """Whether it was trained on the corpus as that is now: on all shards of a split and with its names."""
        return any(map(self.read, corpus.sums))

    def is_of(self, corpora: Sequence[Corpus]) -> bool:
        """Whether all that it was trained on, besides replay, is in these corpora as they are now."""
        mixed = [frozenset(_texts(one)) for one in self.summary["digests"]["data"]["biology"]]
        return all(any(sums <= one for corpus in corpora for sums in corpus.sums) for one in mixed)

    def saw(self, connection: duckdb.DuckDBPyConnection, corpus: Corpus, uuid: str) -> bool:
        """Whether it was trained on shards that hold an image, whatever has come to the corpus since then."""
        indexes = [path.with_name("index.parquet") for path, digest in corpus.manifests.items() if digest in self._data]
        return bool(rows_where(connection, indexes, "uuid = $uuid", {"uuid": uuid}))

    def read(self, sums: Set[str]) -> bool:
        """Whether its training read the tables with these SHA-256 sums, all of them."""
        return bool(sums) and sums <= self._data

    @cached_property
    def _data(self) -> frozenset[str]:
        """Every digest that its training recorded of its data."""
        return frozenset(_texts(self.summary["digests"]["data"]))


def places(results: Path | None) -> Path:
    """The results folder, the site's own by default.

    Raises:
        InputError: there is none.
    """
    from workflow_scripts.common.config.root import load_site

    folder = results or Path(load_site().results)
    if not folder.is_dir():
        raise InputError(f"{folder}: no results here; give --results")
    return folder


def corpora_of(results: Path) -> list[Corpus]:
    """All corpora, by name."""
    return [Corpus(Path(one.folder)) for one in layout.Layout(str(results)).corpora()]


def runs_of(results: Path) -> list[Run]:
    """All runs that have trained, by name."""
    return [Run(Path(one.folder)) for one in layout.Layout(str(results)).runs() if Path(one.summary()).exists()]


def mixture(config: Mapping[str, Any]) -> list[str]:
    """What a run's config mixes to train on: corpora and tars; nothing where that is its own corpus."""
    return [entry.get("corpus") or entry["tars"] for entry in config.get("mix", [])]


def rows_where(
    connection: duckdb.DuckDBPyConnection, files: Sequence[Path], condition: str, values: Mapping[str, Any]
) -> list[Row]:
    """Rows of parquet files that meet an SQL condition, with `filename`; none where there are no files.

    Only the row groups and columns that can matter are read, and nothing is checked: this looks, and builds nothing.

    Raises:
        InputError: a file cannot be read, or lacks a column.
    """
    if not files:
        return []
    listed = ", ".join(tables.path_literal(file) for file in files)
    query = f"SELECT * FROM read_parquet([{listed}], filename = true, union_by_name = true) WHERE {condition}"
    try:
        return connection.sql(query, params=dict(values)).to_arrow_table().to_pylist()
    except duckdb.Error as error:
        raise InputError(f"{files[0].parent}: cannot be searched: {str(error).splitlines()[0]}") from None


def _texts(value: Any) -> Iterator[str]:
    """Every text in a nested value."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for inner in value:
            yield from _texts(inner)
    elif isinstance(value, str):
        yield value
