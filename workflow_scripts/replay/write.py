"""Write replay pairs as webdataset shards, with manifests and indexes."""

import logging
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import duckdb
import pyarrow as pa

from workflow_scripts.common import images, tables
from workflow_scripts.common.accounts import Account, write_account
from workflow_scripts.common.cli import run
from workflow_scripts.common.code_digest import code_digest
from workflow_scripts.common.config.replay import ReplaySettings
from workflow_scripts.common.config.shards import ShardSettings
from workflow_scripts.common.errors import InputError
from workflow_scripts.common.files import sha256_file
from workflow_scripts.common.progress import Progress
from workflow_scripts.common.tars import member_places, read_at, write_tar
from workflow_scripts.common.work_folder import WorkFolder, do_once, file_digests
from workflow_scripts.contracts import DOWNLOADS, REPLAY_INDEX, REPLAY_SELECTION, SHARD_MANIFEST, SPLITS

logger = logging.getLogger(__name__)

ACCOUNT = "account.json"
AHEAD = 256


class Pair(NamedTuple):
    """A pair of the plan: its image's place in the tar that lies beside a manifest, and its caption."""

    uuid: str
    caption: str
    folder: str
    tar: str
    offset: int
    size: int


def write(
    *,
    selection: tuple[Path, ...],
    manifests: tuple[Path, ...],
    settings: ReplaySettings,
    work: Path,
    out_dir: Path,
    memory_mb: int = 2048,
    threads: int = 1,
) -> None:
    """Write the downloaded pairs, in an order keyed by the seed, as `train/` and `val/` shards.

    Args:
        selection: the selection's parts.
        manifests: the manifests of their downloads, with the tars beside them.
        settings: how shards are written, and how many.
        work: folder for the work folders.
        out_dir: where `train/`, `val/` and, last, account.json are published.
        memory_mb: DuckDB's memory limit, MiB.
        threads: images decoded at once; no byte depends on it.

    Raises:
        InputError: a table breaks its contract, a selected pair has no manifest row, or a tar is missing or short.
    """
    key = {
        **file_digests({"selection": selection, "manifests": manifests}),
        "settings": settings.model_dump(mode="json", include={"shards", "max_shards"}),
        "code": code_digest("workflow_scripts.replay.write"),
    }

    def make(folder: WorkFolder) -> list[str]:
        if (folder.path / "done.json").exists():
            logger.warning("%s: finished before, but damaged since; it is written again", folder.path)
            for split in SPLITS:
                shutil.rmtree(folder.path / split, ignore_errors=True)
            (folder.path / "done.json").unlink()
        with tables.connect(memory_mb, threads) as connection, ThreadPoolExecutor(threads) as pool:
            _plan(connection, selection, manifests, settings)
            return _Writer(folder.path, connection, settings.shards, pool).write()

    do_once(work, key, make, out_dir, ACCOUNT)


def _plan(
    connection: duckdb.DuckDBPyConnection,
    selection: tuple[Path, ...],
    manifests: tuple[Path, ...],
    settings: ReplaySettings,
) -> None:
    tables.read(connection, selection, REPLAY_SELECTION, "selection")
    tables.read(connection, manifests, DOWNLOADS, "manifests")
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


