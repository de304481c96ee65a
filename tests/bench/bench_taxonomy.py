"""Taxonomy at full size: a generated backbone of 5M names and 1M labels, beside the same look-up by dictionaries.

`python bench_taxonomy.py --peer TAXA LABELS` is the peer: it reads the checklist into dictionaries, then
looks up each label's binomial, follows a synonym and walks the parents, as the code of BioCLIP does.
"""

import csv
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
from rows import Row, measured, sized
from species_lists import fuzzy_errors

from workflow_scripts.common.tables import connect, literal, write
from workflow_scripts.contracts import PROVIDER_LABELS

SPECIES = sized(2_380_000, 5000)
LABELS = sized(1_000_000, 2000)
MEMORY_MB = 3000
THREADS = 2
SETTINGS = json.dumps({"backbones": [{"name": "bench", "reader": "dwca", "path": "unused"}]})


def taxonomy(species: int = SPECIES, labels: int = LABELS) -> Iterator[Row]:
    """Seconds and peak memory compared with dictionaries, and seconds per label as their number grows."""
    with tempfile.TemporaryDirectory(prefix="bench-taxonomy-") as name:
        folder = Path(name)
        generate(folder, species, labels)
        build = measured(
            [
                *(sys.executable, "-m", "workflow_scripts.taxonomy.backbone", "--name", "bench"),
                *("--archive", str(folder), "--out", str(folder / "backbone.duckdb")),
                *("--summary", str(folder / "summary.json"), *_limits()),
            ]
        )
        resolving = measured(_resolve(folder, "labels.parquet"))
        fewer = measured(_resolve(folder, "fewer.parquet"))
        peer = measured([sys.executable, __file__, "--peer", str(folder / "Taxon.tsv"), str(folder / "labels.parquet")])
    by_dictionary = json.loads(peer.output)
    yield Row("taxonomy_build_seconds", build.seconds, "s", "dictionaries filled", by_dictionary["build"])
    yield Row("taxonomy_resolve_seconds", resolving.seconds, "s", "dictionaries asked", by_dictionary["resolve"])
    yield Row("taxonomy_resolve_seconds_per_label", resolving.seconds / labels * 1e6, "us", "of a tenth of the labels",
              fewer.seconds / (labels / 10) * 1e6)  # fmt: skip
    yield Row("taxonomy_peak_mb", max(build.peak_mb, resolving.peak_mb), "MiB", "dictionaries", peer.peak_mb)
    yield from fuzzy_errors()


def generate(folder: Path, species: int, labels: int) -> None:
    """Write `Taxon.tsv`, `labels.parquet` and, with a tenth of them, `fewer.parquet`."""
    with connect(MEMORY_MB, THREADS) as connection:
        connection.execute(f"SET VARIABLE species = {species}; SET VARIABLE labels = {labels}")
        connection.execute(Path(__file__).with_name("generated_backbone.sql").read_text(encoding="utf-8"))
        connection.execute(
            f"COPY taxon_rows TO {literal(folder / 'Taxon.tsv')} (FORMAT csv, DELIMITER '\t', QUOTE '', ESCAPE '')"
        )
        write(connection, "SELECT * FROM label_rows", PROVIDER_LABELS, folder / "labels.parquet")
        tenth = "SELECT * FROM label_rows WHERE label_id < '1999'"
        write(connection, tenth, PROVIDER_LABELS, folder / "fewer.parquet")


def _resolve(folder: Path, labels: str) -> list[str]:
    return [
        *(sys.executable, "-m", "workflow_scripts.taxonomy.resolve", "--labels", str(folder / labels)),
        *("--backbones", "bench", str(folder / "backbone.duckdb"), "--settings", SETTINGS),
        *("--out", str(folder / "resolved.parquet"), "--account", str(folder / "account.json"), *_limits()),
    ]


def _limits() -> tuple[str, ...]:
    return ("--memory-mb", str(MEMORY_MB), "--threads", str(THREADS))


def look_up(taxa: Path, labels: Path) -> dict[str, float]:
    """The peer: seconds to fill its dictionaries and to look labels up, and the number of labels found."""
    started = time.perf_counter()
    parents: dict[str, str] = {}
    accepted: dict[str, str] = {}
    ranks: dict[str, tuple[str, str]] = {}
    by_name: dict[str, str] = {}
    with taxa.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE):
            key = row["taxonID"]
            words = row["scientificName"].split()
            name = " ".join(words[:2]) if row["taxonRank"] == "species" else words[0]
            parents[key] = row["parentNameUsageID"]
            ranks[key] = (row["taxonRank"], name)
            if row["acceptedNameUsageID"]:
                accepted[key] = row["acceptedNameUsageID"]
            by_name.setdefault(name, key)
    filled = time.perf_counter()
    found = 0
    for batch in pq.ParquetFile(labels).iter_batches(columns=["scientific_name"]):
        for name in batch.column(0).to_pylist():
            key = by_name.get(" ".join(name.split()[:2]))
            lineage = {}
            key = accepted.get(key, key) if key else None
            while key:
                rank, taxon = ranks[key]
                lineage[rank] = taxon
                key = parents[key]
            found += bool(lineage)
    return {"build": filled - started, "resolve": time.perf_counter() - filled, "found": found}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(look_up(Path(sys.argv[2]), Path(sys.argv[3]))) + "\n")
