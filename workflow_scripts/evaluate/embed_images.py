"""Embed your own images into a parquet file, for search, clustering and visualisation."""

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
from workflow_scripts.common.cli import AsJson, print_json, run
from workflow_scripts.common.clip import Clip, Projector, load
from workflow_scripts.common.embedding import ImageOptions, encode
from workflow_scripts.common.errors import InputError
from workflow_scripts.common.files import atomic, check_not_read, check_writable
from workflow_scripts.common.geometry import unit
from workflow_scripts.common.image_lists import UNREADABLE, ImageList, Unreadable
from workflow_scripts.common.interruptions import Interrupted, Interruptions, interruptions
from workflow_scripts.common.progress import Progress
from workflow_scripts.common.typed_models import model_name, typed_model
from workflow_scripts.common.work_folder import open_work_folder
from workflow_scripts.evaluate.features import origin_of

QUERY = Path(__file__).with_suffix(".sql").read_text(encoding="utf-8")
# Images per file in the work folder: a killed run loses at most this many.
CHUNK = 4096
ORIGIN = "embeddings"
"""Key of the parquet metadata that records what the embeddings were made from, as JSON."""
NO_EMBEDDINGS = """
SELECT
    NULL::VARCHAR AS image, NULL::VARCHAR AS crop, NULL::BIGINT AS bytes, NULL::BIGINT AS modified,
    NULL::VARCHAR AS md5, NULL::FLOAT[] AS emb
WHERE false
"""
OWN_COLUMNS = ("uuid", "image", "crop", "md5", "bytes", "modified", "emb")


def embed_images(
    *,
    model: str,
    images: Annotated[ImageOptions, tyro.conf.OmitArgPrefixes],
    out: Path,
    overwrite: bool = False,
    normalize: bool = False,
    projector: Projector = "proj",
    as_json: AsJson = False,
) -> None:
    """Write image embeddings as parquet.

    python -m workflow_scripts.evaluate.embed_images --model results/runs/demo/model --images photos --out all.parquet

    The file has one row per image: `uuid`, `image` (the path below the folder, or as written in the table), `crop`
    (x, y, width and height in pixels, if the table has these columns), the columns of the input table, `md5` of the
    image file, `bytes`, `modified`, and `emb`, a list of float32. Emb-explorer opens the file directly. Images that
    cannot be read are left out and listed in OUT.unreadable.csv.

    Ctrl-C or SIGTERM writes the images embedded so far to a new file; an existing file is left unchanged. Run the same
    command again to continue. Images already in OUT are reused if the model is the same and the image has not changed.
    After kill -9, at most 4,096 images are embedded again.

    Exit status: 0 all images embedded; 2 bad input, or no image could be read; 3 some images could not be read, the
    rest are embedded; 130 or 143 interrupted.

    Args:
        model: the model's folder, such as a run's `model`, or `hf-hub:NAME`.
        images: the images, and how they are read.
        out: the .parquet file to write.
        overwrite: replace OUT even if it was made from another model, other settings or images not given now.
        normalize: write unit vectors. Default: the model's raw output, as pybioclip's `embed` writes it.
        projector: `replay` selects BioCLIP 2's second visual projector.
        as_json: print the result as one JSON object: out, images, embedded, unreadable, reused, dimensions, and what
            the embeddings were made from.

    Raises:
        InputError: the model or an input cannot be read, or OUT has another suffix or other contents.
        SystemExit: the exit status, if it is not 0.
    """
    if out.suffix != ".parquet":
        raise InputError(f"{out}: expected a name ending in .parquet")
    images.check()
    unreadable_list = out.with_name(f"{out.stem}.unreadable.csv")
    for written in (out, unreadable_list):
        check_not_read(written, *images.images)
    check_writable(out)
    torch.set_num_threads(images.threads)
    with ExitStack() as stack:
        connection = stack.enter_context(tables.connect(images.memory_mb))
        listed = images.listed(connection)
        source = typed_model(model)
        clip = load(source, torch.device("cuda" if torch.cuda.is_available() else "cpu"))
        origin = origin_of(clip, "", projector)
        made_by: dict[str, Any] = {
            "weights": origin.weights,
            "preprocessing": origin.preprocessing,
            "projector": origin.projector,
        }
        made_by |= {"normalized": normalize}
        selection = _selection(out, images)
        recorded = _recorded(out)
        existed = out.exists()
        if existed and not overwrite and (mismatch := _mismatch(recorded, {**made_by, **selection})):
            raise InputError(f"{out}: {mismatch}; choose another file with --out, or replace it with --overwrite")
        earlier = [out] if recorded and not _mismatch(recorded, made_by) else []
        root = out.parent / f".{out.name}.work"
        work = stack.enter_context(open_work_folder(root, made_by, wait=False)).path
        reused = _index_known(connection, earlier, _parts(work))
        embedder = Embedder(clip, projector, images, normalize=normalize)
        stop = stack.enter_context(interruptions())
        status = 0
        with Progress("embed", listed.count, "images") as progress:
            progress.update(reused)
            try:
                _embed_missing(listed, embedder, work, progress, stop)
            except Interrupted as interrupted:
                status = interrupted.status
        embedded = _index_known(connection, earlier, _parts(work))
        unreadable = embedder.unreadable.count
        # An interrupted run never replaces an existing file by a partial one: its results stay in the work folder.
        is_written = bool(embedded) and not (status and existed)
        is_kept = status and not is_written and _parts(work)
        summary = {"out": str(out), "images": listed.count, "embedded": embedded, "unreadable": unreadable}
        if is_written:
            summary |= {"dimensions": _write(listed, {"model": model_name(source), **made_by, **selection}, out)}
            _write_unreadable(connection, unreadable_list)
        if embedded or status:
            _print_summary(
                {**summary, "reused": reused, "model": model_name(source), **made_by}, status, as_json=as_json
            )
    if not is_kept:
        shutil.rmtree(work)
        with suppress(OSError):
            root.rmdir()
    if not embedded and not status:
        raise InputError(f"none of {listed.count:,} images could be read; first error: {embedder.unreadable.first}")
    if status or unreadable:
        raise SystemExit(status or UNREADABLE)


