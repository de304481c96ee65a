"""Verify a corpus: its shards match their manifests, webdataset reads them, and each kept image is in exactly one.

Reports every file that is missing or changed, for example after a purge of a scratch disk. Changes no file of the
corpus and needs no network.
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
from workflow_scripts.common.cli import AsJson, print_json, run
from workflow_scripts.common.errors import InputError, first_line
from workflow_scripts.common.files import sha256_file
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
    json_lines: AsJson = False,
    jobs: int = 1,
) -> None:
    """Check all files of a corpus, and report each one that is missing or changed.

    Args:
        shards: the folder of each generation's shards, with `train/` and `val/`.
        verdicts: the verdicts of each generation, in the same order.
        downloads: manifests of the download parts, with their tars beside them.
        replay: the folder of the replay shards.
        work: the folder of the downloads' work folders, whose digests tars are compared with. Without it, only the
            lengths of tars are checked.
        others: other tables that must exist and be readable.
        ledger: images that were taken down; verdicts may contain them until they are decided again.
        json_lines: print one JSON object: complete (true or false), problems (lines that begin with the file) and, if
            complete, images (training and validation), replay_pairs and download_parts.
        jobs: number of shards to read at once.

    Raises:
        InputError: a file is missing or changed; the message has the first problem, the log and --json have all.
    """
    if len(shards) != len(verdicts):
        raise InputError(
            f"--shards, --verdicts: {len(shards)} folders of shards, but {len(verdicts)} tables of verdicts; "
            "give one table for each folder"
        )
    problems: list[str] = []
    for folder, table in zip(shards, verdicts, strict=True):
        problems += _check_generation(folder, table, ledger, jobs)
    if replay is not None:
        for split in SPLITS:
            problems += _check_folder(replay / split, REPLAY_INDEX, jobs)
    recorded = _finished_downloads(work) if work else {}
    with Progress("verify downloads", len(downloads), "parts") as progress, ThreadPoolExecutor(jobs) as pool:
        for lines in pool.map(lambda manifest: _check_download(manifest, recorded), downloads):
            problems += lines
            progress.update()
    for table in others:
        problems += _check_table(table)
    for line in problems:
        logger.error("%s", line)
    if problems:
        if json_lines:
            print_json({"complete": False, "problems": problems})
        for line in problems[:SHOWN]:
            sys.stderr.write(f"{line}\n")
        counted = f"{len(problems)} problems found, the first: " if len(problems) > 1 else ""
        raise InputError(f"{counted}{problems[0]}")
    images = sum(_samples(folder / split / MANIFEST for folder in shards for split in SPLITS))
    pairs = sum(_samples(replay / split / MANIFEST for split in SPLITS)) if replay is not None else 0
    if not images + pairs:
        raise InputError(f"{shards[0] if shards else replay}: no image in these shards; nothing was checked")
    if json_lines:
        counts = {"images": images, "replay_pairs": pairs, "download_parts": len(downloads)}
        print_json({"complete": True, "problems": [], **counts})
        return
    sys.stdout.write(
        f"all shards and download tars are complete: {images:,} training and validation images, "
        f"{pairs:,} replay pairs and {len(downloads):,} download parts\n"
    )


def _samples(manifests: Iterable[Path]) -> Iterator[int]:
    """The number of samples of each shard in some manifests."""
    for manifest in manifests:
        yield sum(pq.read_table(manifest, columns=["samples"])["samples"].to_pylist())


def _report_unreadable(check: Callable[P, list[str]]) -> Callable[P, list[str]]:
    """Report a table that a check cannot read as one more problem, so that the other checks continue."""

    @functools.wraps(check)
    def lines(*args: P.args, **kwargs: P.kwargs) -> list[str]:
        try:
            return check(*args, **kwargs)
        except InputError as error:
            return [str(error)]

    return lines


@_report_unreadable
def _check_generation(folder: Path, verdicts: Path, ledger: Path | None, jobs: int) -> list[str]:
    # Older corpora have no train_small.
    splits = [*SPLITS, *([SMALL] if (folder / SMALL).is_dir() else [])]
    problems = [line for split in splits for line in _check_folder(folder / split, SHARD_INDEX, jobs)]
    indexes = [folder / split / INDEX for split in SPLITS]
    if not verdicts.is_file():
        return [*problems, f"{verdicts}: missing; `{snakemake('data')}` makes it again"]
    if not all(path.is_file() for path in indexes):
        return problems
    with tables.connect() as connection:
        tables.read(connection, verdicts, VERDICTS, "verdicts")
        tables.read(connection, [ledger] if ledger and ledger.exists() else [], LEDGER, "gone")
        sources = " UNION ALL ".join(
            f"SELECT uuid, {tables.literal(path.parent.name)} AS split FROM {tables.scan(path)}" for path in indexes
        )
        rows = connection.execute(
            f"""
            WITH found AS (SELECT uuid, min(split) AS split, count(*) AS times FROM ({sources}) GROUP BY uuid)
            SELECT coalesce(verdicts.uuid, found.uuid), found.times, found.split, verdicts.split
            FROM found
            FULL JOIN (SELECT uuid, split FROM verdicts WHERE keep) AS verdicts USING (uuid)
            WHERE (found.times IS DISTINCT FROM 1 OR found.split IS DISTINCT FROM verdicts.split)
            AND NOT (found.uuid IS NULL AND verdicts.uuid IN (SELECT uuid FROM gone))
            ORDER BY ALL
            """
        ).fetchall()
    for uuid, times, split, expected in rows:
        what = f"is in {times or 'no'} samples, expected 1"
        if times == 1:
            what = f"is in {split}, but its verdict is {expected or 'not to keep it'}"
        problems.append(f"{folder}: image {uuid} {what}; write the shards again")
    return problems


@_report_unreadable
def _check_folder(folder: Path, contract: Contract, jobs: int) -> list[str]:
    """Check a folder of shards; return its problems."""
    if missing := [name for name in (MANIFEST, INDEX) if not (folder / name).is_file()]:
        return [f"{folder / name}: missing; `{snakemake('data')}` makes it again" for name in missing]
    with tables.connect() as connection, ThreadPoolExecutor(jobs) as pool:
        tables.read(connection, folder / MANIFEST, SHARD_MANIFEST, "manifest")
        tables.read(connection, folder / INDEX, contract, "samples")
        listed = connection.execute("SELECT shard, samples, bytes, sha256 FROM manifest ORDER BY shard").fetchall()
        strays = connection.execute(
            "SELECT DISTINCT shard FROM samples ANTI JOIN manifest USING (shard) ORDER BY shard"
        ).fetchall()
        problems = [f"{folder / INDEX}: lists {shard}, which is not in the manifest" for (shard,) in strays]
        with Progress(f"verify {folder}", len(listed), "shards") as progress:
            for line in pool.map(lambda row: _check_shard(folder, Entry(*row)), listed):
                progress.update()
                if line is not None:
                    problems.append(line)
    return problems


def _check_shard(folder: Path, entry: Entry) -> str | None:
    tar = folder / entry.shard
    if Path(entry.shard).name != entry.shard or not tar.is_file():
        return f"{tar}: missing; `{rebuild_command(folder, entry.shard)}` makes it again"
    if tar.stat().st_size != entry.bytes or sha256_file(tar) != entry.sha256:
        return f"{tar}: size or digest is not the manifest's; `{rebuild_command(folder, entry.shard)}` makes it again"
    # Each shard is a row group, so only its rows are read.
    rows = pq.read_table(folder / INDEX, columns=["uuid", "position"], filters=[("shard", "==", entry.shard)])
    uuids = rows.sort_by("position")["uuid"].to_pylist()
    with torch_hidden():
        from webdataset.tariterators import tarfile_samples
    read = [sample["__key__"] for sample in tarfile_samples([{"url": str(tar)}])]
    if read != uuids or len(read) != entry.samples:
        return f"{tar}: webdataset reads {len(read)} samples that differ from the {len(uuids)} of the index"
    return None


def _finished_downloads(work: Path) -> dict[str, dict[str, str]]:
    """The digests of each finished part's files, by the digest of its manifest."""
    records = (json.loads(done.read_text(encoding="utf-8"))["files"] for done in sorted(work.glob("*/done.json")))
    return {files[MANIFEST]: files for files in records if MANIFEST in files}


