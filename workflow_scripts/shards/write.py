"""Write one job's shards from the download tars: each image made the recipe's square and encoded."""

import hashlib
import json
import logging
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from workflow_scripts.common import images, tables, tars
from workflow_scripts.common.cli import run
from workflow_scripts.common.config.shards import ShardSettings
from workflow_scripts.common.errors import InputError
from workflow_scripts.common.files import link, sha256_file
from workflow_scripts.common.progress import Progress
from workflow_scripts.common.step_versions import step_version
from workflow_scripts.common.work_folder import exclusive, open_work_folder
from workflow_scripts.contracts import SHARD_GROUP_INDEX, SHARD_GROUP_MANIFEST, SHARD_PLAN
from workflow_scripts.shards.stored import Stored, StoredImages, damaged

logger = logging.getLogger(__name__)

# Encoded images of each thread that may wait for the tar's writer.
AHEAD = 64
TAR, INDEX, MANIFEST = "shard.tar", "index.parquet", "manifest.parquet"


class Sample(NamedTuple):
    """A row of the plan, as far as it concerns what is written."""

    stored: Stored
    label_id: str
    md5: str


class Shard(NamedTuple):
    """A shard of the plan with its samples in order."""

    split: str
    number: int
    samples: Sequence[Sample]

    @property
    def name(self) -> str:
        """The tar's name."""
        return f"shard-{self.number:06d}.tar"


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

    A sample is `<uuid>.jpg` and `<uuid>.label_id.txt`. Each shard has a work folder of its own, named by its rows, the
    settings and the code: after an interruption only the shard in hand is written again, and another number of groups
    finds every shard that was made before.

    Args:
        plan: the generation's plan.
        downloads: the folder of the download parts (`part-NNNN/*.tar`).
        group: which group of the plan.
        settings: how samples are written.
        work: where the work folders are.
        out_dir: the generation's folder: `train/`, `val/` and `groups/` are in it.
        jobs: threads that decode and encode; they change no byte.

    Raises:
        InputError: the plan breaks its contract, or an image is not where it says; the message names the tar, the byte
            and the uuid.
    """
    manifest = out_dir / "groups" / f"group-{group:03d}.manifest.parquet"
    index = manifest.with_name(f"group-{group:03d}.index.parquet")
    made: list[tuple[Path, str, int]] = []
    adopted = 0
    publishing = exclusive(manifest.with_name(f".{manifest.name}.lock"))
    with publishing, tables.connect() as connection, ThreadPoolExecutor(jobs) as pool:
        # Readers wait for the manifest: it must not stand beside shards of another plan.
        manifest.unlink(missing_ok=True)
        stored = StoredImages(downloads)
        # Its own rows alone: of hundreds of jobs each would read the whole plan.
        tables.read(connection, plan, SHARD_PLAN, "plan", only=f'"group" = {int(group)}')
        with Progress(f"shards of group {group}", _samples(connection), "images") as progress:
            for shard in _shards(connection):
                with open_work_folder(work, _key(shard, settings)) as folder:
                    if folder.finished:
                        adopted += 1
                    else:
                        _write_shard(
                            folder.path, shard, stored=stored, settings=settings, pool=pool, ahead=AHEAD * jobs
                        )
                        folder.finish([TAR, INDEX, MANIFEST])
                    _publish(folder.path / TAR, out_dir / shard.split / shard.name)
                made.append((folder.path, shard.split, shard.number))
                progress.update(len(shard.samples))
        logger.info("group %d: %d shards, %d of them made before", group, len(made), adopted)
        indexes = (_with_kept(connection, pq.read_table(path / INDEX), split, number) for path, split, number in made)
        tables.write_row_groups(indexes, SHARD_GROUP_INDEX, index)
        tables.write_row_groups((pq.read_table(path / MANIFEST) for path, *_ in made), SHARD_GROUP_MANIFEST, manifest)


def _samples(connection: duckdb.DuckDBPyConnection) -> int:
    counted = connection.execute("SELECT count(*) FROM plan").fetchone()
    assert counted is not None
    return int(counted[0])


def _shards(connection: duckdb.DuckDBPyConnection) -> Iterator[Shard]:
    """The group's shards in order; the samples of one at a time are held."""
    listed = connection.execute("SELECT DISTINCT split, shard FROM plan ORDER BY split, shard").fetchall()
    for split, number in listed:
        rows = connection.execute(
            'SELECT uuid, part, tar, "offset", size, label_id, md5 FROM plan '
            "WHERE split = $split AND shard = $shard ORDER BY position",
            {"split": split, "shard": number},
        ).fetchall()
        yield Shard(split, number, [Sample(Stored(*row[:-2]), *row[-2:]) for row in rows])


