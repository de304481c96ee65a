"""Prepare a corpus for publication: tables, card, licences, citations, and the redistributable images."""

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import duckdb
from huggingface_hub import DatasetCardData

from workflow_scripts.common import tables
from workflow_scripts.common.cli import run
from workflow_scripts.common.config.report import PublishSettings
from workflow_scripts.common.documents import read_document
from workflow_scripts.common.errors import InputError
from workflow_scripts.common.files import atomic, link, sha256_file, write_text
from workflow_scripts.common.progress import Progress
from workflow_scripts.common.remedies import snakemake
from workflow_scripts.common.step_versions import versioned
from workflow_scripts.common.tars import read_at, write_tar
from workflow_scripts.common.work_folder import WorkFolder, do_once
from workflow_scripts.contracts import (
    ATTRIBUTION,
    CATALOG,
    CORPUS,
    LABELS,
    RANKS,
    SHARD_INDEX,
    SPLITS,
    Column,
    Contract,
)
from workflow_scripts.report.cards import check_given, citation, render

HERE = Path(__file__).parent
QUERY, CARD = "published_rows.sql", "dataset_card.md.j2"
ROWS_A_TIME = 10_000
CROISSANT = "croissant.json"
PAPERS = ("catalog.parquet", "provenance.parquet", "citations.csv", CROISSANT, "CITATION.cff", "README.md")
SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
LARGER_SIZES = ((10_000_000, "1M<n<10M"), (100_000_000, "10M<n<100M"), (1_000_000_000, "100M<n<1B"))


def _text(*names: str) -> tuple[Column, ...]:
    return tuple(Column(name, null=True) for name in names)


PUBLISHED_CATALOG = Contract(
    "a published image",
    (
        Column("uuid"),
        *_text("source_url", *RANKS, "scientific_name", "common"),
        Column("data_source"),
        *_text("publisher", "basisOfRecord", "img_type", "source_id"),
        Column("shard_filename"),
        *_text("shard_file_path"),
        Column("base_dataset_file_path"),
        Column("split", values=SPLITS),
    ),
    key=("uuid",),
)
"""The columns of TreeOfLife-200M's catalogue with the resolved names, and `split`. `shard_file_path`: the tar in the
dataset that contains the image; null if its licence does not allow redistribution."""

PUBLISHED_PROVENANCE = Contract(
    "the attribution of a published image",
    (
        Column("uuid"),
        *_text("source_id"),
        Column("data_source"),
        *_text("source_url", "license_name", "copyright_owner", "license_link", "title", "license", "creator", "cite"),
    ),
    key=("uuid",),
)
"""The columns of TreeOfLife-200M's provenance. `license`: SPDX identifier; `cite`: the source's requested citation."""


def publish_dataset(
    *,
    catalog: tuple[Path, ...],
    attribution: tuple[Path, ...],
    labels: Path,
    shards: tuple[Path, ...],
    identity: Path,
    config: str,
    settings: PublishSettings,
    work: Path,
    out_dir: Path,
    memory_mb: int = 2048,
    threads: int = 1,
) -> None:
    """Write the tables, `citations.csv`, `images/`, `croissant.json`, `CITATION.cff` and the card `README.md`.

    Nothing is uploaded. Shards whose images are all redistributable are hard-linked; from other shards, only the
    redistributable images are copied.

    Args:
        catalog: the catalog's parts.
        attribution: each generation's curate/GENERATION/attribution.parquet.
        labels: the corpus's taxonomy/labels.parquet.
        shards: the generations' folders of shards.
        identity: the corpus's corpus.json.
        config: the resolved config, as JSON, for the card.
        settings: licences that allow redistribution, and authors.
        work: parent of the work folders.
        out_dir: output: the folder to publish.
        memory_mb: DuckDB's memory limit, MiB.
        threads: DuckDB's threads.

    Raises:
        InputError: a table is missing or breaks its contract, a shard is missing, or no authors are set.
    """
    check_given(settings, "authors")
    described = read_document(identity, CORPUS)
    key = {
        "corpus": described["digest"],
        "sources": [sha256_file(path) for path in (*catalog, *attribution)],
        "settings": settings.to_json(),
        "config": config,
        **versioned("report.publish_dataset"),
    }

    def write_all(folder: WorkFolder) -> list[str]:
        with tables.connect(memory_mb, threads, folder.path / "rows.duckdb") as connection:
            connection.execute("SET VARIABLE licences = ?", [list(settings.licences) if settings.images else []])
            _gather(connection, catalog, attribution, labels, shards)
            tables.write(connection, _columns(PUBLISHED_CATALOG), PUBLISHED_CATALOG, folder.path / "catalog.parquet")
            tables.write(
                connection, _columns(PUBLISHED_PROVENANCE), PUBLISHED_PROVENANCE, folder.path / "provenance.parquet"
            )
            images = _write_images(connection, shards, folder.path)
            counts = _counts(connection)
            _write_citations(connection, folder.path / "citations.csv")
        (folder.path / "rows.duckdb").unlink()
        _write_papers(folder.path, described, config, settings, counts)
        return [*images, *PAPERS]

    do_once(work, key, write_all, out_dir, last="README.md")


