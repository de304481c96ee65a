"""Find catalog images that are also in a benchmark: by MD5 of the bytes, or by PDQ within 10 of 256 bits."""

import logging
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pyarrow as pa

from workflow_scripts.common import tables
from workflow_scripts.common.accounts import Account, write_account
from workflow_scripts.common.cli import run
from workflow_scripts.common.pdq_distance import USABLE
from workflow_scripts.common.progress import Progress
from workflow_scripts.contracts import BENCHMARK_IMAGES, GATHERED_DOWNLOADS, LEAKAGE
from workflow_scripts.curate.hashes import NearHashes, unpacked, use_threads

logger = logging.getLogger(__name__)

BATCH = 250_000


def find_leakage(
    *,
    downloads: Path,
    benchmarks: dict[str, Path] = {},  # noqa: B006 (read only)
    out: Path,
    account: Path,
    memory_mb: int = 2048,
    threads: int = 1,
) -> None:
    """List the downloaded images of a generation that are also in a benchmark, by TreeOfLife-200M's definition.

    An image without a usable perceptual hash is matched only by its bytes; the account has the number of such images.

    Args:
        downloads: the generation's gathered downloads.
        benchmarks: each benchmark's images, by its name.
        out: the list to write (contract LEAKAGE): a row for each image and benchmark.
        account: the account to write: downloaded images, kept or leaked, with notes on unusable hashes.
        memory_mb: memory limit of DuckDB, MiB. The benchmarks' hashes take about 1 KB each in addition.
        threads: threads of DuckDB and of the search; no effect on results.

    Raises:
        InputError: a table breaks its contract.
    """
    use_threads(threads)
    with tables.connect(memory_mb, threads) as connection:
        tables.read(connection, downloads, GATHERED_DOWNLOADS, "downloads")
        connection.execute(
            "CREATE TEMP VIEW acquired AS SELECT * FROM downloads WHERE status = 'ok' AND tar IS NOT NULL"
        )
        _list_benchmark_images(connection, benchmarks)
        connection.execute("CREATE TEMP TABLE near (pdq VARCHAR, number BIGINT, distance BIGINT)")
        references = connection.sql(f"SELECT number, pdq FROM pictures WHERE {USABLE} ORDER BY number").to_arrow_table()
        _search(connection, downloads, references)
        query = Path(__file__).with_name("leakage.sql").read_text(encoding="utf-8")
        leaked = tables.write(connection, query, LEAKAGE, out)
        write_account(account, _account(connection, downloads.stem, out))
    logger.info("%d pairs of a catalog image and a benchmark", leaked)


def _list_benchmark_images(connection: duckdb.DuckDBPyConnection, benchmarks: dict[str, Path]) -> None:
    """Create the table `pictures`: every image of every benchmark, numbered in a fixed order."""
    connection.execute(
        "CREATE TEMP TABLE pictures "
        "(number BIGINT, benchmark VARCHAR, position BIGINT, image VARCHAR, path VARCHAR, "
        '"offset" BIGINT, size BIGINT, md5 VARCHAR, pdq VARCHAR)'
    )
    for name, path in sorted(benchmarks.items()):
        tables.read(connection, path, BENCHMARK_IMAGES, "images")
        connection.execute(
            "INSERT INTO pictures SELECT (SELECT count(*) FROM pictures) + row_number() OVER (ORDER BY position) - 1, "
            f'{tables.literal(name)}, position, image, path, "offset", size, md5, pdq FROM images'
        )


def _search(connection: duckdb.DuckDBPyConnection, downloads: Path, references: pa.Table) -> None:
    """Fill the table `near`, one batch of the catalog's distinct hashes at a time."""
    numbers = references["number"].to_numpy()
    index = NearHashes(unpacked(references["pdq"]))
    with Progress("leakage", unit="hashes") as progress:
        for hashes in _distinct_hashes(connection, downloads) if len(numbers) else ():
            found = list(index.near(unpacked(hashes)))
            progress.update(len(hashes))
            if found:
                queries, matched, distances = zip(*found, strict=True)
                table = pa.table(
                    {"pdq": hashes.take(pa.array(queries)), "number": numbers[list(matched)], "distance": distances}
                )
                _append(connection, table)


def _distinct_hashes(connection: duckdb.DuckDBPyConnection, downloads: Path) -> Iterator[pa.Array]:
    # A separate cursor: the connection stores matches while this result is read.
    query = f"SELECT pdq FROM {tables.scan(downloads)} WHERE status = 'ok' AND {USABLE}"
    reader = connection.cursor().sql(query).to_arrow_reader(BATCH)
    for batch in reader:
        yield batch.column(0).unique()


def _append(connection: duckdb.DuckDBPyConnection, found: pa.Table) -> None:
    connection.register("found", found)
    connection.execute("INSERT INTO near SELECT * FROM found")
    connection.unregister("found")


def _account(connection: duckdb.DuckDBPyConnection, generation: str, out: Path) -> Account:
    connection.execute(f"CREATE TEMP VIEW leaked AS SELECT * FROM {tables.scan(out)}")
    acquired, unusable, pictures, unusable_pictures, same_bytes, leaked = tables.one_row(
        connection,
        f"""
        SELECT
            (SELECT count(*) FROM acquired),
            (SELECT count(*) FROM acquired WHERE NOT coalesce({USABLE}, false)),
            (SELECT count(*) FROM pictures),
            (SELECT count(*) FROM pictures WHERE NOT coalesce({USABLE}, false)),
            (SELECT count(DISTINCT uuid) FROM leaked WHERE same_bytes),
            (SELECT count(DISTINCT uuid) FROM leaked)
        """,
    )
    by_benchmark = connection.execute(
        "SELECT benchmark, count(*) FROM leaked GROUP BY benchmark ORDER BY benchmark"
    ).fetchall()
    return Account(
        stage="leakage",
        part=generation,
        unit="images",
        rows_in=acquired,
        kept=acquired - leaked,
        dropped={"same_bytes": same_bytes, "near_hash": leaked - same_bytes},
        notes={
            "benchmark images": pictures,
            "benchmark images without a usable hash": unusable_pictures,
            "images without a usable hash": unusable,
            **{f"of {benchmark}": count for benchmark, count in by_benchmark},
        },
    )


if __name__ == "__main__":
    run(find_leakage)
