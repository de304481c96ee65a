"""The command that rebuilds a lost shard."""

from pathlib import Path

from workflow_scripts.common.remedies import snakemake

# A random tenth of train, for trials.
SMALL = "train_small"


def rebuild_command(folder: Path, shard: str) -> str:
    """The command that makes a shard of a split again; its job adopts the shards that are complete."""
    if folder.parent.name == "replay":
        return snakemake("data", "-R", "replay_write")
    if folder.name == SMALL:
        return snakemake("data", "-R", "shards_gather")
    import pyarrow.dataset as ds

    is_it = (ds.field("split") == folder.name) & (ds.field("shard") == shard)
    for manifest in sorted(folder.parent.glob("groups/*.manifest.parquet")):
        if ds.dataset(manifest).count_rows(filter=is_it):
            return snakemake("data", "-R", str(manifest))
    return snakemake("data", "-R", "shards_write")
