"""Tables of a corpus and files of a run, for questions about single images and models."""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import duckdb

from workflow_scripts.common import layout, tables
from workflow_scripts.common.documents import read_document
from workflow_scripts.common.errors import InputError
from workflow_scripts.common.files import sha256_file
from workflow_scripts.common.held import HeldImage, digest_of, digests_in, held_images
from workflow_scripts.common.model_files import LINEAGE_FILE
from workflow_scripts.contracts import CORPUS, LINEAGE, RUN, TRAINING

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

    @property
    def held(self) -> layout.Held:
        """The ledgers of what its shards have held; they outlive the corpus."""
        return layout.Layout(str(self.folder.parents[1])).held(self.name)

    def has_held(
        self, connection: duckdb.DuckDBPyConnection, condition: str, values: Mapping[str, Any]
    ) -> list[HeldImage]:
        """The images that its shards have held, of those that meet an SQL condition on uuid, md5 and pdq."""
        try:
            return held_images(connection, self.held, condition, values)
        except duckdb.Error as error:
            raise InputError(f"{self.held}: cannot be searched: {str(error).splitlines()[0]}") from None

    @cached_property
    def written_down(self) -> frozenset[str]:
        """Digests of the manifests whose images are known: those of its ledgers, and its own as they are now."""
        return frozenset([*map(digest_of, self.held.manifest.found()), *self.manifests.values(), *self.replay_sums])

    def taken_down(self, connection: duckdb.DuckDBPyConnection, condition: str, values: Mapping[str, Any]) -> list[Row]:
        """The rows of its ledger of takedowns that meet an SQL condition."""
        ledger = Path(layout.Layout(str(self.folder.parents[1])).ledger(self.name))
        return rows_where(connection, [ledger] if ledger.exists() else [], condition, values)

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

    def unknown(self, corpora: Sequence[Corpus]) -> list[str]:
        """The trainings among its lineage of which these corpora do not know every image that was read."""
        known = frozenset[str]().union(*(corpus.written_down for corpus in corpora))
        return [one["name"] for one in self.lineage if not manifests_read(one["data"]) <= known]

    def saw(self, connection: duckdb.DuckDBPyConnection, corpus: Corpus, uuid: str) -> bool:
        """Whether it or what it began with was trained on shards that held an image, whatever became of them since."""
        indexes = [path.with_name("index.parquet") for path, digest in corpus.manifests.items() if digest in self.data]
        if rows_where(connection, indexes, "uuid = $uuid", {"uuid": uuid}):
            return True
        return self.read_any(corpus.has_held(connection, "uuid = $uuid", {"uuid": uuid}))

    def read(self, sums: Set[str]) -> bool:
        """Whether its training, or one before it, read the tables with these SHA-256 sums, all of them."""
        return bool(sums) and sums <= self.data

    def read_any(self, images: Sequence[HeldImage]) -> bool:
        """Whether it or what it began with was trained on one of these images."""
        return any(image.manifests & self.data for image in images)

    @cached_property
    def data(self) -> frozenset[str]:
        """Every digest that its training, and those before it, recorded of their data."""
        return frozenset[str]().union(*(digests_in(one["data"]) for one in self.lineage))

    @cached_property
    def lineage(self) -> list[Row]:
        """Its own training and those of the models that it began with, as far as anything here says.

        By what its model names; where that was exported before models did, by the weights of the models here.
        """
        exported = self.folder / "model" / LINEAGE_FILE
        own = {"name": self.name, **self.summary["digests"]}
        named = read_document(exported, LINEAGE)["trainings"][1:] if exported.exists() else []
        found = [own, *named]
        while start := frozenset(digests_in(found[-1].get("start"))):
            results = self.folder.parents[1]
            older = next((one for one in _trainings(results) if start & one.weights), None)
            if older is None or older.name in {one["name"] for one in found}:
                break
            found.append({"name": older.name, **older.digests})
        return found


@dataclass(frozen=True)
class _Training:
    """A training on disk whose model may have been the start of another.

    Attributes:
        summary: its record.
        model: its exported model's folder.
    """

    summary: Path
    model: Path

    @property
    def name(self) -> str:
        """The run's name, or that of the shared model."""
        return self.summary.parents[1].name

    @property
    def digests(self) -> Row:
        """What its record says of its data, start and code."""
        return dict(read_document(self.summary, TRAINING)["digests"])

    @property
    def weights(self) -> frozenset[str]:
        """SHA-256 of its exported weights."""
        return _sums(tuple(sorted(self.model.glob("*.safetensors"))))


@cache
def _sums(files: tuple[Path, ...]) -> frozenset[str]:
    return frozenset(map(sha256_file, files))


def _trainings(results: Path) -> list[_Training]:
    """The trainings here whose models were exported before models named what they began with."""
    places = layout.Layout(str(results))
    runs = [_Training(Path(one.summary()), Path(one.model())) for one in places.runs() if Path(one.summary()).exists()]
    shared = [_Training(path, path.parents[1]) for path in places.shared.model_summary.found()]
    return [one for one in (*runs, *shared) if not (one.model / LINEAGE_FILE).exists()]


def manifests_read(data: Row) -> frozenset[str]:
    """The manifests among what a training names of its data: each stands before its index."""
    return frozenset(sum for one in [*data["biology"], data["replay"] or {}] for sum in one.get("train", [])[::2])


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
    """All corpora, by name; of one that is gone there may be ledgers."""
    here = {Path(one.folder) for one in layout.Layout(str(results)).corpora()}
    gone = {results / "corpora" / ledgers.stem for ledgers in (results / "ledgers").glob("*.held")}
    return [Corpus(folder) for folder in sorted(here | gone)]


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
