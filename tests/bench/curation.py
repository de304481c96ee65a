"""Benches of curation on generated data, each in a separate process: `curation.py NAME` prints its rows."""

import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import duckdb
import faiss
import numpy as np
import polars as pl
from photos import photo
from rows import MeasuredValues, peak_mb, print_rows, printed_by, sized

from workflow_scripts.common import images, tables
from workflow_scripts.common.config.curate import CurateSettings
from workflow_scripts.common.pdq_distance import MAX_DISTANCE
from workflow_scripts.contracts import CATALOG, GATHERED_DOWNLOADS, LABELS, Contract
from workflow_scripts.curate.decide import decide as decide_step
from workflow_scripts.curate.hashes import NearHashes, use_threads

HERE = Path(__file__)
MEMORY_MB = 700
THREADS = 2
DECIDED = sized((1_000_000, 10_000_000), (1000, 10_000))
LABELLED = sized(200_000, 200)
CATALOGUE_HASHES = sized(10_000_000, 4000)
BENCHMARK_HASHES = sized(100_000, 1000)
HASHES_A_BATCH = sized(250_000, 1000)
# Brute force is timed on this many hashes and extrapolated.
SAMPLED_HASHES = sized(20_000, 500)
PLANTED = sized(200, 4)
OTHERS = sized(20_000, 8)
DEDUP_ROWS = sized(20_000_000, 20_000)


def decide() -> Iterator[MeasuredValues]:
    """Verdicts of ten million images beside those of one million, under the same memory limit."""
    (few, few_peak), (many, many_peak) = (next(printed_by(HERE, "decide_rows", str(rows))) for rows in DECIDED)
    yield "decide_seconds", many, "s", "a million images, tenfold", few * DECIDED[1] / DECIDED[0]
    yield "decide_peak_mb", many_peak, "MiB", "a million images", few_peak


