"""Find all files and models that contain, show or were trained on images to take down."""

import json
from collections.abc import Set
from dataclasses import dataclass, field
from pathlib import Path

import duckdb

from workflow_scripts.common import tables
from workflow_scripts.common.files import sha256_file
from workflow_scripts.common.layout import Corpus, Layout, PastImages
from workflow_scripts.common.past_images import find_past_images
from workflow_scripts.common.shards import INDEX, MANIFEST, shards_with
from workflow_scripts.common.takedowns import names_any
from workflow_scripts.contracts import BENCHMARK_IMAGES

WEIGHTS = ("train/*.safetensors", "model/*.safetensors", "*.safetensors")


@dataclass
class Affected:
    """The images, and the files and models that contain, show or were trained on them, by kind."""

    images: list[str] = field(default_factory=list)
    tars: list[str] = field(default_factory=list)
    findings_of_judges: list[str] = field(default_factory=list)
    sample_pages_of_judges: list[str] = field(default_factory=list)
    shards: list[str] = field(default_factory=list)
    features: list[str] = field(default_factory=list)
    report_pages: list[str] = field(default_factory=list)
    published_datasets: list[str] = field(default_factory=list)
    models: list[str] = field(default_factory=list)
    benchmark_images: list[str] = field(default_factory=list)


def list_affected(
    connection: duckdb.DuckDBPyConnection, root: Path, place: Path, past: PastImages, former: Path
) -> Affected:
    """Find what is affected by the images of the table `chosen`.

    Args:
        connection: a connection with the tables `chosen` and `acquired` of `takedown`.
        root: the folder of results.
        place: the corpus's folder below it.
        past: the records of images that the corpus's shards have ever contained.
        former: digests of the tables that takedowns rewrote before such records existed.
    """
    found = Affected()
    found.images = _column(connection, "SELECT uuid FROM chosen ORDER BY uuid")
    found.tars = _column(
        connection,
        "SELECT DISTINCT folder || '/' || tar FROM acquired SEMI JOIN chosen USING (uuid) "
        "WHERE tar IS NOT NULL ORDER BY ALL",
    )
    layout, corpus = Layout(str(root)), Corpus(str(place))
    uuids = set(found.images)
    tables_found = (*corpus.findings.found(), *corpus.gathered_findings.found())
    found.findings_of_judges = [str(path) for path in tables_found if names_any(path, uuids)]
    found.sample_pages_of_judges = [str(page) for page in corpus.sample.found() if _contains_any(page, uuids)]
    folders = [path.parent for path in (*corpus.shard_index.found(), *corpus.replay_index.found())]
    shards = shards_with(folders, uuids)
    found.shards = [str(path) for path in shards]
    folders = sorted({path.parent for path in shards})
    former_digests = _read_former(former)
    digests = {digest for folder in folders for digest in _digests_of(folder)}
    digests |= {digest for folder in folders for digest in former_digests.get(folder.relative_to(place).as_posix(), [])}
    recorded = find_past_images(connection, past, "uuid IN (SELECT uuid FROM chosen)")
    digests |= {digest for image in recorded for digest in image.manifests}
    found.models = [str(folder) for folder in _trained_on(root, digests)]
    runs = set()
    for images in layout.shared.benchmark_images.found():
        tables.read(connection, images, BENCHMARK_IMAGES, "pictures")
        # A held-out replay pair is a benchmark image under its own uuid, in a shard.
        connection.execute(
            "CREATE OR REPLACE TEMP TABLE shown AS SELECT path FROM pictures "
            "WHERE md5 IN (SELECT md5 FROM chosen) OR image IN (SELECT uuid FROM chosen)"
        )
        paths = _column(connection, "SELECT DISTINCT path FROM shown ORDER BY path")
        if paths:
            found.benchmark_images += [path for path in paths if Path(path) not in shards]
            benchmark = images.parent.name.rpartition("-")[0]
            features = [path for run in layout.runs() for path in run.features.found(benchmark=benchmark)]
            found.features += [str(path) for path in features]
            runs |= {path.parents[2] for path in features}
    found.report_pages = [
        str(page) for page in _files_of_runs(layout, "report") if page.parents[1] in runs or _contains_any(page, uuids)
    ]
    found.published_datasets = [
        str(catalog.parent)
        for catalog in _files_of_runs(layout, "published_catalog")
        if _column(connection, f"SELECT uuid FROM {tables.scan(catalog)} SEMI JOIN chosen USING (uuid) LIMIT 1")
    ]
    return found


def _digests_of(folder: Path) -> list[str]:
    """The digests of a shard folder's tables, by which a training records what it read."""
    return [sha256_file(folder / name) for name in (MANIFEST, INDEX)]


def _contains_any(file: Path, words: Set[str]) -> bool:
    """Whether a text file contains one of the words."""
    text = file.read_text(encoding="utf-8", errors="replace")
    return any(word in text for word in words)


def _read_former(former: Path) -> dict[str, list[str]]:
    return dict(json.loads(former.read_text(encoding="utf-8"))) if former.exists() else {}


def _files_of_runs(layout: Layout, kind: str) -> list[Path]:
    """The files of one kind in all runs."""
    return [path for run in layout.runs() for path in getattr(run, kind).found()]


def _trained_on(root: Path, tables_read: Set[str]) -> list[Path]:
    """The folders of runs and models that were trained on the tables, or started from the weights of one that was."""
    layout = Layout(str(root))
    remaining = [*_files_of_runs(layout, "summary"), *layout.shared.model_summary.found()]
    found: list[Path] = []
    digests = set(tables_read)
    while affected := [one for one in remaining if any(_contains_any(path, digests) for path in _records(one))]:
        remaining = [summary for summary in remaining if summary not in affected]
        folders = [summary.parents[1] for summary in affected]
        found += folders
        digests = {sha256_file(path) for folder in folders for pattern in WEIGHTS for path in folder.glob(pattern)}
    return sorted(found)


def _records(summary: Path) -> list[Path]:
    """A training's record, and its model's lineage if there is one."""
    lineages = (summary.parents[1] / place for place in ("model/lineage.json", "lineage.json"))
    return [summary, *(path for path in lineages if path.exists())]


def _column(connection: duckdb.DuckDBPyConnection, query: str) -> list[str]:
    return [value for (value,) in connection.execute(query).fetchall()]
