"""Look up single images and models in the tables of corpora and the records of runs."""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import duckdb

from workflow_scripts.common import layout, tables
from workflow_scripts.common.documents import read_document
from workflow_scripts.common.errors import InputError, first_line
from workflow_scripts.common.files import sha256_file
from workflow_scripts.common.model_files import LINEAGE_FILE
from workflow_scripts.common.past_images import PastImage, digest_of, digests_in, find_past_images
from workflow_scripts.contracts import CORPUS, LINEAGE, RUN, TRAINING

Row = dict[str, Any]


@dataclass(frozen=True)
class Corpus:
    """A corpus on disk; tables that do not exist yet count as empty.

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
        """Paths of its tables."""
        return layout.Corpus(str(self.folder))

    @cached_property
    def identity(self) -> Row:
        """Contents of `corpus.json`; only the name if the file does not exist."""
        path = Path(self.files.identity())
        return read_document(path, CORPUS) if path.exists() else {"name": self.name}

    @cached_property
    def sums(self) -> list[frozenset[str]]:
        """SHA-256 of the labels table and the shards' manifests, for each split that a training may read."""
        names = {sha256_file(path) for path in self.files.labels.found()}
        splits: dict[str, set[str]] = {}
        for path, digest in self.manifests.items():
            splits.setdefault(path.parent.name, set()).add(digest)
        return [frozenset(names | shards) for shards in splits.values()]

    @cached_property
    def manifests(self) -> dict[Path, str]:
        """The shard manifests that a training may read, with the SHA-256 of each."""
        return {path: sha256_file(path) for path in self.files.shard_manifest.found() if path.parent.name != "val"}

    @property
    def ledgers(self) -> layout.PastImages:
        """Ledgers of the images that its shards have ever contained; they outlive the corpus."""
        return layout.Layout(str(self.folder.parents[1])).past_images(self.name)

    def past_images(
        self, connection: duckdb.DuckDBPyConnection, condition: str, values: Mapping[str, Any]
    ) -> list[PastImage]:
        """Images that its shards have ever contained and that meet an SQL condition on uuid, md5 and pdq."""
        try:
            return find_past_images(connection, self.ledgers, condition, values)
        except duckdb.Error as error:
            raise InputError(f"{self.ledgers}: could not be searched: {first_line(error)}") from None

    @cached_property
    def known_manifests(self) -> frozenset[str]:
        """Digests of the manifests whose images are known: those in its ledgers and its current ones."""
        return frozenset([*map(digest_of, self.ledgers.manifest.found()), *self.manifests.values(), *self.replay_sums])

    def taken_down(self, connection: duckdb.DuckDBPyConnection, condition: str, values: Mapping[str, Any]) -> list[Row]:
        """Rows of its takedown ledger that meet an SQL condition."""
        ledger = Path(layout.Layout(str(self.folder.parents[1])).ledger(self.name))
        return rows_where(connection, [ledger] if ledger.exists() else [], condition, values)

    @cached_property
    def replay_sums(self) -> frozenset[str]:
        """SHA-256 of the training replay shards' manifest."""
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
        """Its training's summary."""
        return read_document(Path(layout.Run(str(self.folder)).summary()), TRAINING)

    @cached_property
    def facts(self) -> Row:
        """Contents of its report's `run.json`; empty if there is no report."""
        path = Path(layout.Run(str(self.folder)).facts())
        return read_document(path, RUN) if path.exists() else {}

    def trained_on(self, corpus: Corpus) -> bool:
        """Whether it was trained on the corpus in its current state: all shards of a split, and its labels table."""
        return any(map(self.read_all, corpus.sums))

    def unknown(self, corpora: Sequence[Corpus]) -> list[str]:
        """Trainings in its lineage that read images unknown to these corpora."""
        known = frozenset[str]().union(*(corpus.known_manifests for corpus in corpora))
        return [one["name"] for one in self.lineage if not manifests_read(one["data"]) <= known]

    def saw_image(self, connection: duckdb.DuckDBPyConnection, corpus: Corpus, uuid: str) -> bool:
        """Whether it or its starting model was trained on shards with an image, even if they no longer exist."""
        indexes = [path.with_name("index.parquet") for path, digest in corpus.manifests.items() if digest in self.data]
        if rows_where(connection, indexes, "uuid = $uuid", {"uuid": uuid}):
            return True
        return self.read_any(corpus.past_images(connection, "uuid = $uuid", {"uuid": uuid}))

    def read_all(self, sums: Set[str]) -> bool:
        """Whether the trainings in its lineage read all tables with these SHA-256 digests; False for no tables."""
        return bool(sums) and sums <= self.data

    def read_any(self, images: Sequence[PastImage]) -> bool:
        """Whether it or its starting model was trained on one of these images."""
        return any(image.manifests & self.data for image in images)

    @cached_property
    def data(self) -> frozenset[str]:
        """All data digests that the trainings in its lineage recorded."""
        return frozenset[str]().union(*(digests_in(one["data"]) for one in self.lineage))

    @cached_property
    def lineage(self) -> list[Row]:
        """Its own training and those of its starting models, as far as they are known here.

        Exported models list their lineage. For older exports, starting models are found by the digest of their weights.
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
    """A training on disk whose model may be the starting model of another.

    Attributes:
        summary: its summary.json.
        model: folder of its exported model.
    """

    summary: Path
    model: Path

    @property
    def name(self) -> str:
        """Name of the run or of the shared model."""
        return self.summary.parents[1].name

    @property
    def digests(self) -> Row:
        """Its digests of data, starting weights and code."""
        return dict(read_document(self.summary, TRAINING)["digests"])

    @property
    def weights(self) -> frozenset[str]:
        """SHA-256 of its exported weights."""
        return _sums(tuple(sorted(self.model.glob("*.safetensors"))))


@cache
def _sums(files: tuple[Path, ...]) -> frozenset[str]:
    return frozenset(map(sha256_file, files))


def _trainings(results: Path) -> list[_Training]:
    """Trainings whose models were exported without a lineage file."""
    places = layout.Layout(str(results))
    runs = [_Training(Path(one.summary()), Path(one.model())) for one in places.runs() if Path(one.summary()).exists()]
    shared = [_Training(path, path.parents[1]) for path in places.shared.model_summary.found()]
    return [one for one in (*runs, *shared) if not (one.model / LINEAGE_FILE).exists()]


def manifests_read(data: Row) -> frozenset[str]:
    """Digests of the manifests in a training's data record, where each manifest precedes its index."""
    return frozenset(sum for one in [*data["biology"], data["replay"] or {}] for sum in one.get("train", [])[::2])