class Embedder:
    """Embeds blocks of listed images.

    Args:
        clip: the model.
        projector: the visual projector to use.
        options: how images are read.
        normalize: scale embeddings to unit length.

    Attributes:
        unreadable: the images that could not be read so far.
    """

    def __init__(self, clip: Clip, projector: Projector, options: ImageOptions, *, normalize: bool) -> None:
        self.unreadable = Unreadable()
        self._clip = clip
        self._projector = projector
        self._normalize = normalize
        self._options = options

    def embed(self, block: pa.Table) -> Iterator[tuple[pa.Table, pa.Table]]:
        """Yield, per batch, the images that could be read with `md5` and `emb`, and the rest with `error`.

        Raises:
            InputError: an embedding contains NaN or infinity.
        """
        files = block.select(["image", "crop", "bytes", "modified"])
        for loaded in self._options.batches_of(block, self._clip):
            vectors = np.zeros((0, 0), np.float32)
            if loaded.read:
                vectors = encode(self._clip, loaded.pixels_BCHW, self._projector)
                if not np.isfinite(vectors).all():
                    raise InputError("some embeddings contain NaN or infinity; the model's weights are damaged")
            vectors = unit(vectors) if self._normalize else vectors
            made = files.take(pa.array(loaded.read, pa.int64())).append_column("md5", pa.array(loaded.md5, pa.string()))
            lists = pa.array(list(vectors), pa.list_(pa.float32()))
            failed = files.select(["image"]).take(pa.array(list(loaded.errors), pa.int64()))
            for index, error in loaded.errors.items():
                self.unreadable.note(str(block["image"][index]), error)
            errors = pa.array(list(loaded.errors.values()), pa.string())
            yield made.append_column("emb", lists), failed.append_column("error", errors)


def _embed_missing(listed: ImageList, embedder: Embedder, work: Path, progress: Progress, stop: Interruptions) -> None:
    """Embed the images in the table `missing` and save them in files of at most `CHUNK` rows."""
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
                with atomic(work / f"{len(_parts(work)):06d}.parquet") as temporary:
                    pq.write_table(pa.concat_tables(parts), temporary)


def _parts(work: Path) -> list[Path]:
    return sorted(work.glob("[0-9]*.parquet"))


def _selection(out: Path, images: ImageOptions) -> dict[str, Any]:
    """The arguments that select images, with paths relative to the output's folder, so that both can be moved."""

    def from_out(path: Path) -> str:
        return os.path.relpath(path.resolve(), out.parent.resolve())

    return {
        "images": [from_out(path) for path in images.images],
        "folder": None if images.folder is None else from_out(images.folder),
        "path_column": images.path_column,
    }


