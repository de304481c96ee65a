"""Benches of the catalogue's readers on generated sources, each in a separate process."""

import json
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import duckdb
from rows import Row, measured, sized

ROWS = sized(500_000, 2000)
FILES = sized(20_000, 200)
# Millions of rows at which memory is measured.
PEAKS = sized((2, 20), (0.002, 0.004))
MEMORY_MB = 1024
THREADS = 2

URL = "'https://h' || (i % 200) || '.example/' || i || '.jpg'"
RANKS = (
    "'Animalia' AS kingdom, 'Arthropoda' AS phylum, 'Insecta' AS class, 'Diptera' AS \"order\", 'Syrphidae' AS family, "
    "'Genus' || (i % 5000) AS genus, 'species' || (i % 90000) AS species"
)


class Source(NamedTuple):
    """A generated source.

    Attributes:
        files: files by name, each with the SQL columns of row `i`.
        inputs: options of the reader, each with a file or folder.
        settings: other settings of the reader.
    """

    files: dict[str, str]
    inputs: dict[str, str]
    settings: Mapping[str, str] = MappingProxyType({})


SOURCES = {
    "treeoflife200m": Source(
        {
            "catalog.parquet": f"'u' || i AS uuid, {URL} AS source_url, {RANKS}, 'gbif' AS data_source",
            "provenance.parquet": "'u' || i AS uuid, 'CC BY 4.0' AS license_name, 'Ann ' || i AS copyright_owner",
        },
        {"catalog": "catalog.parquet", "provenance": "provenance.parquet"},
    ),
    "treeoflife10m": Source(
        {
            "catalog.csv": "'train' AS split, 't' || i AS treeoflife_id, '' AS eol_content_id, '' AS eol_page_id, "
            "1 AS bioscan_part, i || '.jpg' AS bioscan_filename, '' AS inat21_filename, '' AS inat21_cls_name, "
            f"'fly' AS common, {RANKS}"
        },
        {"catalog": "catalog.csv", "bioscan": "."},
    ),
    "gbif": Source(
        {
            "dwca/occurrence.txt": f'i AS "gbifID", \'HUMAN_OBSERVATION\' AS "basisOfRecord", {RANKS}',
            "dwca/multimedia.txt": f"i AS \"gbifID\", 'StillImage' AS type, {URL} AS identifier",
        },
        {"archive": "dwca"},
    ),
    "eol": Source(
        {
            "media_manifest.csv": f'i AS "EOL content ID", i % 5000 AS "EOL page ID", {URL} AS "Medium Source URL", '
            "'' AS \"EOL Full-Size Copy URL\", 'cc-by-4.0' AS \"License Name\", 'Ann' AS \"Copyright Owner\"",
            "taxon.tab": '\'t\' || i AS "taxonID", i AS "EOLid", \'t\' || (i // 10) AS "parentNameUsageID", '
            "'Name' || i AS \"canonicalName\", 'genus' AS \"taxonRank\", 'accepted' AS \"taxonomicStatus\"",
        },
        {"manifest": "media_manifest.csv", "taxa": "taxon.tab"},
    ),
    "bioscan": Source(
        {"metadata.csv": f"'p' || i AS processid, 'train' AS split, i % 100 AS chunk, {RANKS}"},
        {"metadata": "metadata.csv"},
        {"images": "/images"},
    ),
    "fathomnet": Source(
        {
            "records.json": f"'r' || i AS uuid, {URL} AS url, [{{uuid: 'b' || i, concept: 'Aurelia', x: 1, y: 1, "
            'width: 90, height: 90, rejected: false}] AS "boundingBoxes"'
        },
        {"records": "records.json"},
    ),
    "inat21": Source({}, {"images": "train"}),
    "table": Source({"images.csv": f"{URL} AS url, {RANKS}"}, {"table": "images.csv"}),
}


def catalogues() -> Iterator[Row]:
    """Rows a second of every reader beside DuckDB's bare copy of the same rows; peak memory at 2M and 20M rows."""
    for reader, source in SOURCES.items():
        rows = ROWS if source.files else FILES
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            seconds, _ = _read(reader, source, rows, folder)
            bare = _copy_bare(source, folder)
        yield Row(f"catalog_rows_per_s_{reader}", rows / seconds, "/s", "DuckDB's bare copy", rows / bare)
    peaks = {}
    for millions in PEAKS:
        with tempfile.TemporaryDirectory() as name:
            _, peaks[millions] = _read(
                "treeoflife200m", SOURCES["treeoflife200m"], int(millions * 1_000_000), Path(name)
            )
    for millions, peak in peaks.items():
        yield Row(f"catalog_peak_mb_{millions}m", peak, "MB", f"peak at {PEAKS[0]}M rows", peaks[PEAKS[0]])


def _read(reader: str, source: Source, rows: int, folder: Path) -> tuple[float, float]:
    """Seconds, and peak memory in MB, of a reader on a generated source."""
    for file, columns in source.files.items():
        (folder / file).parent.mkdir(exist_ok=True)
        duckdb.sql(f"COPY (SELECT {columns} FROM range({rows}) AS t(i)) TO '{folder / file}' ({_format(file)})")
    if not source.files:
        for number in range(100):
            species = folder / f"train/{number:05d}_Animalia_Arthropoda_Insecta_Diptera_Syrphidae_Syrphus_s{number}"
            species.mkdir(parents=True)
            for image in range(rows // 100):
                (species / f"{number}-{image}.jpg").touch()
    inputs = {option: str(folder / path) for option, path in source.inputs.items()}
    settings = {"name": "bench", "reader": reader} | inputs | dict(source.settings)
    words = [sys.executable, "-m", f"workflow_scripts.catalog.{reader}", "--settings", json.dumps(settings)]
    words += [word for option, path in inputs.items() for word in (f"--{option}", path)]
    words += ["--out", f"{folder}/out.parquet", "--account", f"{folder}/account.json"]
    done = measured([*words, "--memory-mb", str(MEMORY_MB), "--threads", str(THREADS)])
    return done.seconds, done.peak_mb


def _copy_bare(source: Source, folder: Path) -> float:
    """Seconds that DuckDB takes to copy a source's rows to parquet, without Python's start-up."""
    started = time.perf_counter()
    with duckdb.connect() as connection:
        connection.execute(f"SET threads = {THREADS}")
        for file in source.files or {"train": ""}:
            path = f"{folder}/{file}"
            scan = f"read_csv('{path}', all_varchar = true)" if path.endswith((".txt", ".tab")) else f"'{path}'"
            scan = scan if source.files else f"glob('{path}/*/*')"
            connection.execute(f"COPY (SELECT * FROM {scan}) TO '{folder}/bare.parquet'")
    return time.perf_counter() - started


def _format(file: str) -> str:
    if file.endswith((".txt", ".tab")):
        return "FORMAT csv, HEADER, DELIMITER '\t', QUOTE '', ESCAPE ''"
    return {"csv": "FORMAT csv, HEADER", "json": "FORMAT json"}.get(file.rpartition(".")[2], "FORMAT parquet")
