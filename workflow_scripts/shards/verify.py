"""Verify a corpus's shards: complete, as in their manifests, readable by webdataset, each kept image in exactly one.

Finds what a purged scratch disk has lost or changed, by name. It writes nothing but its answer, and fetches nothing.
"""

import functools
import json
import logging
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple, ParamSpec

import pyarrow as pa
import pyarrow.parquet as pq

from workflow_scripts.common import tables
from workflow_scripts.common.cli import run
from workflow_scripts.common.errors import InputError
from workflow_scripts.common.files import sha256_file, write_json
from workflow_scripts.common.progress import Progress
from workflow_scripts.common.remedies import snakemake
from workflow_scripts.common.torchless import torch_hidden
from workflow_scripts.contracts import (
    DOWNLOADS,
    LEDGER,
    REPLAY_INDEX,
    SHARD_INDEX,
    SHARD_MANIFEST,
    SPLITS,
    VERDICTS,
    Contract,
)
from workflow_scripts.shards.rebuild import SMALL, rebuild_command

logger = logging.getLogger(__name__)

P = ParamSpec("P")
MANIFEST, INDEX = "manifest.parquet", "index.parquet"
SHOWN = 20


class Entry(NamedTuple):
    """A row of a manifest."""

    shard: str
    samples: int
    bytes: int
    sha256: str


def verify(
    *,
    shards: tuple[Path, ...],
    verdicts: tuple[Path, ...],
    downloads: tuple[Path, ...] = (),
    replay: Path | None = None,
    work: Path | None = None,
    others: tuple[Path, ...] = (),
    ledger: Path | None = None,
    out: Path | None = None,
    jobs: int = 1,
) -> None:
    """Check all files of a corpus, and name each one that is missing or changed.

    Args:
        shards: the folder of each generation's shards, with `train/` and `val/`.
        verdicts: the verdicts of each generation, in the same order.
        downloads: manifests of the download parts, with their tars beside them.
        replay: the folder of replay's shards.
        work: where the downloads' work folders are: by the sums that stand there tars are compared byte by byte, and by
            their lengths alone without.
        others: further tables that must be there and readable.
        ledger: what was taken down, which verdicts may still name until they are decided again.
        out: output: a JSON list of errors, empty if there are none.
        jobs: number of shards to read at once.

    Raises:
        InputError: something is missing or changed; the message names the first, the log and `out` name all.
    """
    if len(shards) != len(verdicts):
        raise InputError(f"{len(shards)} folders of shards, but {len(verdicts)} tables of verdicts; give one for each")
    wrong: list[str] = []
    for folder, table in zip(shards, verdicts, strict=True):
        wrong += _of_generation(folder, table, ledger, jobs)
    if replay is not None:
        for split in SPLITS:
            wrong += _of_folder(replay / split, REPLAY_INDEX, jobs)
    made = _finished_downloads(work) if work else {}
    with Progress("verify downloads", len(downloads), "parts") as progress, ThreadPoolExecutor(jobs) as pool:
        for lines in pool.map(lambda manifest: _of_download(manifest, made), downloads):
            wrong += lines
            progress.update()
    for table in others:
        wrong += _of_table(table)
    for line in wrong:
        logger.error("%s", line)
    if out is not None:
        write_json(out, wrong)
    if wrong:
        for line in wrong[:SHOWN]:
            sys.stderr.write(f"{line}\n")
        counted = f"{len(wrong)} things are missing or changed, the first" if len(wrong) > 1 else "missing or changed"
        raise InputError(f"{counted}: {wrong[0]}")
    read = {
        "training and validation images": [folder / split / MANIFEST for folder in shards for split in SPLITS],
        "replay pairs": [replay / split / MANIFEST for split in SPLITS] if replay is not None else [],
    }
    counts = {what: sum(_samples(manifests)) for what, manifests in read.items()}
    if not any(counts.values()):
        raise InputError(f"{shards[0] if shards else replay}: no image is in these shards; nothing could be checked")
    sys.stdout.write(
        f"all shards and download tars are whole: {', '.join(f'{count:,} {what}' for what, count in counts.items())} "
        f"and {len(downloads):,} download parts were read\n"
    )


def _samples(manifests: Iterable[Path]) -> Iterator[int]:
    """How many samples the shards of some manifests hold."""
    for manifest in manifests:
        yield sum(pq.read_table(manifest, columns=["samples"])["samples"].to_pylist())


def _named(check: Callable[P, list[str]]) -> Callable[P, list[str]]:
    """A table that a check cannot read is one more thing that is wrong, and no end of it."""

    @functools.wraps(check)
    def lines(*args: P.args, **kwargs: P.kwargs) -> list[str]:
        try:
            return check(*args, **kwargs)
        except InputError as error:
            return [str(error)]

    return lines


