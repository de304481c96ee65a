"""Read FathomNet's image records (JSON from its API) into contract records, one per bounding box.

In: a JSON list of records with `url` and `boundingBoxes`. Out: one row per box, whose crop is the box in pixels of the
source image.
"""

from pathlib import Path

from workflow_scripts.catalog.records import count_rows, one_line, write_named
from workflow_scripts.common.cli import run
from workflow_scripts.common.config.catalog import FathomNet
from workflow_scripts.common.errors import InputError
from workflow_scripts.common.tables import connect, path_literal

BOXES = (
    "STRUCT(uuid VARCHAR, concept VARCHAR, altConcept VARCHAR, x DOUBLE, y DOUBLE, width DOUBLE, height DOUBLE, "
    "rejected BOOLEAN)[]"
)
COLUMNS = f"{{uuid: 'VARCHAR', url: 'VARCHAR', boundingBoxes: '{BOXES}'}}"
MAX_RECORD_BYTES = 2**24


def read_fathomnet(
    *, records: Path, settings: FathomNet, out: Path, account: Path, memory_mb: int, threads: int
) -> None:
    """Read FathomNet's image records into contract records.

    Args:
        records: the JSON file: a list of records, or one record per line.
        settings: the source's config section.
        out: output: the records (contract SOURCE_RECORDS).
        account: output: the account of rows.
        memory_mb: DuckDB's memory limit, MiB.
        threads: DuckDB's threads.

    Raises:
        InputError: the file is missing or is not such JSON, or `select` or `keep` names a missing column.
    """
    if not records.is_file():
        raise InputError(f"{records}: missing")
    with connect(memory_mb, threads) as connection:
        with one_line(f"{records}: not a JSON list of FathomNet image records"):
            connection.execute(
                "CREATE TEMP TABLE boxes AS SELECT uuid AS image, url, unnest(boundingBoxes) AS box FROM "
                f"read_json({path_literal(records)}, columns = {COLUMNS}, maximum_object_size = {MAX_RECORD_BYTES})"
            )
        connection.execute(
            """
            CREATE TEMP VIEW joined AS
            SELECT
                image,
                url,
                box.uuid AS source_id,
                'fathomnet' AS data_source,
                'FathomNet' AS publisher,
                -- All boxes of a frame go to the same split.
                'fathomnet:' || image AS occurrence_id,
                box.concept AS scientific_name,
                box.altConcept AS alt_concept,
                box.x AS x,
                box.y AS y,
                box.width AS width,
                box.height AS height,
                coalesce(box.rejected, false) AS rejected
            FROM boxes
            """
        )
        write_named(
            connection,
            settings=settings,
            query="SELECT * EXCLUDE (rejected) FROM joined WHERE NOT rejected",
            rows=count_rows(connection, "boxes"),
            out=out,
            account=account,
            left_out={"rejected": count_rows(connection, "joined WHERE rejected")},
        )


if __name__ == "__main__":
    run(read_fathomnet)
