"""Embed your own images into a parquet file of paths and embeddings, for search, clustering and maps."""

import json
import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Annotated, Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import torch
import tyro

from workflow_scripts.common import tables
from workflow_scripts.common.cli import run
from workflow_scripts.common.clip import Clip, Projector, load
from workflow_scripts.common.embedding import Loading, encode
from workflow_scripts.common.errors import InputError
from workflow_scripts.common.files import check_not_read, check_writable, whole
from workflow_scripts.common.geometry import unit
from workflow_scripts.common.image_lists import UNREADABLE, ImageList, Unreadable, list_images
from workflow_scripts.common.images import MAX_PIXELS
from workflow_scripts.common.interruptions import Interrupted, Interruptions, interruptions
from workflow_scripts.common.progress import Progress
from workflow_scripts.common.typed_models import model_name, typed_model
from workflow_scripts.common.work_folder import open_work_folder
from workflow_scripts.evaluate.features import origin_of

QUERY = Path(__file__).with_suffix(".sql").read_text(encoding="utf-8")
# Images after which a run that was killed need not start again.
CHUNK = 4096
ORIGIN = "embeddings"
"""The file's metadata: what the embeddings were made from, as JSON."""
NOTHING = """
SELECT
    NULL::VARCHAR AS image, NULL::VARCHAR AS crop, NULL::BIGINT AS bytes, NULL::BIGINT AS modified,
    NULL::VARCHAR AS md5, NULL::FLOAT[] AS emb
WHERE false
"""
OWN = ("uuid", "image", "crop", "md5", "bytes", "modified", "emb")


def embed_images(
    *,
    model: str,
    images: tuple[Path, ...],
    out: Path,
    overwrite: bool = False,
    normalize: bool = False,
    projector: Projector = "proj",
    folder: Path | None = None,
    path_column: str | None = None,
    as_json: Annotated[bool, tyro.conf.arg(name="json")] = False,
    batch: int = 64,
    workers: int = 1,
    max_pixels: int = MAX_PIXELS,
    threads: int = 2,
    memory_mb: int = 2048,
) -> None:
    """Write the embeddings of images as parquet.

    python -m workflow_scripts.evaluate.embed_images --model results/runs/demo/model --images photos --out all.parquet

    The file has a row for each image: `uuid`, `image` (its path below the folder, or as the table writes it), `crop`
    (x, y, width and height in pixels, where the table has these columns), the columns of the table that was given,
    `md5` of its bytes, `bytes`, `modified`, and `emb`, a list of float32. Emb-explorer opens the file as it is. Images
    that cannot be read are not in it: OUT.unreadable.csv names them.

    After Ctrl-C or SIGTERM a new file holds the images embedded so far, one that was there is as it was, and the same
    command continues. Images that OUT already holds, embedded by the same model and not changed since, are not embedded
    again. After a kill -9 at most 4,096 images are embedded again.

    Exit status: 0 all images are embedded; 2 bad input, or no image could be read; 3 some images could not be read, the
    others are embedded; 130 or 143 interrupted.

    Args:
        model: the model's folder, such as a run's `model`, or `hf-hub:NAME`.
        images: image files, folders (searched through), or one table with a column of paths.
        out: the file to write, .parquet.
        overwrite: whether a file may be replaced that holds something else: embeddings by another model or other
            settings, or of images that are not given now.
        normalize: write unit vectors. Default: the values as the model gives them, as in pybioclip's `embed`.
        projector: `replay`: BioCLIP 2's second visual projector.
        folder: the folder that a table's paths start from. Default: the table's own.
        path_column: the table's column of paths. Default: path, filepath, file_name or image.
        as_json: print the result as one JSON object: out, images, embedded, unreadable, reused, dimensions, and what
            the embeddings were made from.
        batch: images per forward pass.
        workers: processes that decode images; 0: decode in the main process.
        max_pixels: images with more pixels are not read; decoding takes up to 7 bytes per pixel and worker.
        threads: threads of the forward pass.
        memory_mb: memory for listing images and sorting rows, MiB.

    Raises:
        InputError: no model, no image, or another kind of file to write, or one that holds something else.
        SystemExit: with the status.
    """
    if out.suffix != ".parquet":
        raise InputError(f"{out}: give it the ending .parquet")
    loading = Loading(batch, workers, max_pixels, memory_mb, threads)
    unreadable_list = out.with_name(f"{out.stem}.unreadable.csv")
    for written in (out, unreadable_list):
        check_not_read(written, *images)
    check_writable(out)
    torch.set_num_threads(threads)
    with ExitStack() as stack:
        connection = stack.enter_context(tables.connect(memory_mb))
        listed = list_images(connection, images, folder=folder, path_column=path_column)
        source = typed_model(model)
        clip = load(source, torch.device("cuda" if torch.cuda.is_available() else "cpu"))
        origin = origin_of(clip, "", projector)
        made_by: dict[str, Any] = {
            "weights": origin.weights,
            "preprocessing": origin.preprocessing,
            "projector": origin.projector,
        }
        made_by |= {"normalized": normalize}
        made_of = _made_of(out, images, folder, path_column)
        recorded = _recorded(out)
        is_there = out.exists()
        if is_there and not overwrite and (other := _other(recorded, {**made_by, **made_of})):
            raise InputError(f"{out}: {other}; name another file with --out, or replace it with --overwrite")
        earlier = [out] if recorded and not _other(recorded, made_by) else []
        root = out.parent / f".{out.name}.work"
        work = stack.enter_context(open_work_folder(root, made_by, wait=False)).path
        reused = _know(connection, earlier, _parts(work))
        embedder = Embedder(clip, projector, loading, normalize=normalize)
        stop = stack.enter_context(interruptions())
        status = 0
        with Progress("embed", listed.count, "images") as progress:
            progress.update(reused)
            try:
                _embed_missing(listed, embedder, work, progress, stop)
            except Interrupted as interrupted:
                status = interrupted.status
        embedded = _know(connection, earlier, _parts(work))
        unreadable = embedder.unreadable.count
        # What was done before the stop waits in the work folder; a file that is there is not replaced by a part of one.
        is_written = bool(embedded) and not (status and is_there)
        is_kept = status and not is_written and _parts(work)
        told = {"out": str(out), "images": listed.count, "embedded": embedded, "unreadable": unreadable}
        if is_written:
            told |= {"dimensions": _write(listed, {"model": model_name(source), **made_by, **made_of}, out)}
            _write_unreadable(connection, unreadable_list)
        if embedded or status:
            _tell({**told, "reused": reused, "model": model_name(source), **made_by}, status, as_json=as_json)
    if not is_kept:
        shutil.rmtree(work)
        with suppress(OSError):
            root.rmdir()
    if not embedded and not status:
        raise InputError(f"none of {listed.count:,} images could be read; the first: {embedder.unreadable.first}")
    if status or unreadable:
        raise SystemExit(status or UNREADABLE)