@_report_unreadable
def _check_download(manifest: Path, recorded: Mapping[str, Mapping[str, str]]) -> list[str]:
    """Check a download part's tars; return their problems."""
    if not manifest.is_file():
        return [f"{manifest}: missing; `{snakemake(str(manifest))}` downloads the part again"]
    with tables.connect() as connection:
        tables.read(connection, manifest, DOWNLOADS, "manifest")
        ends = connection.execute(
            'SELECT tar, max("offset" + size) FROM manifest WHERE tar IS NOT NULL GROUP BY tar ORDER BY tar'
        ).fetchall()
    digests = recorded.get(sha256_file(manifest), {})
    remedy = f"`{snakemake(str(manifest), '-R', str(manifest))}` downloads its images again"
    problems = []
    for tar, end in ends:
        path = manifest.parent / Path(tar).name
        if not path.is_file() or path.stat().st_size < end:
            problems.append(f"{path}: missing or truncated; {remedy}")
        elif tar in digests and sha256_file(path) != digests[tar]:
            problems.append(f"{path}: changed since it was written; {remedy}")
    return problems


def _check_table(path: Path) -> list[str]:
    """Check that a table exists and can be read; return its problems."""
    if not path.is_file():
        return [f"{path}: missing; `{snakemake(str(path))}` makes it again"]
    try:
        for group in range((file := pq.ParquetFile(path)).num_row_groups):
            file.read_row_group(group)
    except (OSError, pa.ArrowInvalid) as error:
        remedy = f"delete it, then `{snakemake(str(path))}` makes it again"
        return [f"{path}: cannot be read: {first_line(error)}; {remedy}"]
    return []


if __name__ == "__main__":
    run(verify)