def places(results: Path | None) -> Path:
    """The results folder. Default: the site's.

    Raises:
        InputError: the folder does not exist.
    """
    from workflow_scripts.common.config.root import load_site

    folder = results or Path(load_site().results)
    if not folder.is_dir():
        raise InputError(f"{folder}: results folder not found; set --results")
    return folder


def corpora_of(results: Path) -> list[Corpus]:
    """All corpora by name, including deleted ones that left ledgers."""
    here = {Path(one.folder) for one in layout.Layout(str(results)).corpora()}
    gone = {results / "corpora" / ledgers.stem for ledgers in (results / "ledgers").glob("*.held")}
    return [Corpus(folder) for folder in sorted(here | gone)]


def runs_of(results: Path) -> list[Run]:
    """All runs with a finished training, by name."""
    return [Run(Path(one.folder)) for one in layout.Layout(str(results)).runs() if Path(one.summary()).exists()]


def mixture(config: Mapping[str, Any]) -> list[str]:
    """The corpora and tars that a run's config mixes; empty if it trains on its own corpus."""
    return [entry.get("corpus") or entry["tars"] for entry in config.get("mix", [])]


def rows_where(
    connection: duckdb.DuckDBPyConnection, files: Sequence[Path], condition: str, values: Mapping[str, Any]
) -> list[Row]:
    """Rows of parquet files that meet an SQL condition, with their `filename`; empty without files.

    Contracts are not checked, so that DuckDB reads only the row groups and columns that it needs.

    Raises:
        InputError: a file cannot be read, or a column is missing.
    """
    if not files:
        return []
    listed = ", ".join(tables.path_literal(file) for file in files)
    query = f"SELECT * FROM read_parquet([{listed}], filename = true, union_by_name = true) WHERE {condition}"
    try:
        return connection.sql(query, params=dict(values)).to_arrow_table().to_pylist()
    except duckdb.Error as error:
        raise InputError(f"{files[0].parent}: could not be searched: {first_line(error)}") from None
