"""Write replay pairs as webdataset shards, with manifests and indexes."""

import logging
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from workflow_scripts.common import images, tables
from workflow_scripts.common.accounts import Account, write_account
from workflow_scripts.common.cli import run
from workflow_scripts.common.config.replay import ReplaySettings
from workflow_scripts.common.config.shards import ShardSettings
from workflow_scripts.common.errors import InputError
from workflow_scripts.common.files import digest, link, sha256_file
from workflow_scripts.common.progress import Progress
from workflow_scripts.common.step_versions import step_version
from workflow_scripts.common.tars import read_at, write_tar
from workflow_scripts.common.work_folder import exclusive, open_work_folder
from workflow_scripts.contracts import DOWNLOADS, LEDGER, REPLAY_INDEX, REPLAY_SELECTION, SHARD_MANIFEST, SPLITS

logger = logging.getLogger(__name__)

ACCOUNT, INDEX, MANIFEST, TAR = "account.json", "index.parquet", "manifest.parquet", "shard.tar"
AHEAD = 256


class Pair(NamedTuple):
    """A pair of the plan: its caption, and its image's place in the tar that lies beside a manifest."""

    uuid: str
    caption: str
    md5: str | None
    size: int
    folder: str
    tar: str
    offset: int


class Shard(NamedTuple):
    """A shard of the plan with its pairs in order."""

    split: str
    name: str
    pairs: Sequence[Pair]


def write(
    *,
    selection: tuple[Path, ...],
    manifests: tuple[Path, ...],
    settings: ReplaySettings,
    work: Path,
    out_dir: Path,
    ledger: Path | None = None,
    memory_mb: int = 2048,
    threads: int = 1,
) -> None:
    """Write the downloaded pairs, in an order keyed by the seed, as `train/` and `val/` shards.

    Each shard has a work folder of its own, named by its pairs, the settings and the code: what was made before is
    adopted, and a pair that goes costs one shard.

    Args:
        selection: the selection's parts.
        manifests: the manifests of their downloads, with the tars beside them.
        settings: how shards are written, and how many.
        work: folder for the work folders.
        out_dir: where `train/`, `val/` and, last, account.json are published.
        ledger: what was taken down for good, once anything was; the places of such pairs stay empty, so that no other
            moves.
        memory_mb: DuckDB's memory limit, MiB.
        threads: images decoded at once; no byte depends on it.

    Raises:
        InputError: a table breaks its contract, a selected pair has no manifest row, not one came, or a tar is missing
            or short.
    """
    account = out_dir / ACCOUNT
    publishing = exclusive(account.with_name(f".{ACCOUNT}.lock"))
    with publishing, tables.connect(memory_mb, threads) as connection, ThreadPoolExecutor(threads) as pool:
        account.unlink(missing_ok=True)
        _plan(connection, selection, manifests, ledger, settings)
        kept = {}
        pairs = _one(connection, "SELECT count(*) FROM plan WHERE reason IS NULL")
        with Progress("replay shards", pairs, "pairs") as progress:
            for split in SPLITS:
                folder, made = out_dir / split, dict[str, Path]()
                # Readers wait for the manifest: it must not stand beside shards of another plan.
                (folder / MANIFEST).unlink(missing_ok=True)
                for shard in _shards(connection, split):
                    made[shard.name] = _make(work, shard, settings.shards, pool, folder / shard.name)
                    progress.update(len(shard.pairs))
                kept[split] = tables.write_row_groups(_tables(made.values(), INDEX), REPLAY_INDEX, folder / INDEX)
                manifest = [row for table in _tables(made.values(), MANIFEST) for row in table.to_pylist()]
                tables.write_rows(manifest, SHARD_MANIFEST, folder / MANIFEST)
                for tar in folder.glob("shard-*.tar"):
                    if tar.name not in made:
                        logger.info("%s: not in this plan; removed", tar)
                        tar.unlink()
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
    lost = connection.execute("SELECT uuid FROM plan WHERE reason = 'no_manifest' ORDER BY uuid LIMIT 1").fetchone()
    if lost is not None:
        raise InputError(
            f"{selection[0].parent}: pair {lost[0]} is in none of the download manifests; download its part"
        )
    left_out = _left_out(connection)
    if left_out and not _one(connection, "SELECT count(*) FROM plan WHERE reason IS NULL"):
        reasons = ", ".join(f"{reason} {count:,}" for reason, count in left_out.items())
        raise InputError(
            f"{manifests[0].parent}: not one of the selected pairs came ({reasons}); snakemake retry_failed asks again"
        )