def _gather(
    connection: duckdb.DuckDBPyConnection,
    catalog: Sequence[Path],
    attribution: Sequence[Path],
    labels: Path,
    shards: Sequence[Path],
) -> None:
    """Create the table `published`: one row per image in the shards."""
    tables.read(connection, catalog, CATALOG, "catalog")
    tables.read(connection, attribution, ATTRIBUTION, "attribution")
    tables.read(connection, labels, LABELS, "labels")
    parts = []
    for folder in shards:
        for split in SPLITS:
            view = f"samples_{folder.name}_{split}"
            tables.read(connection, folder / split / "index.parquet", SHARD_INDEX, view)
            parts.append(
                f"SELECT *, {tables.literal(folder.name)} AS generation, '{split}' AS split FROM {tables.quoted(view)}"
            )
    connection.execute(f"CREATE OR REPLACE TEMP VIEW samples AS {' UNION ALL '.join(parts)}")
    query = (HERE / QUERY).read_text(encoding="utf-8")
    connection.execute(f"CREATE OR REPLACE TABLE published AS {query}")


def _columns(contract: Contract) -> str:
    return f"SELECT {', '.join(tables.quoted(column.name) for column in contract.columns)} FROM published"


def _write_images(connection: duckdb.DuckDBPyConnection, shards: Sequence[Path], out: Path) -> list[str]:
    """Write a tar for each shard with redistributable images; existing tars are complete and are kept."""
    made = []
    total = tables.scalar(connection, "SELECT count(*) FROM published WHERE shard_file_path IS NOT NULL")
    with Progress("images to publish", total, "images") as progress:
        for folder in shards:
            for split in SPLITS:
                rows = connection.execute(
                    'SELECT samples.shard, samples.uuid, samples."offset", samples.size, samples.label_id, '
                    "published.shard_file_path, samples.of_shard "
                    "FROM (SELECT *, count(*) OVER (PARTITION BY shard) AS of_shard "
                    f"FROM {tables.quoted(f'samples_{folder.name}_{split}')}) AS samples "
                    "INNER JOIN published USING (uuid) WHERE published.shard_file_path IS NOT NULL "
                    "ORDER BY samples.shard, samples.position"
                )
                for shard, group in groupby(_fetched(rows), key=lambda row: row[0]):
                    samples = list(group)
                    name = samples[0][5]
                    _write_shard(folder / split / shard, out / name, samples)
                    made.append(name)
                    progress.update(len(samples))
    return made


def _fetched(result: duckdb.DuckDBPyConnection) -> Iterator[tuple[Any, ...]]:
    while rows := result.fetchmany(ROWS_A_TIME):
        yield from rows


def _write_shard(source: Path, target: Path, samples: Sequence[tuple[Any, ...]]) -> None:
    if target.exists():
        return
    if not source.is_file():
        raise InputError(f"{source}: not found; run `{snakemake('data')}`")
    if len(samples) == samples[0][6]:
        link(source, target)
        return
    with source.open("rb") as tar:
        write_tar(
            target,
            (
                (uuid, {"jpg": read_at(tar, offset, size), "label_id.txt": label_id.encode()})
                for _, uuid, offset, size, label_id, _, _ in samples
            ),
        )


def _counts(connection: duckdb.DuckDBPyConnection) -> dict[str, Any]:
    """Counts for the card."""

    def by(column: str) -> list[tuple[str, int, int]]:
        return connection.execute(
            f"SELECT coalesce({tables.quoted(column)}, 'unknown'), count(*), count(shard_file_path) FROM published "
            "GROUP BY ALL ORDER BY count(*) DESC, 1"
        ).fetchall()

    images, passed_on, cited = tables.one_row(
        connection, "SELECT count(*), count(shard_file_path), count(cite) FROM published"
    )
    return {
        "images": images,
        "passed_on": passed_on,
        "with_citation": cited,
        "by_licence": by("license"),
        "by_source": by("data_source"),
        "by_kingdom": by("kingdom"),
        "by_split": by("split"),
    }


def _write_citations(connection: duckdb.DuckDBPyConnection, path: Path) -> None:
    rows = connection.execute(
        "SELECT cite, data_source, publisher, count(*) AS images FROM published WHERE cite IS NOT NULL "
        "GROUP BY ALL ORDER BY images DESC, cite, data_source, publisher"
    )
    with atomic(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["cite", "data_source", "publisher", "images"])
        writer.writerows(_fetched(rows))


def _write_papers(
    folder: Path, identity: Mapping[str, Any], config: str, settings: PublishSettings, counts: Mapping[str, Any]
) -> None:
    """The card, the citation and the Croissant metadata."""
    from workflow_scripts.report.croissant import croissant

    title = f"{identity['name']} training data"
    write_text(folder / "CITATION.cff", citation(title, "dataset", identity["id"], settings.authors))
    tables_of = (PUBLISHED_CATALOG, PUBLISHED_PROVENANCE)
    found = croissant(title, identity, folder, tables_of, settings.authors, images=counts["passed_on"] > 0)
    write_text(folder / CROISSANT, json.dumps(found, indent=2, ensure_ascii=False) + "\n")
    front = DatasetCardData(
        pretty_name=title,
        license="other",
        license_name="by-image",
        license_link="provenance.parquet",
        language="en",
        size_categories=_size(counts["images"]),
        task_categories=["image-classification", "zero-shot-image-classification"],
        tags=["biology", "species", "taxonomy", "images", "clip"],
        configs=[
            {"config_name": "catalog", "data_files": "catalog.parquet", "default": True},
            {"config_name": "provenance", "data_files": "provenance.parquet"},
        ],
    )
    text = render(
        CARD, title=title, identity=identity, counts=counts, config=json.loads(config), licences=settings.licences
    )
    write_text(folder / "README.md", f"---\n{front.to_yaml()}\n---\n{text}")


def _size(images: int) -> str:
    return next((name for most, name in (*SIZES, *LARGER_SIZES) if images < most), "n>1B")


if __name__ == "__main__":
    run(publish_dataset)
