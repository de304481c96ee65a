"""Read the metadata of BIOSCAN-1M or BIOSCAN-5M into contract records. The images are local files.

In: the metadata (5M: CSV, 1M: TSV) and the folder of images. Out: one row per specimen image.
"""

import re
from pathlib import Path

from workflow_scripts.catalog.records import columns_of, count_rows, open_text, require_columns, write_named
from workflow_scripts.common.cli import run
from workflow_scripts.common.config.catalog import Bioscan
from workflow_scripts.common.tables import connect, literal, quoted

PATH_OF_5M = "{split}/{chunk}/{processid}.jpg"
PATH_OF_1M = "part{chunk_number}/{image_file}"
RANKS_GIVEN = ("phylum", "class", "order", "family", "genus")
FIELD = re.compile(r"\{(\w+)\}")
# BIOSCAN-1M's value for an unknown rank.
UNKNOWN = "not_classified"


def read_bioscan(*, metadata: Path, settings: Bioscan, out: Path, account: Path, memory_mb: int, threads: int) -> None:
    """Read BIOSCAN metadata into contract records.

    Args:
        metadata: the metadata file.
        settings: the source's config section.
        out: output: the records (contract SOURCE_RECORDS).
        account: output: the account of rows.
        memory_mb: DuckDB's memory limit, MiB.
        threads: DuckDB's threads.

    Raises:
        InputError: the file cannot be read or lacks a column, or `select`, `keep` or `path` names a missing column.
    """
    with connect(memory_mb, threads) as connection:
        is_csv = ".csv" in metadata.suffixes
        open_text(connection, metadata, "metadata", "," if is_csv else "\t", quote='"' if is_csv else "")
        found = columns_of(connection, "metadata")
        template = settings.path or (PATH_OF_1M if "image_file" in found else PATH_OF_5M)
        require_columns(metadata, found, ("processid", *RANKS_GIVEN, "species", *FIELD.findall(template)))
        ranks = ", ".join(f"nullif({quoted(rank)}, '{UNKNOWN}') AS {quoted(rank)}" for rank in RANKS_GIVEN)
        licence = "copyright_license" if "copyright_license" in found else "NULL::VARCHAR"
        owner = "copyright_holder" if "copyright_holder" in found else "NULL::VARCHAR"
        connection.execute(
            f"""
            CREATE TEMP VIEW joined AS
            SELECT
                * REPLACE ({ranks}, split_part(nullif(species, '{UNKNOWN}'), ' ', 2) AS species),
                nullif(species, '{UNKNOWN}') AS scientific_name,
                'Animalia' AS kingdom,
                'bioscan' AS data_source,
                processid AS source_id,
                'bioscan:' || processid AS occurrence_id,
                {_path(template)} AS path,
                {licence} AS license_name,
                {owner} AS copyright_owner,
                'Museum Specimen: Insect' AS img_type
            FROM metadata
            """
        )
        write_named(
            connection,
            settings=settings,
            query="SELECT * FROM joined",
            rows=count_rows(connection, "metadata"),
            out=out,
            account=account,
            images=Path(settings.images),
        )


def _path(template: str) -> str:
    """SQL expression for the path template. Double slashes from empty columns are collapsed."""
    pieces = [
        f"coalesce({quoted(piece)}, '')" if place % 2 else literal(piece)
        for place, piece in enumerate(FIELD.split(template))
    ]
    return f"regexp_replace({' || '.join(pieces)}, '/+', '/', 'g')"


if __name__ == "__main__":
    run(read_bioscan)
