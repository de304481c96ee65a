"""Plan the shards: the shard and position of each kept image, and the job that writes the shard."""

import logging
from pathlib import Path

from workflow_scripts.common import tables
from workflow_scripts.common.cli import run
from workflow_scripts.common.config.shards import ShardSettings
from workflow_scripts.common.errors import InputError
from workflow_scripts.contracts import CATALOG, SHARD_PLAN, VERDICTS

logger = logging.getLogger(__name__)


def plan(
    *,
    verdicts: Path,
    settings: ShardSettings,
    groups: int,
    out: Path,
    catalog: tuple[Path, ...] = (),
    keep: tuple[str, ...] = (),
    memory_mb: int = 2048,
    threads: int = 1,
) -> None:
    """Shuffle the kept images of each split and cut them into shards; the last shard may be smaller.

    An image's place depends on its uuid, the seed and the other kept images, but not on the number of groups.

    Args:
        verdicts: the generation's verdicts.
        settings: samples per shard and the seed.
        groups: number of jobs that write the shards; each writes a contiguous block, which may be empty.
        out: the plan to write.
        catalog: the generation's catalog parts; needed for `keep`.
        keep: catalog columns to copy into the shards' index.
        memory_mb: memory limit of DuckDB, MiB.
        threads: threads of DuckDB; no effect on results.

    Raises:
        InputError: the verdicts break their contract, a kept image has no tar, or `groups` is less than 1.
    """
    if groups < 1:
        raise InputError(f"--groups {groups}: must be at least 1")
    with tables.connect(memory_mb, threads) as connection:
        tables.read(connection, verdicts, VERDICTS, "verdicts")
        connection.execute("SET VARIABLE seed = $value", {"value": settings.seed})
        connection.execute("SET VARIABLE samples_per_shard = $value", {"value": settings.samples_per_shard})
        connection.execute("SET VARIABLE groups = $value", {"value": groups})
        query = Path(__file__).with_name("plan.sql").read_text(encoding="utf-8")
        if keep:
            tables.read(connection, catalog, CATALOG, "catalogue")
            kept = ", ".join(f"catalogue.{tables.quoted(name)}" for name in keep)
            query = f"SELECT placed.*, {kept} FROM ({query}) AS placed LEFT JOIN catalogue USING (uuid)"
        samples = tables.write(connection, query, SHARD_PLAN, out)
        images = tables.scalar(connection, "SELECT count(*) FROM verdicts WHERE keep")
        if images != samples:
            raise ValueError(f"{out}: {samples} samples planned, {images} images kept")
    logger.info("%d samples planned for %d groups", samples, groups)


if __name__ == "__main__":
    run(plan)
