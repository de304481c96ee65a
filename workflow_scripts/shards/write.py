"""Write one job's shards from the download tars: scale each image to the configured square and encode it."""

import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import duckdb
import pyarrow as pa

from workflow_scripts.common import tables
from workflow_scripts.common.cli import run
from workflow_scripts.common.config.shards import ShardSettings
from workflow_scripts.common.progress import Progress
from workflow_scripts.common.shard_writer import Sample, Shard, ShardWriter, read_index, read_manifest
from workflow_scripts.common.shards import BIOLOGY
from workflow_scripts.common.stored_images import Stored
from workflow_scripts.common.work_folder import exclusive
from workflow_scripts.contracts import SHARD_GROUP_INDEX, SHARD_GROUP_MANIFEST, SHARD_PLAN

logger = logging.getLogger(__name__)


def write(
    *,
    plan: Path,
    downloads: Path,
    group: int,
    settings: ShardSettings,
    work: Path,
    out_dir: Path,
    jobs: int = 1,
) -> None:
    """Write the shards of one group of the plan, with the group's manifest and index.

    A sample is `<uuid>.jpg` and `<uuid>.label_id.txt`. Shards that exist are adopted, whatever the number of groups.

    Args:
        plan: the generation's plan.
        downloads: the folder of the download parts (`part-NNNN/*.tar`).
        group: number of the group in the plan.
        settings: how samples are written.
        work: the folder of work folders.
        out_dir: the generation's folder, for `train/`, `val/` and `groups/`.
        jobs: threads that decode and encode; no effect on results.

    Raises:
        InputError: the plan breaks its contract, or an image is not at its position; the message has the tar, the byte
            and the uuid.
    """
    manifest = out_dir / "groups" / f"group-{group:03d}.manifest.parquet"
    index = manifest.with_name(f"group-{group:03d}.index.parquet")
    made: list[tuple[Path, Shard]] = []
    publishing = exclusive(manifest.with_name(f".{manifest.name}.lock"))
    with publishing, tables.connect() as connection, ThreadPoolExecutor(jobs) as pool:
        # Readers wait for the manifest, so it must not be beside shards of another plan.
        manifest.unlink(missing_ok=True)
        # Only the group's rows: otherwise each of hundreds of jobs would load the complete plan.
        tables.read(connection, plan, SHARD_PLAN, "plan", only=f'"group" = {int(group)}')
        writer = ShardWriter(BIOLOGY, settings, work, step="shards.write", pool=pool, threads=jobs)
        with Progress(f"shards of group {group}", _samples(connection), "images") as progress:
            for shard in _shards(connection, downloads):
                made.append((writer.make(shard, out_dir / shard.split), shard._replace(samples=())))
                progress.update(len(shard.samples))
        logger.info("group %d: %d shards, %d of them made before", group, len(made), writer.adopted)
        indexes = (_with_plan(connection, read_index(folder), shard) for folder, shard in made)
        tables.write_row_groups(indexes, SHARD_GROUP_INDEX, index)
        rows = (pa.Table.from_pylist([{"split": shard.split, **read_manifest(folder)}]) for folder, shard in made)
        tables.write_row_groups(rows, SHARD_GROUP_MANIFEST, manifest)


def _samples(connection: duckdb.DuckDBPyConnection) -> int:
    return int(tables.scalar(connection, "SELECT count(*) FROM plan"))


def _shards(connection: duckdb.DuckDBPyConnection, downloads: Path) -> Iterator[Shard]:
    """Yield the group's shards in order; only the samples of one shard are in memory."""
    listed = connection.execute("SELECT DISTINCT split, shard FROM plan ORDER BY split, shard").fetchall()
    for split, number in listed:
        rows = connection.execute(
            'SELECT uuid, part, tar, "offset", size, md5, label_id FROM plan '
            "WHERE split = $split AND shard = $shard ORDER BY position",
            {"split": split, "shard": number},
        ).fetchall()
        samples = [
            Sample(Stored(uuid, downloads / f"part-{part:04d}", tar, offset, size), md5, label_id)
            for uuid, part, tar, offset, size, md5, label_id in rows
        ]
        yield Shard(split, number, samples)


def _with_plan(connection: duckdb.DuckDBPyConnection, index: pa.Table, shard: Shard) -> pa.Table:
    """Add to a shard's index the plan's extra columns and the split; changing them rewrites no shard."""
    known = ", ".join(
        tables.quoted(column.name) for column in SHARD_PLAN.columns if column.name not in ("uuid", "split")
    )
    rows = f"FROM plan WHERE split = {tables.literal(shard.split)} AND shard = {shard.number} ORDER BY position"
    carried = connection.sql(f"SELECT * EXCLUDE ({known}) {rows}").to_arrow_table()
    assert carried["uuid"].equals(index["uuid"])
    for name in carried.column_names:
        if name != "uuid":
            index = index.append_column(name, carried[name])
    return index


if __name__ == "__main__":
    run(write)
