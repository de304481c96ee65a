"""Give each catalog row of a generation a verdict: kept in train or val, or left out for a reason."""

import logging
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import duckdb
import pyarrow as pa

from workflow_scripts.common import tables
from workflow_scripts.common.accounts import Account, SourceRows, account_for, by_source, count_by_reason, write_account
from workflow_scripts.common.cli import run
from workflow_scripts.common.config.curate import CurateSettings
from workflow_scripts.common.config.screen import Refusals
from workflow_scripts.common.errors import InputError, did_you_mean
from workflow_scripts.contracts import (
    BENCHMARK_IMAGES,
    CATALOG,
    FINDINGS,
    GATHERED_DOWNLOADS,
    LABELS,
    LEAKAGE,
    LEDGER,
    OUTSIDE_VERDICTS,
    RANKS,
    VERDICTS,
)

logger = logging.getLogger(__name__)

# Causes listed in the error about an empty corpus.
MOST_CAUSES = 3
# Row groups of the downloads per span: half a million images.
SPAN_ROW_GROUPS = 4
# Prefix of the temporary folder beside the output.
SCRATCH = ".curate-"
INCOMPLETE = "status = 'ok' AND (md5 IS NULL OR tar IS NULL OR \"offset\" IS NULL OR size IS NULL)"

Span = tuple[str, str | None]
"""A range of uuids: the first one, and the one after the last (None: to the end)."""


def decide(
    *,
    catalog: tuple[Path, ...],
    downloads: Path,
    labels: Path,
    settings: CurateSettings,
    out: Path,
    account: Path,
    older: tuple[Path, ...] = (),
    leakage: tuple[Path, ...] = (),
    held_out: tuple[Path, ...] = (),
    outside: tuple[Path, ...] = (),
    findings: tuple[Path, ...] = (),
    refusals: Refusals = Refusals(rules=[]),  # noqa: B008 (frozen)
    ledger: tuple[Path, ...] = (),
    memory_mb: int = 2048,
    threads: int = 1,
) -> None:
    """Write the verdicts of one generation.

    The reason is the first that applies, in the order of `contracts.VERDICT_REASONS`. Of images with the same bytes and
    crop one is kept: an older generation's, else the one with the smallest uuid, which the others have as `detail`.
    An occurrence goes to val by a hash of its id, so its photos stay together in this generation and the next. If that
    would leave a species without a training image, its occurrences go to train, unless an older generation has them in
    val.

    Args:
        catalog: the generation's parts of the catalog.
        downloads: the generation's gathered downloads.
        labels: the taxon of each provider label (contract LABELS).
        settings: which images to keep.
        out: the verdicts to write (contract VERDICTS).
        account: the account to write: rows in and out by reason.
        older: verdicts of all older generations, which do not change.
        leakage: the generation's images that benchmarks have too.
        held_out: images of the benchmarks whose species are held out.
        outside: images that others refuse; only uuid and reason are read.
        findings: findings of the config's judges in the generation's images, one table per judge.
        refusals: the findings that refuse an image.
        ledger: images that were taken down permanently.
        memory_mb: memory limit of DuckDB, MiB.
        threads: threads of DuckDB; no effect on results.

    Raises:
        InputError: a table breaks its contract, the tables do not match, a name in `taxa` is not a taxon, or no image
            is kept.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    for left in out.parent.glob(f"{SCRATCH}*"):
        # Left by a killed job; as large as the catalog.
        shutil.rmtree(left)
    with (
        tables.connect(memory_mb, threads) as connection,
        # Beside the output, where there is space for files as large as the catalog.
        tempfile.TemporaryDirectory(prefix=SCRATCH, dir=out.parent) as folder,
    ):
        tables.read(connection, catalog, CATALOG, "catalog")
        tables.read(connection, downloads, GATHERED_DOWNLOADS, "downloads")
        tables.read(connection, labels, LABELS, "labels")
        tables.read(connection, older, VERDICTS, "older")
        tables.read(connection, leakage, LEAKAGE, "leakage")
        tables.read(connection, ledger, LEDGER, "ledger")
        tables.read(connection, outside, OUTSIDE_VERDICTS, "outside")
        _read_findings(connection, findings, refusals)
        _list_held_out(connection, held_out)
        generation, rows_in = _generation(connection)

        _set_variables(connection, settings)
        connection.execute(_sql("macros.sql"))
        connection.execute(_sql("taxa.sql"))
        _check_names(connection, labels, settings)
        connection.execute(_sql("judges.sql"))
        spans = spans_of(connection, downloads)
        _order_catalog(connection, Path(folder))
        _write_candidates(connection, spans, Path(folder))
        _check_together(connection, rows_in, downloads, labels)
        for name in ("twins.sql", "counts.sql", "splits.sql"):
            connection.execute(_sql(name))
        rows_out = tables.write_row_groups(_verdicts(connection, spans), VERDICTS, out)
        if rows_out != rows_in:
            raise ValueError(f"{out}: {rows_out} verdicts for {rows_in} catalog rows")

        connection.execute(f"CREATE TEMP VIEW verdicts AS SELECT * FROM {tables.scan(out)}")
        counted = _account(connection, generation, rows_in, _sources(connection, spans))
        write_account(account, counted)
        _check_some_kept(connection, counted)


def _sql(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


def _generation(connection: duckdb.DuckDBPyConnection) -> tuple[str, int]:
    """The generation's name and its number of catalog rows."""
    lowest, highest, rows = tables.one_row(connection, "SELECT min(generation), max(generation), count(*) FROM catalog")
    if lowest != highest:
        raise InputError(
            f"--catalog: expected one generation, found {lowest} and {highest}; give the parts of one generation"
        )
    return (f"g{lowest:03d}" if rows else "empty"), int(rows)


