"""Rewrite the tars and shards that hold images which must go; everything else stays as it is.

Every function may be called again after it was interrupted: what still names a doomed image is done again. Tables are
rewritten after the tars that they describe, and in between their readers find that the two do not fit.
"""

import json
import logging
import shutil
import tarfile
from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import replace
from itertools import groupby
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from workflow_scripts.common import tables, tars
from workflow_scripts.common.accounts import read_account, write_account
from workflow_scripts.common.files import sha256_file
from workflow_scripts.common.work_folder import WorkFolder, exclusive, open_work_folder
from workflow_scripts.contracts import DOWNLOADS, REPLAY_INDEX, SHARD_INDEX, SHARD_MANIFEST

logger = logging.getLogger(__name__)

MANIFEST, INDEX, ACCOUNT, DONE = "manifest.parquet", "index.parquet", "account.json", "done.json"


def shards_with(place: Path, doomed: Set[str]) -> list[Path]:
    """The shards of a corpus, replay's among them, that hold a doomed image."""
    found = []
    for index in sorted([*place.glob(f"shards/g*/*/{INDEX}"), *place.glob(f"replay/*/{INDEX}")]):
        with tables.connect() as connection:
            _register(connection, doomed)
            rows = connection.execute(
                f"SELECT DISTINCT shard FROM {tables.scan(index)} SEMI JOIN doomed USING (uuid) ORDER BY shard"
            ).fetchall()
        found += [index.parent / shard for (shard,) in rows]
    return found


def digests_of(folder: Path) -> list[str]:
    """Digests of the tables of a folder of shards, by which a training names what it read."""
    return [sha256_file(folder / name) for name in (MANIFEST, INDEX)]


def names_any(file: Path, words: Set[str]) -> bool:
    """Whether a text file names one of the words."""
    text = file.read_text(encoding="utf-8", errors="replace")
    return any(word in text for word in words)


def from_shards(place: Path, doomed: Set[str]) -> None:
    """Take doomed images out of a corpus's shards, and remove the work folders that keep the old ones.

    Raises:
        BusyError: a job is writing one of them.
    """
    for folder, shards in groupby(shards_with(place, doomed), key=lambda shard: shard.parent):
        _rewrite_shards(folder, [shard.name for shard in shards], doomed)
    for key in sorted([*place.glob(".work/shards/*/key.json"), *place.glob(".work/replay/*/key.json")]):
        folder = key.parent
        # What an interrupted job left may hold anything.
        if not (folder / DONE).exists() or _doomed_in(folder / INDEX, doomed):
            with exclusive(folder / "lock", wait=False):
                logger.info("%s: removed", folder)
                shutil.rmtree(folder)


def _rewrite_shards(folder: Path, names: list[str], doomed: Set[str]) -> None:
    """Rewrite some shards of a folder, then its manifest and index."""
    indexes: dict[str, pa.Table] = {}
    entries: dict[str, dict[str, object]] = {}
    for name in names:
        tar = folder / name
        uuids = _forget_in_tar(tar, doomed)
        places = tars.member_places(tar)
        rows = _index_of(folder, name)
        kept = rows.filter(pc.invert(pc.is_in(rows["uuid"], pa.array(sorted(doomed)))))
        assert kept["uuid"].to_pylist() == uuids, f"{tar}: other samples than in its index"
        spans = [places[f"{uuid}.jpg"] for uuid in uuids]
        moved = {
            "position": range(len(uuids)),
            "offset": [span.offset for span in spans],
            "size": [span.size for span in spans],
        }
        for column, values in moved.items():
            kept = kept.set_column(kept.column_names.index(column), column, pa.array(values, pa.int64()))
        indexes[name] = kept
        size, checksum = tar.stat().st_size, sha256_file(tar)
        entries[name] = {"shard": name, "samples": len(uuids), "bytes": size, "sha256": checksum}
        logger.info("%s: rewritten with %d samples", tar, len(uuids))

    def groups() -> Iterator[pa.Table]:
        file = pq.ParquetFile(folder / INDEX)
        for number in range(file.num_row_groups):
            group = file.read_row_group(number)
            yield indexes.get(group["shard"][0].as_py(), group)

    manifest = tables.read_rows(folder / MANIFEST, SHARD_MANIFEST).to_pylist()
    rewritten = [entries.get(row["shard"], row) for row in manifest]
    tables.write_rows([row for row in rewritten if row["samples"]], SHARD_MANIFEST, folder / MANIFEST)
    # The index last: it is by the index that a doomed image is still found.
    contract = REPLAY_INDEX if folder.parent.name == "replay" else SHARD_INDEX
    tables.write_row_groups(groups(), contract, folder / INDEX)
    for name, entry in entries.items():
        if not entry["samples"]:
            (folder / name).unlink()


def _index_of(folder: Path, shard: str) -> pa.Table:
    with tables.connect() as connection:
        rows = connection.sql(
            f"SELECT * FROM {tables.scan(folder / INDEX)} WHERE shard = {tables.literal(shard)} ORDER BY position"
        )
        return rows.to_arrow_table()


def _forget_in_tar(tar: Path, doomed: Set[str]) -> list[str]:
    """Rewrite a tar without doomed samples; returns the keys of those that stay."""
    kept: list[str] = []

    def samples() -> Iterator[tuple[str, dict[str, bytes]]]:
        for key, members in _samples(tar):
            if key not in doomed:
                kept.append(key)
                yield key, members

    tars.write_tar(tar, samples())
    return kept


def _samples(path: Path) -> Iterator[tuple[str, dict[str, bytes]]]:
    """A tar's samples in order, each with its members' data by extension."""
    with tarfile.open(path, "r:") as tar, path.open("rb") as file:
        for key, members in groupby(tar, key=lambda member: member.name.partition(".")[0]):
            yield (
                key,
                {
                    member.name.partition(".")[2]: tars.read_at(file, member.offset_data, member.size)
                    for member in members
                },
            )


