"""Compare two tables of resolved labels: the labels, images and benchmark classes that change."""

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import duckdb
import tyro

from workflow_scripts.common import tables
from workflow_scripts.common.cli import AsJson, print_json, run
from workflow_scripts.contracts import BENCHMARK_IMAGES, LABELS

HERE = Path(__file__).parent
BENCHMARKS = Path("results/shared/benchmarks")


def diff(
    *,
    old: tyro.conf.Positional[Path],
    new: tyro.conf.Positional[Path],
    benchmarks: dict[str, Path] = {},  # noqa: B006 (read only)
    show: int = 20,
    json_lines: AsJson = False,
    memory_mb: int = 2048,
    threads: int = 1,
) -> None:
    """Print the differences between two tables of resolved labels.

    Exit status: 0 whether or not labels change (see `changes` of --json); 2 bad input.

    Args:
        old: the `labels.parquet` to compare with.
        new: the `labels.parquet` to compare.
        benchmarks: name and `images.parquet` of each benchmark whose classes are compared. Default: the benchmarks that
            the workflow has indexed here.
        show: number of labels and of classes to list, those with the most images first.
        json_lines: print one JSON object: `changes` (change, labels, images) and the listed `labels` and `classes`.
        memory_mb: DuckDB's memory limit, MiB.
        threads: DuckDB's threads.

    Raises:
        InputError: a file is missing or breaks its contract.
    """
    found = benchmarks or {path.parent.name: path for path in sorted(BENCHMARKS.glob("*/images.parquet"))}
    with tables.connect(memory_mb, threads) as connection:
        lines = list(differences(connection, old, new, found, show))
        if json_lines:
            print_json(_as_rows(connection, show))
        else:
            sys.stdout.writelines(f"{line}\n" for line in lines)


def _as_rows(connection: duckdb.DuckDBPyConnection, show: int) -> dict[str, list[dict[str, Any]]]:
    """The result of `differences` as rows, for --json."""
    queries = {
        "changes": "SELECT change, count(*)::BIGINT AS labels, sum(images)::BIGINT AS images FROM changed "
        "GROUP BY change ORDER BY images DESC, change",
        "labels": "SELECT label_id, change, images::BIGINT AS images, written, old_taxon, new_taxon FROM changed "
        f"ORDER BY images DESC, label_id LIMIT {int(show)}",
        "classes": "SELECT * FROM changed_classes ORDER BY abs(new_images - old_images) DESC, benchmark, class "
        f"LIMIT {int(show)}",
    }
    return {name: connection.sql(query).to_arrow_table().to_pylist() for name, query in queries.items()}


def differences(
    connection: duckdb.DuckDBPyConnection, old: Path, new: Path, benchmarks: Mapping[str, Path], show: int
) -> Iterator[str]:
    """Compare two tables of labels; yield the lines to print. See `diff`."""
    tables.read(connection, old, LABELS, "old_labels")
    tables.read(connection, new, LABELS, "new_labels")
    connection.execute(
        "CREATE TEMP TABLE benchmark_classes (benchmark VARCHAR, class VARCHAR, kingdom VARCHAR, taxon VARCHAR)"
    )
    for name, path in benchmarks.items():
        tables.read(connection, path, BENCHMARK_IMAGES, "benchmark_images")
        # The name of a class without ranks is the taxon: "Pica hudsonia".
        connection.execute(
            "INSERT INTO benchmark_classes SELECT DISTINCT ?, class, taxon_kingdom, "
            "coalesce(taxon_genus || ' ' || taxon_species, taxon_genus, taxon_family, class) FROM benchmark_images",
            [name],
        )
    connection.execute((HERE / "diff.sql").read_text(encoding="utf-8"))
    sums = connection.execute(
        "SELECT change, count(*), sum(images)::BIGINT FROM changed GROUP BY change ORDER BY 3 DESC, 1"
    ).fetchall()
    if not sums:
        yield "no label changes"
        return
    yield f"{sum(row[1] for row in sums):,} labels change, with {sum(row[2] for row in sums):,} images"
    yield from (f"  {change}: {labels:,} labels, {images:,} images" for change, labels, images in sums)
    yield "\nlabels with the most images:"
    listed = connection.execute(
        "SELECT images, change, written, old_taxon, new_taxon FROM changed ORDER BY images DESC, label_id LIMIT ?",
        [show],
    ).fetchall()
    for images, change, written, before, after in listed:
        arrow = f"{before or '(none)'} -> {after or '(none)'}" if before != after else after
        yield f"  {images:,} {written or '(empty)'}: {change}: {arrow}"
    classes = connection.execute(
        "SELECT *, count(*) OVER () FROM changed_classes "
        "ORDER BY abs(new_images - old_images) DESC, benchmark, class LIMIT ?",
        [show],
    ).fetchall()
    yield f"\n{classes[0][4] if classes else 0} classes of {len(benchmarks)} benchmarks gain or lose images:"
    yield from (f"  {name} {one}: {before:,} -> {after:,} images" for name, one, before, after, _ in classes)


if __name__ == "__main__":
    run(diff)
