"""Carve a benchmark like Rare Species out of a corpus: a random set of species, held out of training.

Follows BioCLIP's Rare Species (Stevens et al. 2024, section 4): species are drawn from those with enough images, with
the same number of images each. `curate.hold_out_species_of` then keeps these species out of training. Only the first
generation is used, so that the benchmark stays the same while the corpus grows.
"""

import logging
from pathlib import Path

import duckdb

from workflow_scripts.common import tables
from workflow_scripts.common.accounts import Account, write_account
from workflow_scripts.common.cli import run
from workflow_scripts.common.config.evaluate import CarvedBenchmark
from workflow_scripts.common.errors import InputError
from workflow_scripts.common.names import define_names
from workflow_scripts.contracts import BENCHMARK_IMAGES, CATALOG, GATHERED_DOWNLOADS, LABELS
from workflow_scripts.evaluate.candidates import read_species_list
from workflow_scripts.evaluate.label_files import DIFFERING

logger = logging.getLogger(__name__)

QUERY = "index.sql"


def carve(
    *,
    name: str,
    settings: CarvedBenchmark,
    catalog: tuple[Path, ...],
    downloads: Path,
    parts: Path,
    labels: Path,
    out: Path,
    account: Path,
    memory_mb: int = 2048,
    threads: int = 1,
) -> None:
    """Write the images table of a carved benchmark; the images stay in the download tars.

    Args:
        name: the benchmark's name.
        settings: number of species and images, species to draw from, seed.
        catalog: the catalog parts of the corpus's first generation.
        downloads: the gathered download manifest.
        parts: the folder of the download parts, as written into the table.
        labels: the corpus's resolved labels.
        out: the images table to write.
        account: the account to write.
        memory_mb: memory limit of DuckDB, MiB.
        threads: threads of DuckDB.

    Raises:
        InputError: a table is missing or breaks its contract, or too few species have enough images.
    """
    with tables.connect(memory_mb, threads) as connection:
        among = _listed(connection, Path(settings.among)) if settings.among else []
        tables.read(connection, catalog, CATALOG, "catalog")
        tables.read(connection, downloads, GATHERED_DOWNLOADS, "downloads")
        tables.read(connection, labels, LABELS, "labels")
        variables = {
            "species": settings.species,
            "images": settings.images,
            "seed": str(settings.seed),
            "among": among,
            "parts": str(parts),
        }
        for variable, value in variables.items():
            connection.execute(f"SET VARIABLE {variable} = $value", {"value": value})
        query = Path(__file__).with_name(QUERY).read_text(encoding="utf-8")
        connection.execute(f"CREATE TEMP TABLE carved AS {query}")
        species, rows = tables.one_row(
            connection,
            "SELECT count(DISTINCT (taxon_kingdom, class)), (SELECT count(*) FROM downloads) FROM carved",
        )
        if species < settings.species:
            listed = f" of those that {settings.among} lists" if settings.among else ""
            raise InputError(
                f"benchmarks.{name}: {species} species{listed} have {settings.images} images, expected "
                f"{settings.species}; lower benchmarks.{name}.species or benchmarks.{name}.images"
            )
        kept = tables.write(connection, "SELECT * FROM carved", BENCHMARK_IMAGES, out)
    notes = {"classes": species, DIFFERING: 0}
    write_account(account, Account("benchmarks", name, "images", rows, kept, {"not_carved": rows - kept}, notes))
    logger.info("%s: %d images of %d species", name, kept, species)


def _listed(connection: duckdb.DuckDBPyConnection, path: Path) -> list[str]:
    """The lower-case binomials that a list names, and its names as written.

    Raises:
        InputError: the file is missing, is not a table or a list of names, or is empty.
    """
    define_names(connection)
    names = [taxon.scientific for taxon in read_species_list(path)]
    connection.execute("CREATE TEMP TABLE listed AS SELECT unnest(?::VARCHAR[]) AS written", [names])
    rows = connection.execute(
        "SELECT lower(written) AS name FROM listed "
        "UNION SELECT lower(word || ' ' || epithet) FROM name_parts('listed') WHERE epithet IS NOT NULL ORDER BY name"
    )
    return [str(row[0]) for row in rows.fetchall()]


if __name__ == "__main__":
    run(carve)