def from_downloads(place: Path, doomed: Set[str]) -> None:
    """Take doomed images out of every work folder of the corpus's downloads, and out of what they published.

    Raises:
        BusyError: a job is writing one of them.
    """
    root = place / ".work/download"
    # What another try has brought that was killed, and is in no part yet; the next one fetches it again.
    for folder in sorted(root.glob("*retry-*")):
        with exclusive(root / ".retry.lock", wait=False):
            logger.info("%s: removed", folder)
            shutil.rmtree(folder)
    for folder in sorted(path for path in root.glob("*") if (path / "key.json").exists()):
        if _holds_doomed(folder, doomed):
            key = json.loads((folder / "key.json").read_text(encoding="utf-8"))
            # By its name, for to compare each part with all would read every manifest as often as there are parts.
            manifests = [place / kind / key["name"] / MANIFEST for kind in ("download", "replay/download")]
            # Copies of an earlier key's work, or of none, are published by nobody.
            shown = next((path for path in manifests if _same(path, folder / MANIFEST)), None)
            with open_work_folder(root, key, target=shown, wait=False) as work:
                _forget_in_download(work, doomed, shown.parent if shown else None)


def _holds_doomed(folder: Path, doomed: Set[str]) -> bool:
    manifest = folder / MANIFEST
    files = [manifest] if manifest.exists() else sorted(folder.glob("pass-*/[0-9]*.parquet"))
    return any(_doomed_in(file, doomed, "status = 'ok'") for file in files)


def _doomed_in(file: Path, doomed: Set[str], condition: str = "true") -> bool:
    with tables.connect() as connection:
        _register(connection, doomed)
        query = f"SELECT 1 FROM {tables.scan(file)} SEMI JOIN doomed USING (uuid) WHERE {condition} LIMIT 1"
        return connection.execute(query).fetchone() is not None


def _forget_in_download(work: WorkFolder, doomed: Set[str], target: Path | None) -> None:
    folder = work.path
    if not (folder / MANIFEST).exists():
        # Unfinished: what it has of them is fetched no more when it resumes, and the rest of those shards again.
        for shard in sorted(folder.glob("pass-*/[0-9]*.parquet")):
            if _doomed_in(shard, doomed, "status = 'ok'"):
                shard.unlink()
        for tar in folder.glob("images-*.tar"):
            tar.unlink()
        shutil.rmtree(folder / "in_hand", ignore_errors=True)
        return
    with tables.connect() as connection:
        _register(connection, doomed)
        tables.read(connection, folder / MANIFEST, DOWNLOADS, "manifest")
        concerned = [
            tar
            for (tar,) in connection.execute(
                "SELECT DISTINCT tar FROM manifest SEMI JOIN doomed USING (uuid) WHERE tar IS NOT NULL ORDER BY tar"
            ).fetchall()
        ]
        # Out of sight first: should this be interrupted, the download's own rule publishes what is left.
        for name in (MANIFEST, *concerned) if target is not None else ():
            (target / name).unlink(missing_ok=True)
        (folder / DONE).unlink(missing_ok=True)
        _rewrite_tars(connection, folder, concerned)
        query = Path(__file__).with_name("forget.sql").read_text(encoding="utf-8")
        connection.execute(f"CREATE TEMP TABLE rewritten AS {query}")
        _write_account(connection, folder / ACCOUNT)
        # By the manifest a doomed image is still found, so it comes last.
        tables.write(connection, "SELECT * FROM rewritten", DOWNLOADS, folder / MANIFEST)
    work.finish([MANIFEST, ACCOUNT, *(tar.name for tar in folder.glob("images-*.tar"))])
    logger.info("%s: %d tars rewritten", folder, len(concerned))
    if target is not None:
        work.publish(target, MANIFEST)


def _rewrite_tars(connection: duckdb.DuckDBPyConnection, folder: Path, names: Sequence[str]) -> None:
    """Rewrite tars without the images of `doomed`; the table `places` says where the others are now."""
    doomed = {uuid for (uuid,) in connection.execute("SELECT uuid FROM doomed").fetchall()}
    spans: dict[str, tars.Span] = {}
    for name in names:
        _forget_in_tar(folder / name, doomed)
        spans |= {Path(member).stem: span for member, span in tars.member_places(folder / name).items()}
    places = pa.table(
        {
            "uuid": pa.array(spans, pa.string()),
            "offset": pa.array([span.offset for span in spans.values()], pa.int64()),
            "size": pa.array([span.size for span in spans.values()], pa.int64()),
        }
    )
    connection.register("places", places)


def _write_account(connection: duckdb.DuckDBPyConnection, path: Path) -> None:
    """The part's account again, by the table `rewritten`; its notes stay."""
    counts = connection.execute(
        "SELECT coalesce(split_part(error, ':', 1), ''), count(*) FILTER (status <> 'ok'), count(*) "
        "FROM rewritten GROUP BY ALL ORDER BY ALL"
    ).fetchall()
    dropped = {reason: count for reason, count, _ in counts if count}
    rows = sum(count for *_, count in counts)
    account = read_account(path)
    write_account(path, replace(account, rows_in=rows, kept=rows - sum(dropped.values()), dropped=dropped))


def _same(one: Path, other: Path) -> bool:
    return one.exists() and other.exists() and (one.samefile(other) or sha256_file(one) == sha256_file(other))


def _register(connection: duckdb.DuckDBPyConnection, doomed: Iterable[str]) -> None:
    connection.register("doomed", pa.table({"uuid": pa.array(sorted(doomed), pa.string())}))
