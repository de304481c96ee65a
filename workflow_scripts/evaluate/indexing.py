"""Read a benchmark's images once, hash them, and write its table and account."""

import hashlib
import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import duckdb
import numpy as np
import pyarrow as pa

from workflow_scripts.common import images, jpeg, tables, tars
from workflow_scripts.common.accounts import Account, write_account
from workflow_scripts.common.errors import InputError
from workflow_scripts.common.progress import Progress
from workflow_scripts.contracts import BENCHMARK_IMAGES, RANKS
from workflow_scripts.evaluate.label_files import DIFFERING

logger = logging.getLogger(__name__)

BATCH = 512
# Components of a JPEG in CMYK.
CMYK = 4
# Images named one by one in the account; the log names all.
NAMED = 100


class Labelled(NamedTuple):
    """An image as the labels give it.

    Attributes:
        position: the row's place in the labels, from 0.
        image: its name there.
        path: the file; with `span`, a tar that holds it.
        span: the image's place in that tar, or None for a file of its own.
        label: its class, verbatim.
        ranks: what is known of its taxon, by rank.
        common_name: the class's common name, where there is one.
        split: its split, where the labels have one.
        extra: what else its benchmark needs to know of it, by column.
        dropped: why the labels themselves make it unusable; "" when they do not.
    """

    position: int
    image: str
    path: Path
    span: tars.Span | None
    label: str
    ranks: Mapping[str, str | None] = {}
    common_name: str | None = None
    split: str | None = None
    extra: Mapping[str, str] = {}
    dropped: str = ""


class Hashes(NamedTuple):
    """What is known of an image's bytes.

    Attributes:
        md5: their MD5, hex.
        pdq: PDQ of the pixels, hex; None where PDQ finds no feature.
        differs: whether published evaluation code sees other pixels.
    """

    md5: str
    pdq: str | None
    differs: bool


class Unusable(NamedTuple):
    """Why an image gets no row: `missing`, `unreadable` or what the labels say, and the details."""

    reason: str
    detail: str


def index_images(
    labelled: Iterator[Labelled],
    *,
    benchmark: str,
    out: Path,
    account: Path,
    jobs: int,
    extra: Sequence[str] = (),
    notes: Mapping[str, int] = {},
) -> None:
    """Write a row for each image that is there and decodes; the others are counted and named in the account.

    Args:
        labelled: the images, in the order of their positions; a batch at a time is held.
        benchmark: the benchmark's name, for the account.
        out: the table.
        account: the account.
        jobs: threads that decode and hash; they change no byte.
        extra: the columns that `Labelled.extra` fills.
        notes: further counts for the account.

    Raises:
        InputError: there is no image at all, or none that can be used.
    """
    dropped: Counter[str] = Counter()
    named: dict[str, int] = {}
    first_unusable = ""
    with (
        tables.connect() as connection,
        ThreadPoolExecutor(jobs) as pool,
        Progress(f"images of {benchmark}", unit="images") as progress,
    ):
        declared = ", ".join(f"{tables.quoted(column.name)} {column.type}" for column in BENCHMARK_IMAGES.columns)
        declared += "".join(f", {tables.quoted(column)} VARCHAR" for column in extra)
        connection.execute(f"CREATE TEMP TABLE found ({declared})")
        while batch := list(islice(labelled, BATCH)):
            hashed = []
            for row, outcome in zip(batch, pool.map(_hash, batch), strict=True):
                if isinstance(outcome, Hashes):
                    hashed.append((row, outcome))
                    continue
                dropped[outcome.reason] += 1
                first_unusable = first_unusable or f"{row.path}: {outcome.detail}"
                logger.warning("row %d: %s: %s: %s", row.position, row.path, outcome.reason, outcome.detail)
                if len(named) < NAMED:
                    named[f"{outcome.reason} {row.image}, row"] = row.position
            _append(connection, hashed)
            progress.update(len(batch))
        kept, classes, differing = tables.one_row(
            connection, "SELECT count(*), count(DISTINCT class), count_if(differs) FROM found"
        )
        if not kept:
            why = f"none of its {progress.done} images can be used, the first: {first_unusable}"
            raise InputError(f"benchmark {benchmark}: {why if progress.done else 'its labels name no image'}")
        tables.write(connection, "SELECT * FROM found", BENCHMARK_IMAGES, out)
    noted = {"classes": classes, DIFFERING: differing, **notes, **named}
    write_account(account, Account("benchmarks", benchmark, "images", progress.done, kept, dict(dropped), noted))


def _hash(row: Labelled) -> Hashes | Unusable:
    if row.dropped:
        return Unusable(row.dropped, "by its labels")
    try:
        with row.path.open("rb") as file:
            data = tars.read_at(file, *row.span) if row.span else file.read()
    except OSError as error:
        return Unusable("missing", error.strerror or str(error))
    try:
        # As downloads are: hashes of other colours would not meet.
        pixels = images.decode(data, at_least=images.HASHED_AT)
    except images.UnreadableImage as error:
        return Unusable("unreadable", str(error))
    differs = _differs(data, pixels)
    return Hashes(hashlib.md5(data, usedforsecurity=False).hexdigest(), images.pdq(pixels), differs)


def _differs(data: bytes, pixels: images.RgbImage) -> bool:
    """Whether Pillow alone makes other pixels of an image; one that only Pillow cannot read is the same to all."""
    if data.startswith(jpeg.START):
        header = jpeg.read_header(data)
        if header.components != CMYK and not header.profile and images.open_photo(data).orientation == 1:
            return False
    try:
        plain = np.asarray(images.decode_plain(data))
        # Large pictures are hashed at a reduced scale.
        return not np.array_equal(plain, pixels if plain.shape == pixels.shape else images.decode(data))
    except images.UnreadableImage:
        return False


def _append(connection: duckdb.DuckDBPyConnection, hashed: list[tuple[Labelled, Hashes]]) -> None:
    rows = [
        {
            "position": row.position,
            "image": row.image,
            "path": str(row.path),
            "offset": row.span.offset if row.span else None,
            "size": row.span.size if row.span else None,
            "md5": hashes.md5,
            "pdq": hashes.pdq,
            "class": row.label,
            **{f"taxon_{rank}": row.ranks.get(rank) for rank in RANKS},
            "common_name": row.common_name,
            "split": row.split,
            "differs": hashes.differs,
            **row.extra,
        }
        for row, hashes in hashed
    ]
    if rows:
        connection.register("batch", pa.Table.from_pylist(rows))
        connection.execute("INSERT INTO found BY NAME SELECT * FROM batch")
        connection.unregister("batch")