def _read_findings(connection: duckdb.DuckDBPyConnection, findings: tuple[Path, ...], refusals: Refusals) -> None:
    """Create the view `findings`, and the table `rules` of the findings that refuse an image, in order."""
    tables.read(connection, findings, FINDINGS, "findings")
    connection.execute(
        "CREATE TEMP TABLE rules (judge VARCHAR, label VARCHAR, reason VARCHAR, at_least DOUBLE, below DOUBLE)"
    )
    for rule in refusals.rules:
        connection.execute("INSERT INTO rules VALUES ($judge, $label, $reason, $at_least, $below)", rule.model_dump())


def _list_held_out(connection: duckdb.DuckDBPyConnection, benchmarks: tuple[Path, ...]) -> None:
    """Create the table `held_out`: the names of the benchmarks' species, in lower case."""
    connection.execute("CREATE TEMP TABLE held_out (name VARCHAR)")
    for path in benchmarks:
        tables.read(connection, path, BENCHMARK_IMAGES, "images")
        # Without a genus, the species is a name that is not scientific; an epithet alone is not a name.
        name = "lower(concat_ws(' ', nullif(taxon_genus, ''), nullif(taxon_species, '')))"
        is_named = r"taxon_species <> '' AND (taxon_genus <> '' OR regexp_matches(taxon_species, '[^\p{Ll}-]'))"
        named = tables.scalar(connection, f"SELECT count(*) FROM images WHERE {is_named}")
        if not named:
            raise InputError(f"{path}: no species in its labels; remove the benchmark from curate.hold_out_species_of")
        connection.execute(f"INSERT INTO held_out SELECT DISTINCT {name} FROM images WHERE taxon_species <> ''")


def spans_of(connection: duckdb.DuckDBPyConnection, downloads: Path) -> list[Span]:
    """Divide all uuids into spans with about equally many images.

    Joins and sorts of all columns run on one span at a time, in memory; on all images they would spill to disk.
    """
    starts = connection.execute(
        f"SELECT stats_min_value FROM parquet_metadata({tables.path_literal(downloads)}) "
        "WHERE path_in_schema = 'uuid' AND stats_min_value IS NOT NULL ORDER BY row_group_id"
    ).fetchall()
    # The downloads are sorted by uuid; otherwise, the spans would only differ in size.
    bounds = sorted({start for (start,) in starts[SPAN_ROW_GROUPS::SPAN_ROW_GROUPS]})
    return list(zip(["", *bounds], [*bounds, None], strict=True))