def _shards(connection: duckdb.DuckDBPyConnection, split: str) -> Iterator[Shard]:
    """The split's shards in order; the pairs of one at a time are held."""
    numbers = connection.execute(
        "SELECT DISTINCT shard FROM plan WHERE reason IS NULL AND split = $split ORDER BY shard", {"split": split}
    ).fetchall()
    for (number,) in numbers:
        rows = connection.execute(
            'SELECT uuid, caption, md5, size, folder, tar, "offset" FROM plan '
            "WHERE reason IS NULL AND split = $split AND shard = $shard ORDER BY position",
            {"split": split, "shard": number},
        ).fetchall()
        yield Shard(split, f"shard-{number:06d}.tar", [Pair(*row) for row in rows])


def _make(work: Path, shard: Shard, settings: ShardSettings, pool: ThreadPoolExecutor, target: Path) -> Path:
    """The shard's work folder, finished now or before, with its tar published."""
    key = {
        "shard": f"{shard.split}/{shard.name}",
        # Original bytes and stored size stand for the image: where it lies in its tar does not count.
        "pairs": digest([[pair.uuid, pair.caption, pair.md5, pair.size] for pair in shard.pairs]),
        "settings": settings.to_json(),
        "version": step_version("replay.write"),
    }
    with open_work_folder(work, key) as folder:
        if not folder.finished:
            _write_shard(folder.path, shard, settings, pool)
            folder.finish([TAR, INDEX, MANIFEST])
        tar = folder.path / TAR
        if not (target.exists() and target.samefile(tar)):
            link(tar, target)
    return folder.path


def _write_shard(folder: Path, shard: Shard, settings: ShardSettings, pool: ThreadPoolExecutor) -> None:
    """Write a shard's tar, index and manifest; pairs whose image cannot be read are left out."""
    written: list[Pair] = []

    def rendered() -> Iterator[tuple[str, dict[str, bytes]]]:
        for start in range(0, len(shard.pairs), AHEAD):
            some = shard.pairs[start : start + AHEAD]
            for pair, jpeg in zip(some, pool.map(lambda pair: _jpeg(pair, settings), some), strict=True):
                if jpeg is not None:
                    written.append(pair)
                    yield pair.uuid, {"jpg": jpeg, "txt": pair.caption.encode()}

    tar = folder / TAR
    places = [members["jpg"] for members in write_tar(tar, rendered())]
    index = {
        "uuid": [pair.uuid for pair in written],
        "shard": [shard.name] * len(written),
        "position": range(len(written)),
        "offset": [place.offset for place in places],
        "size": [place.size for place in places],
        "caption": [pair.caption for pair in written],
    }
    tables.write_row_groups([pa.table(index)], REPLAY_INDEX, folder / INDEX)
    size, checksum = tar.stat().st_size, sha256_file(tar)
    manifest = {"shard": shard.name, "samples": len(written), "bytes": size, "sha256": checksum}
    tables.write_rows([manifest], SHARD_MANIFEST, folder / MANIFEST)


def _jpeg(pair: Pair, settings: ShardSettings) -> bytes | None:
    if Path(pair.tar).name != pair.tar:
        raise InputError(f"{pair.folder}: {pair.tar!r} is no name of a tar beside a manifest (pair {pair.uuid})")
    tar = Path(pair.folder) / pair.tar
    try:
        with tar.open("rb") as file:
            data = read_at(file, pair.offset, pair.size)
    except OSError as error:
        raise InputError(f"{tar}: {error.strerror}; download its part again") from None
    try:
        image = images.decode(data, at_least=settings.image_size)
    except images.UnreadableImage as error:
        logger.warning("%s: image %s is dropped: %s", tar, pair.uuid, error)
        return None
    return images.encode_jpeg(images.to_square(image, settings.image_size, settings.resize), settings.jpeg_quality)


def _tables(folders: Iterable[Path], name: str) -> Iterator[pa.Table]:
    return (pq.read_table(folder / name) for folder in folders)


def _account(connection: duckdb.DuckDBPyConnection, kept: dict[str, int]) -> Account:
    dropped = _left_out(connection)
    total = _one(connection, "SELECT count(*) FROM plan")
    if unreadable := total - sum(dropped.values()) - sum(kept.values()):
        dropped["unreadable"] = unreadable
    return Account(
        stage="replay", part="shards", unit="pairs", rows_in=total, kept=sum(kept.values()), dropped=dropped, notes=kept
    )


def _left_out(connection: duckdb.DuckDBPyConnection) -> dict[str, int]:
    """Pairs that are in no shard, by reason."""
    query = "SELECT reason, count(*) FROM plan WHERE reason IS NOT NULL GROUP BY reason ORDER BY reason"
    return dict(connection.execute(query).fetchall())


def _one(connection: duckdb.DuckDBPyConnection, query: str) -> int:
    row = connection.execute(query).fetchone()
    assert row is not None
    return int(row[0])


if __name__ == "__main__":
    run(write)