def _recorded(out: Path) -> dict[str, Any]:
    """The record of what a file's embeddings were made from; empty if `embed_images` did not write the file."""
    try:
        schema = pq.read_schema(out)
        recorded = dict(json.loads((schema.metadata or {})[ORIGIN.encode()]))
    except (OSError, pa.ArrowException, KeyError, ValueError, TypeError):
        return {}
    return recorded if set(OWN_COLUMNS) <= set(schema.names) else {}


def _mismatch(recorded: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    """How a file differs from what this command would write; "" if it does not."""
    if not recorded:
        return "not written by embed_images"
    differing = [
        name
        for name, value in wanted.items()
        if recorded.get(name) != value and not (name == "images" and set(recorded.get(name) or [None]) <= set(value))
    ]
    return f"made from another model, settings or images ({', '.join(differing)})" if differing else ""


def _index_known(connection: duckdb.DuckDBPyConnection, earlier: list[Path], parts: list[Path]) -> int:
    """Create the view `known` (embeddings already in files) and the table `missing` (rows of images without one).

    Args:
        connection: the connection that has the table `images`.
        earlier: the output of an earlier run, if it can be reused.
        parts: the files in the work folder.

    Returns:
        The number of images that have an embedding.
    """
    connection.execute(f"CREATE OR REPLACE VIEW earlier AS {NO_EMBEDDINGS}")
    for out in earlier:
        # The input table may list an image more than once.
        rows = f"read_parquet({tables.path_literal(out)}, file_row_number = true)"
        connection.execute(
            "CREATE OR REPLACE VIEW earlier AS SELECT image, coalesce(crop, '') AS crop, bytes, "
            f"epoch_ns(modified) AS modified, md5, emb FROM {rows} "
            f"WHERE file_row_number IN (SELECT min(file_row_number) FROM {rows} GROUP BY image, crop)"
        )
    since = f"SELECT * FROM {tables.scan(parts)}" if parts else NO_EMBEDDINGS
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
    """Write the embeddings in the order of the list and return their number of dimensions."""
    kept = listed.kept_columns(OWN_COLUMNS)
    uuid = "CAST(md5(concat_ws('/', md5, image, crop, occurrence)) AS UUID)::VARCHAR"
    if theirs := next((name for name in listed.kept if name.lower() == "uuid"), None):
        # Keep the table's own identifiers; generate one only where it is missing.
        uuid = f"coalesce(CAST({kept.pop(f'given_{theirs}')} AS VARCHAR), {uuid})"
    columns = "".join(f"{column} AS {tables.quoted(name)}, " for name, column in kept.items())
    query = QUERY.format(uuid=uuid, kept=columns)
    about = tables.literal(json.dumps(made_from, sort_keys=True))
    with atomic(out) as temporary:
        listed.connection.execute(
            f"COPY ({query}) TO {tables.literal(temporary)} (FORMAT parquet, COMPRESSION zstd, "
            f"KV_METADATA {{{ORIGIN}: {about}}})"
        )
    return int(tables.scalar(listed.connection, "SELECT max(len(emb)) FROM known"))


def _write_unreadable(connection: duckdb.DuckDBPyConnection, path: Path) -> None:
    """Write the list of images that could not be read, or remove an earlier list if there are none."""
    found = connection.sql("SELECT * FROM unreadable ORDER BY image").to_arrow_table()
    if not found.num_rows:
        path.unlink(missing_ok=True)
        return
    with atomic(path) as temporary:
        pacsv.write_csv(found, temporary)


def _print_summary(summary: Mapping[str, Any], status: int, *, as_json: bool) -> None:
    if as_json:
        print_json({**summary, "interrupted": bool(status)})
        return
    phrases = [f"embedded {summary['embedded']:,} of {summary['images']:,} images"]
    if summary["reused"]:
        phrases.append(f"{summary['reused']:,} reused from an earlier run")
    if summary["unreadable"]:
        phrases.append(f"{summary['unreadable']:,} could not be read")
    if status:
        phrases.append("interrupted, run the same command again to continue")
        if "dimensions" not in summary:
            phrases.append("not written yet")
    sys.stdout.write(f"{', '.join(phrases)}: {summary['out']}\n")


if __name__ == "__main__":
    run(embed_images)
