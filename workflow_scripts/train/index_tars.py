"""Index tars in the published layout, so that training reads images and captions by byte offset.

In: tars with `jpg` and the five caption members that training draws from (TreeOfLife-10M and -200M dataset cards).
Out: a folder of shards: links to the tars, `index.parquet`, `manifest.parquet` (last). Each tar is read once, in full,
for its SHA-256; an interrupted step resumes with the remaining tars.
"""

import hashlib
import json
import logging
import os
import tarfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, BinaryIO, cast

import pyarrow.parquet as pq

from workflow_scripts.common import tables
from workflow_scripts.common.accounts import Account, write_account
from workflow_scripts.common.children import die_with_parent
from workflow_scripts.common.cli import run
from workflow_scripts.common.errors import InputError
from workflow_scripts.common.files import matching, write_json
from workflow_scripts.common.progress import Progress
from workflow_scripts.common.step_versions import versioned
from workflow_scripts.common.tars import Span
from workflow_scripts.common.work_folder import WorkFolder, open_work_folder
from workflow_scripts.contracts import REFERENCE_INDEX, SHARD_MANIFEST, TEXT_TYPES
from workflow_scripts.train.samples import INDEX, MANIFEST

logger = logging.getLogger(__name__)

IMAGES = ("jpg", "jpeg")
CAPTIONS = {f"{text_type}.txt": text_type for text_type in TEXT_TYPES}
ACCOUNT = "account.json"


def index_tars(*, tars: str, work: Path, out_dir: Path, jobs: int = 1) -> None:
    """Index all tars that match a pattern, in the order of their paths.

    Args:
        tars: a glob.
        work: parent of the work folders.
        out_dir: output folder of shards.
        jobs: number of tars to read in parallel.

    Raises:
        InputError: no tar matches, a tar is damaged, or no sample has an image and all five captions.
    """
    found = sorted(path.resolve() for path in matching(tars))
    if not found:
        raise InputError(f"{tars}: no matching files")
    stats = [path.stat() for path in found]
    files = [[str(path), stat.st_size, stat.st_mtime_ns] for path, stat in zip(found, stats, strict=True)]
    key = {"tars": files, **versioned("train.index_tars")}
    with open_work_folder(work, key, target=out_dir / MANIFEST) as folder:
        if not folder.finished:
            _index(found, folder, jobs)
            folder.finish([INDEX, ACCOUNT, MANIFEST])
        out_dir.mkdir(parents=True, exist_ok=True)
        _link(found, out_dir)
        folder.publish(out_dir, last=MANIFEST)


def _index(found: list[Path], folder: WorkFolder, jobs: int) -> None:
    pieces = [folder.path / "pieces" / f"{number:06d}.parquet" for number in range(len(found))]
    left = [number for number, piece in enumerate(pieces) if not piece.exists()]
    with (
        ProcessPoolExecutor(jobs, initializer=die_with_parent) as pool,
        Progress("indexing", len(found), "tars") as bar,
    ):
        bar.update(len(found) - len(left))
        for _ in pool.map(_index_one, left, [found[number] for number in left], [pieces[number] for number in left]):
            bar.update()
    tables.write_row_groups(map(pq.read_table, pieces), REFERENCE_INDEX, folder.path / INDEX)
    summaries = [_summary(piece) for piece in pieces]
    manifest = [{name: summary[name] for name in ("shard", "samples", "bytes", "sha256")} for summary in summaries]
    kept = sum(int(summary["samples"]) for summary in summaries)
    left_out = sum(int(summary["left_out"]) for summary in summaries)
    if not kept:
        raise InputError(f"{found[0]}: no sample has an image and the members {', '.join(CAPTIONS)}")
    account = Account(
        "shards", "indexed", "samples", rows_in=kept + left_out, kept=kept, dropped={"member_missing": left_out}
    )
    write_account(folder.path / ACCOUNT, account)
    tables.write_rows(manifest, SHARD_MANIFEST, folder.path / MANIFEST)


def _link(found: list[Path], out_dir: Path) -> None:
    """Link the tars under new names, as tars of two folders may have the same name."""
    names = {_name(number): tar for number, tar in enumerate(found)}
    for link in out_dir.glob("shard-*.tar"):
        if link.name not in names or link.resolve() != names[link.name]:
            link.unlink()
    for name, tar in names.items():
        if not (out_dir / name).is_symlink():
            (out_dir / name).symlink_to(tar)


def _name(number: int) -> str:
    return f"shard-{number:06d}.tar"


def _index_one(number: int, tar: Path, piece: Path) -> None:
    """Write the index rows of a tar, and its manifest row as JSON beside them."""
    sha256 = hashlib.sha256()
    samples: list[dict[str, Any]] = []
    left_out = 0
    with tar.open("rb") as file:
        try:
            for uuid, members in _samples(_HashingReader(file, sha256)):
                image = next((members[extension] for extension in IMAGES if extension in members), None)
                if image is None or not CAPTIONS.keys() <= members.keys():
                    left_out += 1
                    continue
                captions = {
                    f"{text_type}_{place}": getattr(members[extension], place)
                    for extension, text_type in CAPTIONS.items()
                    for place in ("offset", "size")
                }
                row = {"uuid": uuid, "shard": _name(number), "position": len(samples)}
                samples.append(row | {"offset": image.offset, "size": image.size} | captions)
        except tarfile.TarError as error:
            raise InputError(f"{tar}: damaged: {error}") from None
        # The digest covers the bytes after the end of the archive, too.
        while block := file.read(2**20):
            sha256.update(block)
    if left_out:
        logger.warning("%s: %d samples without an image or without all of %s", tar, left_out, ", ".join(CAPTIONS))
    summary = {"shard": _name(number), "samples": len(samples), "bytes": tar.stat().st_size, "left_out": left_out}
    write_json(piece.with_suffix(".json"), summary | {"sha256": sha256.hexdigest()})
    tables.write_rows(samples, REFERENCE_INDEX, piece)


def _samples(file: "_HashingReader") -> Iterator[tuple[str, dict[str, Span]]]:
    """Samples in the order of the tar: consecutive members with the same name before the first dot."""
    uuid = ""
    members: dict[str, Span] = {}
    end = 0
    # In stream mode, tarfile calls only `read`.
    with tarfile.open(fileobj=cast(BinaryIO, file), mode="r|", bufsize=2**20) as tar:
        for member in tar:
            end = member.offset_data + -(-member.size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE
            key, _, extension = Path(member.name).name.partition(".")
            if not member.isfile() or not key or not extension:
                continue
            if key != uuid and members:
                yield uuid, members
                members = {}
            uuid = key
            # webdataset lower-cases suffixes, too.
            members[extension.lower()] = Span(member.offset_data, member.size)
    # `tarfile` treats a truncated header as the end; a complete archive ends with a block of zeros.
    if os.pread(file.file.fileno(), tarfile.BLOCKSIZE, end) != bytes(tarfile.BLOCKSIZE):
        raise tarfile.ReadError(f"truncated: no end-of-archive block at byte {end}")
    if members:
        yield uuid, members


class _HashingReader:
    """A file object that updates a digest with all bytes read."""

    def __init__(self, file: BinaryIO, sha256: "hashlib._Hash") -> None:
        self.file = file
        self.sha256 = sha256

    def read(self, size: int) -> bytes:
        """Read and hash the next bytes."""
        data = self.file.read(size)
        self.sha256.update(data)
        return data


def _summary(piece: Path) -> dict[str, int | str]:
    return dict(json.loads(piece.with_suffix(".json").read_text(encoding="utf-8")))


if __name__ == "__main__":
    run(index_tars)