class Embedder:
    """Embeds blocks of listed images.

    Args:
        clip: the model.
        projector: which visual projector.
        loading: how images are loaded.
        normalize: make unit vectors.

    Attributes:
        unreadable: the images that could not be read.
    """

    def __init__(self, clip: Clip, projector: Projector, loading: Loading, *, normalize: bool) -> None:
        self.unreadable = Unreadable()
        self._clip = clip
        self._projector = projector
        self._normalize = normalize
        self._loading = loading

    def embed(self, block: pa.Table) -> Iterator[tuple[pa.Table, pa.Table]]:
        """Batch by batch, the images that could be read with `md5` and `emb`, and the others with `error`.

        Raises:
            InputError: the model gives no numbers.
        """
        files = block.select(["image", "crop", "bytes", "modified"])
        for loaded in self._loading.batches_of(block, self._clip):
            vectors = np.zeros((0, 0), np.float32)
            if loaded.read:
                vectors = encode(self._clip, loaded.pixels_BCHW, self._projector)
                if not np.isfinite(vectors).all():
                    raise InputError("some embeddings are not numbers; the model's weights are broken")
            vectors = unit(vectors) if self._normalize else vectors
            made = files.take(pa.array(loaded.read, pa.int64())).append_column("md5", pa.array(loaded.md5, pa.string()))
            lists = pa.array(list(vectors), pa.list_(pa.float32()))
            failed = files.select(["image"]).take(pa.array(list(loaded.errors), pa.int64()))
            for index, error in loaded.errors.items():
                self.unreadable.note(str(block["image"][index]), error)
            errors = pa.array(list(loaded.errors.values()), pa.string())
            yield made.append_column("emb", lists), failed.append_column("error", errors)


def _embed_missing(listed: ImageList, embedder: Embedder, work: Path, progress: Progress, stop: Interruptions) -> None:
    """Embed the images of the table `missing`, and keep them in files of at most `CHUNK` rows."""
    connection = listed.connection
    connection.execute("CREATE OR REPLACE TABLE unreadable (image VARCHAR, error VARCHAR)")
    for block in listed.blocks(CHUNK, only="row IN (FROM missing)"):
        parts: list[pa.Table] = []
        try:
            for made, failed in embedder.embed(block):
                with stop.held_back():
                    parts.append(made)
                    if failed.num_rows:
                        connection.register("failed", failed)
                        connection.execute("INSERT INTO unreadable SELECT * FROM failed")
                    progress.update(made.num_rows, lost=failed.num_rows)
        finally:
            if parts:
                with whole(work / f"{len(_parts(work)):06d}.parquet") as temporary:
                    pq.write_table(pa.concat_tables(parts), temporary)


def _parts(work: Path) -> list[Path]:
    return sorted(work.glob("[0-9]*.parquet"))


