"""Write replay pairs as webdataset shards, with manifests and indexes."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import duckdb

from workflow_scripts.common import tables
from workflow_scripts.common.accounts import Account, account_for, count_by_reason, write_account
from workflow_scripts.common.cli import run
from workflow_scripts.common.config.replay import ReplaySettings
from workflow_scripts.common.errors import InputError
from workflow_scripts.common.layout import PastImages
from workflow_scripts.common.past_images import keep
from workflow_scripts.common.progress import Progress
from workflow_scripts.common.shard_writer import Sample, Shard, ShardWriter, read_index, read_manifest
from workflow_scripts.common.shards import INDEX, MANIFEST, REPLAY, remove_others
from workflow_scripts.common.stored_images import Stored
from workflow_scripts.common.work_folder import exclusive
from workflow_scripts.contracts import DOWNLOADS, LEDGER, REPLAY_INDEX, REPLAY_SELECTION, SHARD_MANIFEST, SPLITS

ACCOUNT = "account.json"


def write(
    *,
    selection: tuple[Path, ...],
    manifests: tuple[Path, ...],
    settings: ReplaySettings,
    work: Path,
    out_dir: Path,
    ledger: Path | None = None,
    held: Path | None = None,
    memory_mb: int = 2048,
    threads: int = 1,
) -> None:
    """Write the downloaded pairs, in an order keyed by the seed, as `train/` and `val/` shards.

    Pairs whose image cannot be decoded are left out.

    Args:
        selection: the parts of the selection.
        manifests: the manifests of the pairs' downloads, with the tars beside them.
        settings: how shards are written, and their largest number.
        work: the folder of work folders.
        out_dir: the folder for `train/`, `val/` and, written last, account.json.
        ledger: the images taken down permanently, if any; their places stay empty, so that no other pair moves.
        held: the folder that records which images shards have ever contained.
        memory_mb: DuckDB's memory limit, MiB.
        threads: images decoded at once; no effect on results.

    Raises:
        InputError: a table breaks its contract, a selected pair has no manifest row, no pair was downloaded, or a tar
            is missing or truncated.
    """
    account = out_dir / ACCOUNT
    publishing = exclusive(account.with_name(f".{ACCOUNT}.lock"))
    with publishing, tables.connect(memory_mb, threads) as connection, ThreadPoolExecutor(threads) as pool:
        account.unlink(missing_ok=True)
        _plan(connection, selection, manifests, ledger, settings)
        kept = {}
        pairs = tables.scalar(connection, "SELECT count(*) FROM plan WHERE reason IS NULL")
        writer = ShardWriter(REPLAY, settings.shards, work, step="replay.write", pool=pool, threads=threads)
        with Progress("replay shards", pairs, "pairs") as progress:
            for split in SPLITS:
                folder, made = out_dir / split, dict[str, Path]()
                # Readers wait for the manifest, so it must not be beside shards of another plan.
                (folder / MANIFEST).unlink(missing_ok=True)
                for shard in _shards(connection, split):
                    made[shard.name] = writer.make(shard, folder)
                    progress.update(len(shard.samples))
                kept[split] = tables.write_row_groups(map(read_index, made.values()), REPLAY_INDEX, folder / INDEX)
                tables.write_rows([read_manifest(one) for one in made.values()], SHARD_MANIFEST, folder / MANIFEST)
                remove_others(folder, made)
        if held is not None:
            keep(connection, PastImages(str(held)), "replay", [out_dir / "train"], manifests)
        write_account(account, _account(connection, kept))


def _plan(
    connection: duckdb.DuckDBPyConnection,
    selection: tuple[Path, ...],
    manifests: tuple[Path, ...],
    ledger: Path | None,
    settings: ReplaySettings,
) -> None:
    tables.read(connection, selection, REPLAY_SELECTION, "selection")
    tables.read(connection, manifests, DOWNLOADS, "manifests")
    tables.read(connection, ledger if ledger and ledger.exists() else [], LEDGER, "ledger")
    named = f"{tables.scan(manifests).removesuffix(')')}, filename = true)"
    connection.execute(f"CREATE TEMP VIEW downloads AS SELECT *, parse_dirpath(filename) AS folder FROM {named}")
    seed, samples, shards = settings.shards.seed, settings.shards.samples_per_shard, settings.max_shards
    connection.execute(f"SET VARIABLE seed = {tables.literal(str(seed))}")
    connection.execute(f"SET VARIABLE samples_per_shard = {samples}")
    connection.execute(f"SET VARIABLE max_shards = {'NULL' if shards is None else shards}")
    connection.execute(Path(__file__).with_name("plan.sql").read_text(encoding="utf-8"))
    missing = connection.execute("SELECT uuid FROM plan WHERE reason = 'no_manifest' ORDER BY uuid LIMIT 1").fetchone()
    if missing is not None:
        raise InputError(
            f"{selection[0].parent}: pair {missing[0]} is in none of the download manifests; download its part"
        )
    counts = count_by_reason(connection, "plan")
    if counts and None not in counts:
        reasons = ", ".join(f"{reason} {count:,}" for reason, count in counts.items())
        raise InputError(f"{manifests[0].parent}: none of the selected pairs was downloaded ({reasons})")


def _shards(connection: duckdb.DuckDBPyConnection, split: str) -> Iterator[Shard]:
    """Yield the split's shards in order; only the pairs of one shard are in memory."""
    numbers = connection.execute(
        "SELECT DISTINCT shard FROM plan WHERE reason IS NULL AND split = $split ORDER BY shard", {"split": split}
    ).fetchall()
    for (number,) in numbers:
        rows = connection.execute(
            'SELECT uuid, caption, md5, size, folder, tar, "offset" FROM plan '
            "WHERE reason IS NULL AND split = $split AND shard = $shard ORDER BY position",
            {"split": split, "shard": number},
        ).fetchall()
        samples = [
            Sample(Stored(uuid, Path(place), tar, offset, size), md5, caption)
            for uuid, caption, md5, size, place, tar, offset in rows
        ]
        yield Shard(split, number, samples)


def _account(connection: duckdb.DuckDBPyConnection, kept: dict[str, int]) -> Account:
    counts, written = count_by_reason(connection, "plan"), sum(kept.values())
    return account_for(
        counts, stage="replay", part="shards", unit="pairs", kept=written, lost_as="unreadable", notes=kept
    )


if __name__ == "__main__":
    run(write)