def decide_rows(rows: str) -> Iterator[tuple[float, float]]:
    """Seconds and peak memory (MiB) of the verdicts on a generation of `rows` images."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        # Generated in another process, so that its memory does not count.
        list(printed_by(HERE, "generation", rows, name))
        started = time.perf_counter()
        decide_step(
            catalog=(folder / "catalog.parquet",), downloads=folder / "downloads.parquet",
            labels=folder / "labels.parquet", settings=CurateSettings(), out=folder / "verdicts.parquet",
            account=folder / "account.json", memory_mb=MEMORY_MB, threads=THREADS,
        )  # fmt: skip
        yield time.perf_counter() - started, peak_mb()


def generation(rows: str, folder: str) -> Iterator[None]:
    """Catalogue, downloads and labels: a tenth failed, a twentieth have the file of another, a third an occurrence."""
    source = f"(SELECT range AS n, md5('uuid' || range) AS uuid, hash(range) % {LABELLED} AS label FROM range({rows}))"
    made: dict[str, tuple[Contract, dict[str, str]]] = {
        "catalog": (
            CATALOG,
            {
                "label_id": "'label' || label",
                "data_source": "'gbif'",
                "source_url": "'https://host' || n % 200 || '.test/' || uuid",
                "host": "'host' || n % 200 || '.test'",
                "basisOfRecord": "CASE WHEN n % 50 = 0 THEN 'MACHINE_OBSERVATION' ELSE 'HUMAN_OBSERVATION' END",
                "occurrence_id": "CASE WHEN n % 3 <> 0 THEN 'occurrence' || n // 3 END",
                "license": "'CC-BY-4.0'",
                "generation": "0",
                "part": "0",
            },
        ),
        "downloads": (
            GATHERED_DOWNLOADS,
            {
                "status": "CASE WHEN n % 10 = 0 THEN 'failed' ELSE 'ok' END",
                "error": "CASE WHEN n % 10 = 0 THEN 'http_error: 404' END",
                "attempts": "1",
                "md5": f"CASE WHEN n % 10 > 0 THEN md5('picture' || if(n % 20 = 7, n // 40, n + {rows})) END",
                "original_width": "1024",
                "original_height": "768",
                "tar": "CASE WHEN n % 10 > 0 THEN printf('images-%05d.tar', n // 10000) END",
                "offset": "CASE WHEN n % 10 > 0 THEN n * 1000 END",
                "size": "CASE WHEN n % 10 > 0 THEN 180_000 + n % 1000 END",
                "part": "0",
            },
        ),
    }
    with tables.connect(4 * MEMORY_MB, THREADS) as connection:
        for name, (contract, values) in made.items():
            columns = ", ".join(
                f"{values.get(column.name, f'NULL::{column.type}')} AS {tables.quoted(column.name)}"
                for column in contract.columns
                if column.name != "uuid"
            )
            query = f"SELECT uuid, {columns} FROM {source}"
            tables.write(connection, query, contract, Path(folder) / f"{name}.parquet")
    labels = [
        {
            "label_id": f"label{number}",
            "kingdom": "Animalia",
            "genus": f"Genus{number % 20_000}",
            "species": f"species{number}",
            "scientific_name": f"Genus{number % 20_000} species{number}",
            "match_type": "exact",
            "strategy": "exact",
            "confidence": 1.0,
            "resolved_rank": "species",
            "images": 1,
        }
        for number in range(LABELLED)
    ]
    tables.write_rows(labels, LABELS, Path(folder) / "labels.parquet")
    yield None


def leakage() -> Iterator[MeasuredValues]:
    """Ten million hashes against a hundred thousand, in batches as the step does it, on two threads."""
    use_threads(THREADS)
    random = np.random.default_rng(0)
    references = random.integers(0, 256, (BENCHMARK_HASHES, 32), np.uint8)
    started = time.perf_counter()
    index = NearHashes(references)
    for _ in range(CATALOGUE_HASHES // HASHES_A_BATCH):
        queries = random.integers(0, 256, (HASHES_A_BATCH, 32), np.uint8)
        list(index.near(queries))
    seconds = time.perf_counter() - started
    peak = peak_mb()
    sample = references[:SAMPLED_HASHES]
    started = time.perf_counter()
    brute = _brute_force(sample, references)
    brute_seconds = (time.perf_counter() - started) * CATALOGUE_HASHES / SAMPLED_HASHES
    assert brute == [tuple(match) for match in index.near(sample)]
    yield "leakage_search_seconds", seconds, "s", "brute force, from a sample", brute_seconds
    yield "leakage_search_peak_mb", peak, "MiB", "the catalogue's hashes", CATALOGUE_HASHES * 32 / 2**20


def _brute_force(queries: np.ndarray, references: np.ndarray) -> list[tuple[int, int, int]]:
    index = faiss.IndexBinaryFlat(256)
    index.add(references)
    limits, distances, found = index.range_search(queries, MAX_DISTANCE + 1)
    query = np.repeat(np.arange(len(queries)), np.diff(limits.astype(np.int64)))
    return sorted(zip(query.tolist(), found.tolist(), distances.astype(int).tolist(), strict=True))


def planted() -> Iterator[MeasuredValues]:
    """Share of planted copies that are found, and share of other images that are wrongly reported as copies."""
    originals = [images.decode(photo(number)) for number in range(PLANTED)]
    index = NearHashes(_hashes(originals))
    changed: dict[str, Callable[[images.RgbImage], images.RgbImage]] = {
        "as_is": lambda image: image,
        "quality_60": lambda image: images.decode(images.encode_jpeg(image, 60)),
        "half": lambda image: np.asarray(cv2.resize(image, (360, 270), interpolation=cv2.INTER_AREA), np.uint8),
        "border": lambda image: np.asarray(cv2.copyMakeBorder(image, 14, 14, 14, 14, cv2.BORDER_CONSTANT), np.uint8),
    }
    for name, change in changed.items():
        found = {match.query for match in index.near(_hashes([change(image) for image in originals]))}
        yield f"leakage_recall_{name}", len(found) / PLANTED, "", f"{PLANTED} planted images", 1.0
    wrong = 0
    for start in range(0, OTHERS, PLANTED):
        others = [images.decode(photo(PLANTED + start + number, 240, 180)) for number in range(PLANTED)]
        wrong += len({match.query for match in index.near(_hashes(others))})
    yield "leakage_wrongly_removed", wrong, "", f"{OTHERS} other images", OTHERS


def _hashes(pictures: list[images.RgbImage]) -> np.ndarray:
    return np.frombuffer(bytes.fromhex("".join(images.pdq(picture) or "" for picture in pictures)), np.uint8).reshape(
        -1, 32
    )


def dedup() -> Iterator[MeasuredValues]:
    """The duplicates among twenty million files, found as `twins.sql` does, beside polars' streaming engine."""
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder) / "downloads.parquet"
        with tables.connect(MEMORY_MB, THREADS) as connection:
            connection.execute(
                "COPY (SELECT md5('uuid' || range) AS uuid, md5('picture' || CASE WHEN range % 20 = 0 THEN range // 40 "
                f"ELSE range + {DEDUP_ROWS} END) AS md5 FROM range({DEDUP_ROWS})) TO {tables.literal(table)} "
                "(FORMAT parquet, COMPRESSION zstd)"
            )
        (ours, ours_peak, found), (theirs, theirs_peak, also) = (
            next(printed_by(HERE, way, str(table))) for way in ("dedup_ours", "dedup_polars")
        )
    assert found == also > 0
    yield "md5_dedup_seconds", ours, "s", "polars, streaming", theirs
    yield "md5_dedup_peak_mb", ours_peak, "MiB", "polars, streaming", theirs_peak