@_named
def _of_generation(folder: Path, verdicts: Path, ledger: Path | None, jobs: int) -> list[str]:
    # Older corpora have no small split; where there is one, its shards are copies of training shards.
    splits = [*SPLITS, *([SMALL] if (folder / SMALL).is_dir() else [])]
    wrong = [line for split in splits for line in _of_folder(folder / split, SHARD_INDEX, jobs)]
    indexes = [folder / split / INDEX for split in SPLITS]
    if not all(path.is_file() for path in (*indexes, verdicts)):
        return wrong if verdicts.is_file() else [*wrong, f"{verdicts}: missing; `{snakemake('data')}` makes it again"]
    with tables.connect() as connection:
        tables.read(connection, verdicts, VERDICTS, "verdicts")
        tables.read(connection, [ledger] if ledger and ledger.exists() else [], LEDGER, "gone")
        sources = " UNION ALL ".join(
            f"SELECT uuid, {tables.literal(path.parent.name)} AS split FROM {tables.scan(path)}" for path in indexes
        )
        rows = connection.execute(
            f"""
            WITH held AS (SELECT uuid, min(split) AS split, count(*) AS times FROM ({sources}) GROUP BY uuid)
            SELECT coalesce(verdicts.uuid, held.uuid), held.times, held.split, verdicts.split
            FROM held
            FULL JOIN (SELECT uuid, split FROM verdicts WHERE keep) AS verdicts USING (uuid)
            WHERE (held.times IS DISTINCT FROM 1 OR held.split IS DISTINCT FROM verdicts.split)
            AND NOT (held.uuid IS NULL AND verdicts.uuid IN (SELECT uuid FROM gone))
            ORDER BY ALL
            """
        ).fetchall()
    for uuid, times, split, wanted in rows:
        what = f"is in {times or 'no'} samples" if times != 1 else f"is in {split}, its verdict says {wanted or 'no'}"
        wrong.append(f"{folder}: image {uuid} {what}; write the shards again")
    return wrong


@_named
def _of_folder(folder: Path, contract: Contract, jobs: int) -> list[str]:
    """What is wrong with a folder of shards."""
    if missing := [name for name in (MANIFEST, INDEX) if not (folder / name).is_file()]:
        return [f"{folder / name}: missing; `{snakemake('data')}` makes it again" for name in missing]
    with tables.connect() as connection, ThreadPoolExecutor(jobs) as pool:
        tables.read(connection, folder / MANIFEST, SHARD_MANIFEST, "manifest")
        tables.read(connection, folder / INDEX, contract, "samples")
        listed = connection.execute("SELECT shard, samples, bytes, sha256 FROM manifest ORDER BY shard").fetchall()
        strays = connection.execute(
            "SELECT DISTINCT shard FROM samples ANTI JOIN manifest USING (shard) ORDER BY shard"
        ).fetchall()
        wrong = [f"{folder / INDEX}: names {shard}, which the manifest has not" for (shard,) in strays]
        with Progress(f"verify {folder}", len(listed), "shards") as progress:
            for line in pool.map(lambda row: _of_shard(folder, Entry(*row)), listed):
                progress.update()
                if line is not None:
                    wrong.append(line)
    return wrong


def _of_shard(folder: Path, entry: Entry) -> str | None:
    tar = folder / entry.shard
    if Path(entry.shard).name != entry.shard or not tar.is_file():
        return f"{tar}: missing; `{rebuild_command(folder, entry.shard)}` makes it again"
    if tar.stat().st_size != entry.bytes or sha256_file(tar) != entry.sha256:
        return f"{tar}: other bytes than its manifest says; `{rebuild_command(folder, entry.shard)}` makes it again"
    # A row group a shard: only this one is read.
    rows = pq.read_table(folder / INDEX, columns=["uuid", "position"], filters=[("shard", "==", entry.shard)])
    uuids = rows.sort_by("position")["uuid"].to_pylist()
    with torch_hidden():
        from webdataset.tariterators import tarfile_samples
    read = [sample["__key__"] for sample in tarfile_samples([{"url": str(tar)}])]
    if read != uuids or len(read) != entry.samples:
        return f"{tar}: webdataset reads {len(read)} samples, not the {len(uuids)} of the index in their order"
    return None


def _finished_downloads(work: Path) -> dict[str, dict[str, str]]:
    """The sums of each finished part's files, by the sum of its manifest."""
    records = (json.loads(done.read_text(encoding="utf-8"))["files"] for done in sorted(work.glob("*/done.json")))
    return {files[MANIFEST]: files for files in records if MANIFEST in files}


@_named
def _of_download(manifest: Path, made: Mapping[str, Mapping[str, str]]) -> list[str]:
    """What is wrong with a download part's tars."""
    if not manifest.is_file():
        return [f"{manifest}: missing; `{snakemake(str(manifest))}` downloads the part again"]
    with tables.connect() as connection:
        tables.read(connection, manifest, DOWNLOADS, "manifest")
        ends = connection.execute(
            'SELECT tar, max("offset" + size) FROM manifest WHERE tar IS NOT NULL GROUP BY tar ORDER BY tar'
        ).fetchall()
    sums = made.get(sha256_file(manifest), {})
    remedy = f"`{snakemake(str(manifest), '-R', str(manifest))}` downloads its images again"
    wrong = []
    for tar, end in ends:
        path = manifest.parent / Path(tar).name
        if not path.is_file() or path.stat().st_size < end:
            wrong.append(f"{path}: missing or cut short; {remedy}")
        elif tar in sums and sha256_file(path) != sums[tar]:
            wrong.append(f"{path}: other bytes than when it was made; {remedy}")
    return wrong


def _of_table(path: Path) -> list[str]:
    """What is wrong with a table of which nothing but itself is known."""
    if not path.is_file():
        return [f"{path}: missing; `{snakemake(str(path))}` makes it again"]
    try:
        for group in range((file := pq.ParquetFile(path)).num_row_groups):
            file.read_row_group(group)
    except (OSError, pa.ArrowInvalid) as error:
        remedy = f"delete it, then `{snakemake(str(path))}` makes it again"
        return [f"{path}: cannot be read: {str(error).splitlines()[0]}; {remedy}"]
    return []


if __name__ == "__main__":
    run(verify)