def _set_span(connection: duckdb.DuckDBPyConnection, span: Span) -> None:
    for name, value in zip(("first", "beyond"), span, strict=True):
        connection.execute(f"SET VARIABLE {name} = $value::VARCHAR", {"value": value})


def _order_catalog(connection: duckdb.DuckDBPyConnection, folder: Path) -> None:
    """Create the view `ordered`: the catalog's columns that are needed, sorted by uuid.

    Catalog parts are by host, so each has uuids of every span: without sorting, each span would read all parts.
    """
    file = folder / "catalog.parquet"
    # Catalogs of older releases lack the row's source in the config.
    source = "catalog_source" if "catalog_source" in connection.view("catalog").columns else "data_source"
    connection.execute(
        "COPY (SELECT uuid, label_id, crop, data_source, occurrence_id, basisOfRecord, license, license_name, "
        f"{source} AS source, host = '' AS is_local FROM catalog ORDER BY uuid) "
        f"TO {tables.literal(file)} (FORMAT parquet)"
    )
    connection.execute(f"CREATE TEMP VIEW ordered AS SELECT * FROM {tables.scan(file)}")


def _write_candidates(connection: duckdb.DuckDBPyConnection, spans: Sequence[Span], folder: Path) -> None:
    """Create the view `candidates` over files: comparisons need few of its columns, so it is not kept in memory."""
    files = [folder / f"candidates-{number:06d}.parquet" for number in range(len(spans))]
    for span, file in zip(spans, files, strict=True):
        _set_span(connection, span)
        connection.execute(f"COPY ({_sql('candidates.sql')}) TO {tables.literal(file)} (FORMAT parquet)")
    connection.execute(f"CREATE TEMP VIEW candidates AS SELECT * FROM {tables.scan(files)}")


def _verdicts(connection: duckdb.DuckDBPyConnection, spans: Sequence[Span]) -> Iterator[pa.Table]:
    """Yield the verdicts in batches, sorted by uuid."""
    for span in spans:
        _set_span(connection, span)
        for batch in connection.sql(_sql("verdicts.sql")).to_arrow_reader(tables.ROW_GROUP_ROWS):
            yield pa.Table.from_batches([batch])


def _check_together(connection: duckdb.DuckDBPyConnection, rows_in: int, downloads: Path, labels: Path) -> None:
    """Check that each catalog row has its download and its label, and that nothing else was downloaded."""
    joined, downloaded, incomplete = tables.one_row(
        connection,
        f"SELECT (SELECT count(*) FROM candidates), count(*), count(*) FILTER ({INCOMPLETE}) FROM downloads",
    )
    # Identifiers are unique on both sides, so equal counts mean equal sets.
    if joined == rows_in == downloaded and not incomplete:
        return
    for query, complaint in (
        (
            "SELECT uuid FROM catalog ANTI JOIN downloads USING (uuid)",
            f"{downloads}: {{count}} images of the catalog are missing, the first: {{first}}; run the download",
        ),
        (
            "SELECT uuid FROM downloads ANTI JOIN catalog USING (uuid)",
            f"{downloads}: {{count}} images are not in the catalog, the first: {{first}}; "
            "give the downloads of the same generation",
        ),
        (
            f"SELECT uuid FROM downloads WHERE {INCOMPLETE}",
            f"{downloads}: {{count}} images have status ok but no md5, tar, offset or size, the first: {{first}}; "
            "gather the downloads again",
        ),
        (
            "SELECT DISTINCT label_id FROM catalog ANTI JOIN labels USING (label_id)",
            f"{labels}: {{count}} labels of the catalog are missing, the first: {{first}}; resolve the names again",
        ),
    ):
        count, first = tables.one_row(connection, f"SELECT count(*), min(COLUMNS(*)) FROM ({query})")
        if count:
            raise InputError(complaint.format(count=count, first=first))


