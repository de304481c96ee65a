"""Read iNat21's folders into contract records.

In: a folder with folders `NNNNN_Kingdom_Phylum_Class_Order_Family_Genus_species` of JPEGs. Out: one row per image.
"""

from pathlib import Path

from workflow_scripts.catalog.records import count_rows, write_named
from workflow_scripts.common.cli import run
from workflow_scripts.common.config.catalog import INat21
from workflow_scripts.common.errors import InputError
from workflow_scripts.common.tables import connect, literal, path_literal, quoted
from workflow_scripts.contracts import RANKS

FOLDER = r"^\d{5}(_[^_]+){6}_.+$"
IMAGE = r"\.(jpg|jpeg|png)$"


def read_inat21(*, images: Path, settings: INat21, out: Path, account: Path, memory_mb: int, threads: int) -> None:
    """Read iNat21's folders into contract records.

    Args:
        images: the folder with one folder per species.
        settings: the source's config section.
        out: output: the records (contract SOURCE_RECORDS).
        account: output: the account of rows.
        memory_mb: DuckDB's memory limit, MiB.
        threads: DuckDB's threads.

    Raises:
        InputError: the folder does not exist, or has no images in folders named like iNat21's.
    """
    if not images.is_dir():
        raise InputError(f"{images}: no such folder")
    with connect(memory_mb, threads) as connection:
        connection.execute(
            "CREATE TEMP TABLE files AS SELECT path, parse_dirpath(path) AS folder FROM ("
            f"SELECT substr(file, {len(str(images)) + 2}) AS path FROM glob({path_literal(images)} || '/*/*')) "
            f"WHERE regexp_matches(lower(path), {literal(IMAGE)})"
        )
        ranks = ", ".join(f"words[{place + 2}] AS {quoted(rank)}" for place, rank in enumerate(RANKS[:-1]))
        connection.execute(
            f"""
            CREATE TEMP VIEW joined AS
            SELECT
                * EXCLUDE (words),
                {ranks},
                -- Epithets can contain underscores.
                array_to_string(words[8:], '_') AS species,
                'inat21' AS data_source,
                parse_filename(path, true) AS source_id,
                'Citizen Science' AS img_type
            FROM (SELECT *, string_split(folder, '_') AS words FROM files)
            WHERE regexp_matches(folder, {literal(FOLDER)})
            """
        )
        rows, named = count_rows(connection, "files"), count_rows(connection, "joined")
        if not named:
            raise InputError(f"{images}: no images in folders like 00000_Animalia_..._Genus_species")
        write_named(
            connection,
            settings=settings,
            query="SELECT * FROM joined",
            rows=rows,
            out=out,
            account=account,
            images=images,
            left_out={"other_folder": rows - named},
        )


if __name__ == "__main__":
    run(read_inat21)
