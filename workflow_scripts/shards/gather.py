"""Merge the tables of all jobs, after checking that every planned sample is in its shard."""

from collections.abc import Iterator
from math import ceil
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from workflow_scripts.common import tables
from workflow_scripts.common.accounts import Account, write_account
from workflow_scripts.common.cli import run
from workflow_scripts.common.errors import InputError
from workflow_scripts.common.files import link
from workflow_scripts.common.layout import PastImages
from workflow_scripts.common.past_images import keep
from workflow_scripts.common.shards import remove_others
from workflow_scripts.contracts import (
    SHARD_GROUP_INDEX,
    SHARD_GROUP_MANIFEST,
    SHARD_INDEX,
    SHARD_MANIFEST,
    SHARD_PLAN,
    SPLITS,
)
from workflow_scripts.shards.rebuild import SMALL, rebuild_command

SMALL_SHARE = 0.1


def gather(
    *,
    manifests: tuple[Path, ...],
    indexes: tuple[Path, ...],
    plan: Path,
    out_dir: Path,
    downloads: Path | None = None,
    held: Path | None = None,
) -> None:
    """Write `manifest.parquet` and `index.parquet` of train, train_small and val, and the account.

    Shards that are not in the plan are removed. The images of the training shards are recorded in `held`.

    Args:
        manifests: the manifests of all groups.
        indexes: the indexes of all groups.
        plan: the generation's plan.
        out_dir: the generation's folder, which contains the shards.
        downloads: the generation's gathered downloads, for the images' hashes.
        held: the folder that records which images shards have ever contained.

    Raises:
        InputError: a sample is not at its planned position, or a shard is missing or has the wrong size.
    """
    with tables.connect() as connection:
        tables.read(connection, plan, SHARD_PLAN, "plan")
        tables.read(connection, manifests, SHARD_GROUP_MANIFEST, "manifests")
        tables.read(connection, indexes, SHARD_GROUP_INDEX, "indexes")
        _check_samples(connection, plan)
        _check_files(connection, out_dir)
        notes: dict[str, int] = {}
        for split in SPLITS:
            folder = out_dir / split
            tables.write_row_groups(_index_of(split, indexes), SHARD_INDEX, folder / "index.parquet")
            rows = f"SELECT * EXCLUDE (split) FROM manifests WHERE split = {tables.literal(split)}"
            notes[f"{split} shards"] = tables.write(connection, rows, SHARD_MANIFEST, folder / "manifest.parquet")
            notes[f"{split} samples"] = tables.scalar(
                connection, f"SELECT coalesce(sum(samples), 0)::BIGINT FROM ({rows})"
            )
            names = connection.execute(f"SELECT shard FROM ({rows})").fetchall()
            remove_others(folder, {name for (name,) in names})
        notes["train_small shards"] = _write_small(connection, out_dir)
        planned = tables.scalar(connection, "SELECT count(*) FROM plan")
        if held is not None:
            folders = [out_dir / "train", out_dir / SMALL]
            keep(connection, PastImages(str(held)), out_dir.name, folders, [downloads] if downloads else [])
    written = sum(notes[f"{split} samples"] for split in SPLITS)
    account = Account("shards", out_dir.name, "samples", rows_in=planned, kept=written, dropped={}, notes=notes)
    write_account(out_dir / "account.json", account)


def _check_samples(connection: duckdb.DuckDBPyConnection, plan: Path) -> None:
    """Check that each planned sample is at its position, that there are no others, and that the counts agree."""
    misplaced = connection.execute(
        """
        WITH planned AS (
            SELECT split, printf('shard-%06d.tar', shard) AS shard, position, uuid, label_id FROM plan
        )
        SELECT coalesce(planned.uuid, indexes.uuid), coalesce(planned.shard, indexes.shard), indexes.uuid IS NULL
        FROM planned
        FULL JOIN indexes
            ON planned.split = indexes.split AND planned.shard = indexes.shard
            AND planned.position = indexes.position AND planned.uuid = indexes.uuid
            AND planned.label_id = indexes.label_id
        WHERE planned.uuid IS NULL OR indexes.uuid IS NULL
        ORDER BY ALL LIMIT 1
        """
    ).fetchone()
    if misplaced is not None:
        uuid, shard, missing = misplaced
        what = "is planned but not written" if missing else "is written but not planned"
        raise InputError(f"{plan}: sample {uuid} of {shard} {what}; write the shards of its group again")
    miscounted = connection.execute(
        """
        SELECT coalesce(manifests.shard, counted.shard)
        FROM manifests
        FULL JOIN (SELECT split, shard, count(*) AS samples FROM indexes GROUP BY split, shard) AS counted
            USING (split, shard)
        WHERE manifests.samples IS DISTINCT FROM counted.samples
        ORDER BY ALL LIMIT 1
        """
    ).fetchone()
    if miscounted is not None:
        raise InputError(
            f"{plan}: manifest and index of {miscounted[0]} have different counts; write the shards of its group again"
        )


def _check_files(connection: duckdb.DuckDBPyConnection, out_dir: Path) -> None:
    for split, shard, size in connection.execute(
        "SELECT split, shard, bytes FROM manifests ORDER BY split, shard"
    ).fetchall():
        tar = out_dir / split / shard
        found = tar.stat().st_size if tar.is_file() else None
        if found != size:
            what = "missing" if found is None else f"expected {size} bytes, found {found}"
            raise InputError(f"{tar}: {what}; `{rebuild_command(tar.parent, shard)}` makes it again")


def _index_of(split: str, indexes: tuple[Path, ...]) -> Iterator[pa.Table]:
    """Yield the split's samples, one shard at a time; each row group of the groups' indexes is a shard."""
    row_groups = []
    for path in indexes:
        file = pq.ParquetFile(path)
        for number in range(file.num_row_groups):
            head = file.read_row_group(number, columns=["split", "shard"]).slice(0, 1).to_pylist()[0]
            if head["split"] == split:
                row_groups.append((head["shard"], path, number))
    for _, path, number in sorted(row_groups):
        yield pq.ParquetFile(path).read_row_group(number).drop_columns(["split"])


def _write_small(connection: duckdb.DuckDBPyConnection, out_dir: Path) -> int:
    """Link the first tenth of train's shards, at least one, into train_small: a random sample, as train is shuffled."""
    train, small = out_dir / "train", out_dir / SMALL
    shards = connection.execute("SELECT shard FROM manifests WHERE split = 'train' ORDER BY shard").fetchall()
    names = [name for (name,) in shards[: ceil(len(shards) * SMALL_SHARE)]]
    for name in names:
        if not ((small / name).exists() and (small / name).samefile(train / name)):
            link(train / name, small / name)
    chosen = ", ".join(tables.literal(name) for name in names) or "NULL"
    rows = f"SELECT * EXCLUDE (split) FROM manifests WHERE split = 'train' AND shard IN ({chosen})"
    # One row group per shard, in the order of their names.
    index = pq.ParquetFile(train / "index.parquet")
    groups = (index.read_row_group(number) for number in range(len(names)))
    tables.write_row_groups(groups, SHARD_INDEX, small / "index.parquet")
    tables.write(connection, rows, SHARD_MANIFEST, small / "manifest.parquet")
    remove_others(small, set(names))
    return len(names)


if __name__ == "__main__":
    run(gather)