def dedup_ours(table: str) -> Iterator[tuple[float, float, int]]:
    """Seconds, peak memory (MiB) and number of duplicates, by the statements of `twins.sql`."""
    started = time.perf_counter()
    with tables.connect(MEMORY_MB, THREADS) as connection:
        found = _duplicates(connection, tables.scan(Path(table)))
    yield time.perf_counter() - started, peak_mb(), found


def _duplicates(connection: duckdb.DuckDBPyConnection, source: str) -> int:
    pictures = f"(SELECT uuid, CAST(md5 AS UUID) AS picture FROM {source})"
    connection.execute(
        f"CREATE TEMP TABLE repeated AS SELECT picture FROM {pictures} GROUP BY picture HAVING count(*) > 1"
    )
    connection.execute(f"CREATE TEMP TABLE twins AS SELECT * FROM {pictures} SEMI JOIN repeated USING (picture)")
    connection.execute(
        "CREATE TEMP TABLE duplicates AS SELECT twins.uuid FROM twins INNER JOIN "
        "(SELECT picture, min(uuid) AS survivor FROM twins GROUP BY picture) AS survivors USING (picture) "
        "WHERE uuid <> survivor"
    )
    counted = connection.execute("SELECT count(*) FROM duplicates").fetchone()
    assert counted is not None
    return int(counted[0])


def dedup_polars(table: str) -> Iterator[tuple[float, float, int]]:
    """The same measurements in polars: a join with the groups of more than one file."""
    started = time.perf_counter()
    files = pl.scan_parquet(table)
    groups = files.group_by("md5").agg(pl.col("uuid").min().alias("survivor"), pl.len()).filter(pl.col("len") > 1)
    twins = files.join(groups, on="md5").filter(pl.col("uuid") != pl.col("survivor"))
    found = twins.select("uuid").collect(engine="streaming").height
    yield time.perf_counter() - started, peak_mb(), found


if __name__ == "__main__":
    print_rows((decide, decide_rows, generation, leakage, planted, dedup, dedup_ours, dedup_polars))