def _set_variables(connection: duckdb.DuckDBPyConnection, settings: CurateSettings) -> None:
    variables = {
        "ranks": list(RANKS),
        "min_rank": settings.taxa.min_rank,
        "include": _names(settings.taxa.include),
        "exclude": _names(settings.taxa.exclude),
        "min_size": settings.min_size,
        "exclude_basis": [re.sub("[^A-Z]", "", name.upper()) for name in settings.exclude_basis],
        "camera_trap_max": settings.camera_trap_max,
        "licences": settings.licences.allow,
        "unknown_licence": settings.licences.unknown,
        "cap": settings.taxa.cap,
        "floor": settings.taxa.floor,
        "placeholder_taxa": settings.placeholder_taxa,
        "val_share": settings.val_share,
    }
    for name, value in variables.items():
        # A list that may be empty or absent needs an explicit type.
        cast = "::VARCHAR[]" if isinstance(value, list) or name == "licences" else "::BIGINT" if value is None else ""
        connection.execute(f"SET VARIABLE {name} = $value{cast}", {"value": value})


def _names(names: Sequence[str]) -> list[str]:
    return [" ".join(name.split()).lower() for name in names]


def _check_names(connection: duckdb.DuckDBPyConnection, labels: Path, settings: CurateSettings) -> None:
    """Refuse names in the taxa filter that are not taxa of the corpus: they are probably misspelt."""
    for key, names in (("include", settings.taxa.include), ("exclude", settings.taxa.exclude)):
        for written, name in zip(names, _names(names), strict=True):
            if tables.scalar(
                connection, f"SELECT count(*) FROM taxa WHERE list_contains(names, {tables.literal(name)})"
            ):
                continue
            nearest = connection.execute(
                "SELECT name FROM (SELECT DISTINCT unnest(names) AS name FROM taxa) WHERE name IS NOT NULL "
                "ORDER BY damerau_levenshtein(name, $name), name LIMIT 10",
                {"name": name},
            ).fetchall()
            guess = did_you_mean(name, (one for (one,) in nearest)) or "; check its spelling"
            raise InputError(f"curate.taxa.{key}: {written} is not a taxon in {labels}{guess}")


def _sources(connection: duckdb.DuckDBPyConnection, spans: Sequence[Span]) -> list[SourceRows]:
    counts = []
    for span in spans:
        _set_span(connection, span)
        counts += connection.execute(
            "SELECT source, is_local, reason, count(*) FROM ordered INNER JOIN verdicts USING (uuid) "
            "WHERE in_span(ordered.uuid) AND in_span(verdicts.uuid) GROUP BY ALL"
        ).fetchall()
    return by_source(counts)


def _account(
    connection: duckdb.DuckDBPyConnection, generation: str, rows_in: int, sources: Sequence[SourceRows]
) -> Account:
    train, val, taxa, trained = tables.one_row(
        connection,
        "SELECT count(*) FILTER (split = 'train'), count(*) FILTER (split = 'val'), "
        "count(DISTINCT taxon_number), count(DISTINCT taxon_number) FILTER (split = 'train') "
        "FROM verdicts INNER JOIN taxa USING (label_id) WHERE keep",
    )
    counted = account_for(
        count_by_reason(connection, "verdicts"),
        stage="curate",
        part=generation,
        unit="images",
        rows_in=rows_in,
        notes={"train": train, "val": val, "taxa": taxa, "taxa in train": trained},
        sources=sources,
    )
    logger.info("%s: %d kept for train, %d for val; left out: %s", generation, train, val, counted.dropped)
    return counted


def _check_some_kept(connection: duckdb.DuckDBPyConnection, account: Account) -> None:
    """Refuse a corpus without images: all later steps would succeed on nothing."""
    if account.kept or tables.scalar(connection, "SELECT count(*) FROM older WHERE keep"):
        return
    left_out = connection.execute(
        "SELECT reason, any_value(detail ORDER BY uuid), count(*) AS images FROM verdicts "
        "GROUP BY reason, split_part(detail, ':', 2) ORDER BY images DESC, reason LIMIT $most",
        {"most": MOST_CAUSES},
    ).fetchall()
    causes = "; ".join(
        f"{images} {reason} ({detail})" if detail else f"{images} {reason}" for reason, detail, images in left_out
    )
    raise InputError(
        f"the corpus has no images: none of the {account.rows_in} in catalog {account.part} is kept"
        + (f": {causes}" if causes else "; check the paths and filters in generations")
        + (
            f". download/{account.part}.lost.csv lists the failed downloads"
            if "download_failed" in account.dropped
            else ""
        )
    )


if __name__ == "__main__":
    run(decide)