class _Writer:
    """Writes what the plan says into a work folder; shards that are there already stay."""

    def __init__(
        self, folder: Path, connection: duckdb.DuckDBPyConnection, settings: ShardSettings, pool: ThreadPoolExecutor
    ) -> None:
        self._folder = folder
        self._connection = connection
        self._settings = settings
        self._pool = pool

    def write(self) -> list[str]:
        """All shards, manifests and indexes, and the account; returns the names of the files."""
        names = []
        kept = {}
        pairs = self._one("SELECT count(*) FROM plan WHERE reason IS NULL")
        with Progress("replay shards", pairs, "pairs") as progress:
            for split in SPLITS:
                folder = self._folder / split
                folder.mkdir(exist_ok=True)
                shards = [folder / f"shard-{number:06d}.tar" for number in self._shards(split)]
                for number, tar in enumerate(shards):
                    planned = self._pairs(split, number)
                    if not tar.exists():
                        write_tar(tar, self._rendered(planned))
                    progress.update(len(planned))
                manifest = [
                    {
                        "shard": tar.name,
                        "samples": len(member_places(tar)) // 2,
                        "bytes": tar.stat().st_size,
                        "sha256": sha256_file(tar),
                    }
                    for tar in shards
                ]
                kept[split] = sum(int(str(row["samples"])) for row in manifest)
                index = (self._index(tar, self._pairs(split, number)) for number, tar in enumerate(shards))
                tables.write_row_groups(index, REPLAY_INDEX, folder / "index.parquet")
                tables.write_rows(manifest, SHARD_MANIFEST, folder / "manifest.parquet")
                names += [f"{split}/{path.name}" for path in shards]
                names += [f"{split}/index.parquet", f"{split}/manifest.parquet"]
        write_account(self._folder / ACCOUNT, self._account(kept))
        return [*names, ACCOUNT]

    def _shards(self, split: str) -> range:
        return range(
            self._one(
                "SELECT coalesce(max(shard) + 1, 0) FROM plan WHERE reason IS NULL AND split = $split", split=split
            )
        )

    def _pairs(self, split: str, shard: int) -> list[Pair]:
        rows = self._connection.execute(
            'SELECT uuid, caption, folder, tar, "offset", size FROM plan '
            "WHERE reason IS NULL AND split = $split AND shard = $shard ORDER BY position",
            {"split": split, "shard": shard},
        ).fetchall()
        return [Pair(*row) for row in rows]

    def _rendered(self, pairs: Sequence[Pair]) -> Iterator[tuple[str, dict[str, bytes]]]:
        for start in range(0, len(pairs), AHEAD):
            some = pairs[start : start + AHEAD]
            for pair, jpeg in zip(some, self._pool.map(self._jpeg, some), strict=True):
                if jpeg is not None:
                    yield pair.uuid, {"jpg": jpeg, "txt": pair.caption.encode()}

    def _jpeg(self, pair: Pair) -> bytes | None:
        if Path(pair.tar).name != pair.tar:
            raise InputError(f"{pair.folder}: {pair.tar!r} is no name of a tar beside a manifest (pair {pair.uuid})")
        tar = Path(pair.folder) / pair.tar
        settings = self._settings
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

    def _index(self, tar: Path, pairs: Sequence[Pair]) -> pa.Table:
        """The rows of a shard: what of the planned pairs is in the tar, in the tar's order."""
        places = member_places(tar)
        written = [pair for pair in pairs if f"{pair.uuid}.jpg" in places]
        spans = [places[f"{pair.uuid}.jpg"] for pair in written]
        return pa.table(
            {
                "uuid": [pair.uuid for pair in written],
                "shard": [tar.name] * len(written),
                "position": range(len(written)),
                "offset": [span.offset for span in spans],
                "size": [span.size for span in spans],
                "caption": [pair.caption for pair in written],
            }
        )

    def _account(self, kept: dict[str, int]) -> Account:
        dropped = dict(
            self._connection.execute(
                "SELECT reason, count(*) FROM plan WHERE reason IS NOT NULL GROUP BY reason ORDER BY reason"
            ).fetchall()
        )
        total = self._one("SELECT count(*) FROM plan")
        if unreadable := total - sum(dropped.values()) - sum(kept.values()):
            dropped["unreadable"] = unreadable
        return Account(
            stage="replay",
            part="shards",
            unit="pairs",
            rows_in=total,
            kept=sum(kept.values()),
            dropped=dropped,
            notes=kept,
        )

    def _one(self, query: str, **values: str) -> int:
        row = self._connection.execute(query, values or None).fetchone()
        assert row is not None
        return int(row[0])


if __name__ == "__main__":
    run(write)