def _with_kept(connection: duckdb.DuckDBPyConnection, index: pa.Table, split: str, number: int) -> pa.Table:
    """A shard's index with the columns that the plan carries along: other ones rewrite no shard."""
    known = ", ".join(tables.quoted(column.name) for column in SHARD_PLAN.columns if column.name != "uuid")
    rows = f"FROM plan WHERE split = {tables.literal(split)} AND shard = {number} ORDER BY position"
    kept = connection.sql(f"SELECT * EXCLUDE ({known}) {rows}").to_arrow_table()
    assert kept["uuid"].equals(index["uuid"])
    for name in kept.column_names[1:]:
        index = index.append_column(name, kept[name])
    return index


def _key(shard: Shard, settings: ShardSettings) -> dict[str, str]:
    rows = hashlib.sha256()
    for sample in shard.samples:
        # Original bytes and stored size stand for the image. Its place does not count: a tar that is rewritten without
        # some other image moves it, and a new download may put another one there.
        rows.update(json.dumps([sample.stored.uuid, sample.label_id, sample.md5, sample.stored.size]).encode())
    return {
        "shard": f"{shard.split}/{shard.name}",
        "rows": rows.hexdigest(),
        "settings": settings.to_json(),
        "version": step_version("shards.write"),
    }


def _write_shard(
    folder: Path, shard: Shard, *, stored: StoredImages, settings: ShardSettings, pool: ThreadPoolExecutor, ahead: int
) -> None:
    """Write a shard's tar, index and manifest; at most `ahead` encoded images are held."""
    for sample in shard.samples:
        if "." in sample.stored.uuid or "/" in sample.stored.uuid:
            raise InputError(
                f"uuid {sample.stored.uuid!r}: dots and slashes cannot stand in the name of a tar's member"
            )

    def render(sample: Sample) -> tuple[str, dict[str, bytes]]:
        return sample.stored.uuid, {
            "jpg": _square_jpeg(stored, sample.stored, settings),
            "label_id.txt": sample.label_id.encode(),
        }

    def rendered() -> Iterator[tuple[str, dict[str, bytes]]]:
        for start in range(0, len(shard.samples), ahead):
            yield from pool.map(render, shard.samples[start : start + ahead])

    tar = folder / TAR
    places = [members["jpg"] for members in tars.write_tar(tar, rendered())]
    count = len(places)
    index = {
        "split": [shard.split] * count,
        "uuid": [sample.stored.uuid for sample in shard.samples],
        "shard": [shard.name] * count,
        "position": range(count),
        "offset": [place.offset for place in places],
        "size": [place.size for place in places],
        "label_id": [sample.label_id for sample in shard.samples],
    }
    tables.write_row_groups([pa.table(index)], SHARD_GROUP_INDEX, folder / INDEX)
    manifest = {
        "split": shard.split,
        "shard": shard.name,
        "samples": count,
        "bytes": tar.stat().st_size,
        "sha256": sha256_file(tar),
    }
    tables.write_rows([manifest], SHARD_GROUP_MANIFEST, folder / MANIFEST)


def _square_jpeg(stored: StoredImages, place: Stored, settings: ShardSettings) -> bytes:
    data = stored.read(place)
    try:
        image = images.decode(data, at_least=settings.image_size)
    except images.UnreadableImage as error:
        raise damaged(stored.downloads, place, str(error)) from None
    return images.encode_jpeg(images.to_square(image, settings.image_size, settings.resize), settings.jpeg_quality)


def _publish(tar: Path, target: Path) -> None:
    if not (target.exists() and target.samefile(tar)):
        link(tar, target)


if __name__ == "__main__":
    run(write)