def _made_of(out: Path, images: tuple[Path, ...], folder: Path | None, path_column: str | None) -> dict[str, Any]:
    """Which images were given, by their places from the output's folder: both may move together."""

    def from_out(path: Path) -> str:
        return os.path.relpath(path.resolve(), out.parent.resolve())

    return {
        "images": [from_out(path) for path in images],
        "folder": None if folder is None else from_out(folder),
        "path_column": path_column,
    }


def _recorded(out: Path) -> dict[str, Any]:
    """What a file's embeddings were made from; nothing where it is none of ours."""
    try:
        schema = pq.read_schema(out)
        recorded = dict(json.loads((schema.metadata or {})[ORIGIN.encode()]))
    except (OSError, pa.ArrowException, KeyError, ValueError, TypeError):
        return {}
    return recorded if set(OWN) <= set(schema.names) else {}


def _other(recorded: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    """What a file holds that it would not hold now; "" where it would."""
    if not recorded:
        return "not written by embed_images"
    differing = [
        name
        for name, value in wanted.items()
        if recorded.get(name) != value and not (name == "images" and set(recorded.get(name) or [None]) <= set(value))
    ]
    return f"made from another model, settings or images ({', '.join(differing)})" if differing else ""


def _know(connection: duckdb.DuckDBPyConnection, earlier: list[Path], parts: list[Path]) -> int:
    """Make the view `known` of the embeddings in files, and the table `missing` of rows of images that have none.

    Args:
        connection: where the images are listed.
        earlier: the output of an earlier run, where it can be used.
        parts: what was embedded since.

    Returns:
        How many images have one.
    """
    connection.execute(f"CREATE OR REPLACE VIEW earlier AS {NOTHING}")
    for out in earlier:
        # A table may have named an image more than once.
        rows = f"read_parquet({tables.path_literal(out)}, file_row_number = true)"
        connection.execute(
            "CREATE OR REPLACE VIEW earlier AS SELECT image, coalesce(crop, '') AS crop, bytes, "
            f"epoch_ns(modified) AS modified, md5, emb FROM {rows} "
            f"WHERE file_row_number IN (SELECT min(file_row_number) FROM {rows} GROUP BY image, crop)"
        )
    since = f"SELECT * FROM {tables.scan(parts)}" if parts else NOTHING
    connection.execute(
        f"CREATE OR REPLACE VIEW known AS SELECT * FROM earlier UNION ALL BY NAME SELECT * FROM ({since}) "
        "WHERE (image, crop, bytes, modified) NOT IN (SELECT (image, crop, bytes, modified) FROM earlier)"
    )
    connection.execute(
        "CREATE OR REPLACE TABLE missing AS SELECT min(row) AS row FROM images ANTI JOIN known "
        "USING (image, crop, bytes, modified) GROUP BY image, crop"
    )
    return int(
        tables.scalar(connection, "SELECT count(*) FROM images SEMI JOIN known USING (image, crop, bytes, modified)")
    )


def _write(listed: ImageList, made_from: Mapping[str, Any], out: Path) -> int:
    """Write the embeddings in the order of the list; how many dimensions they have."""
    kept = listed.kept_columns(OWN)
    uuid = "CAST(md5(concat_ws('/', md5, image, crop, occurrence)) AS UUID)::VARCHAR"
    if theirs := next((name for name in listed.kept if name.lower() == "uuid"), None):
        # A person's own identifiers stay; only what has none gets one.
        uuid = f"coalesce(CAST({kept.pop(f'given_{theirs}')} AS VARCHAR), {uuid})"
    columns = "".join(f"{column} AS {tables.quoted(name)}, " for name, column in kept.items())
    query = QUERY.format(uuid=uuid, kept=columns)
    about = tables.literal(json.dumps(made_from, sort_keys=True))
    with whole(out) as temporary:
        listed.connection.execute(
            f"COPY ({query}) TO {tables.literal(temporary)} (FORMAT parquet, COMPRESSION zstd, "
            f"KV_METADATA {{{ORIGIN}: {about}}})"
        )
    return int(tables.scalar(listed.connection, "SELECT max(len(emb)) FROM known"))


def _write_unreadable(connection: duckdb.DuckDBPyConnection, path: Path) -> None:
    """List the images that could not be read, or remove an earlier list."""
    found = connection.sql("SELECT * FROM unreadable ORDER BY image").to_arrow_table()
    if not found.num_rows:
        path.unlink(missing_ok=True)
        return
    with whole(path) as temporary:
        pacsv.write_csv(found, temporary)


def _tell(told: Mapping[str, Any], status: int, *, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(json.dumps({**told, "interrupted": bool(status)}) + "\n")
        return
    said = [f"embedded {told['embedded']:,} of {told['images']:,} images"]
    if told["reused"]:
        said.append(f"{told['reused']:,} of them before")
    if told["unreadable"]:
        said.append(f"{told['unreadable']:,} could not be read")
    if status:
        said.append("interrupted, the same command goes on")
        if "dimensions" not in told:
            said.append("not written yet")
    sys.stdout.write(f"{', '.join(said)}: {told['out']}\n")


if __name__ == "__main__":
    run(embed_images)
