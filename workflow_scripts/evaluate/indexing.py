"""Check and hash a benchmark's images, and write its images table and account."""

import hashlib
import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Literal, NamedTuple

import duckdb
import numpy as np
import pyarrow as pa

from workflow_scripts.common import images, jpeg, tables, tars
from workflow_scripts.common.accounts import (
    ALIKE_CLASSES,
    LOST_CLASSES,
    NUMBERED_CLASSES,
    ONLY_CLASS,
    REPEATED_IMAGES,
    SEVERAL_CLASSES,
    Account,
    write_account,
)
from workflow_scripts.common.errors import InputError
from workflow_scripts.common.progress import Progress
from workflow_scripts.contracts import BENCHMARK_IMAGES, RANKS
from workflow_scripts.evaluate.label_files import DIFFERING

logger = logging.getLogger(__name__)

BATCH = 512
# Components of a CMYK JPEG.
CMYK = 4
# Unusable images listed individually in the account; the log lists all.
NAMED = 100


class Labelled(NamedTuple):
    """An image as listed in a benchmark's labels.

    Attributes:
        position: row number in the labels, from 0.
        image: the image's name in the labels.
        path: the image file, or the tar that contains it.
        span: the image's position in the tar; None for an image file.
        label: its class, verbatim.
        ranks: names of its taxon by rank, as far as known.
        common_name: the class's common name, if any.
        split: its split, if the benchmark has splits.
        extra: values of further columns that the benchmark needs.
        dropped: why the labels exclude the image; "" if they do not.
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
    """Hashes of an image.

    Attributes:
        md5: MD5 of the file, hex.
        pdq: PDQ hash of the pixels, hex; None if the image has no features for PDQ.
        differs: whether published evaluation code decodes the image to other pixels.
    """

    md5: str
    pdq: str | None
    differs: bool


class Unusable(NamedTuple):
    """Why an image gets no row: `missing` or `unreadable` with details, or a reason from the labels."""

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
    doubtful: Mapping[str, Sequence[str]] = {},
    names: Literal["labels", "prompts"] | None = None,
    remedy: str = "",
) -> None:
    """Write one row per image that exists and can be decoded; the account counts and names the others.

    The account also counts what a person should check: classes that lost all their images, repeated images, and classes
    that look like mistakes in their names. The log names them.

    Args:
        labelled: the images, in the order of their positions; read in batches.
        benchmark: the benchmark's name.
        out: the images table to write.
        account: the account to write.
        jobs: threads that decode and hash; the number does not affect the output.
        extra: columns filled from `Labelled.extra`.
        notes: further counts for the account.
        doubtful: examples of what else a person should check, by note; read after the last of the images.
        names: whether a person wrote the classes' names, and whether they are also used in prompts.
        remedy: what to do if no image is usable, for the message.

    Raises:
        InputError: the labels list no image, or no image is usable.
    """
    dropped: Counter[str] = Counter()
    named: dict[str, int] = {}
    first_unusable = ""
    lost: dict[str, None] = {}
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
                if not row.dropped:
                    lost[row.label] = None
                first_unusable = first_unusable or f"{row.path}: {outcome.detail or outcome.reason.replace('_', ' ')}"
                logger.warning("row %d: %s: %s: %s", row.position, row.path, outcome.reason, outcome.detail)
                if len(named) < NAMED:
                    named[f"{outcome.reason} {row.image}, row"] = row.position
            _append(connection, hashed)
            progress.update(len(batch))
        kept, classes, differing = tables.one_row(
            connection, "SELECT count(*), count(DISTINCT class), count_if(differs) FROM found"
        )
        if not kept:
            why = f"none of its {progress.done} images is usable; the first: {first_unusable}"
            raise InputError(f"benchmark {benchmark}: {why if progress.done else 'its labels list no images'}{remedy}")
        doubtful = {**_doubtful(connection, list(lost), extra, names), **doubtful}
        tables.write(connection, "SELECT * FROM found", BENCHMARK_IMAGES, out)
    for note, examples in doubtful.items():
        logger.warning("%s: %d %s: %s", benchmark, len(examples), note, ", ".join(examples[:NAMED]))
    noted = {"classes": classes, DIFFERING: differing, **{note: len(one) for note, one in doubtful.items()}}
    noted |= {**notes, **named}
    write_account(account, Account("benchmarks", benchmark, "images", progress.done, kept, dict(dropped), noted))


def _doubtful(
    connection: duckdb.DuckDBPyConnection, lost: Sequence[str], extra: Sequence[str], names: str | None
) -> dict[str, list[str]]:
    """What a person should check, by note: classes or images; notes without any are left out.

    Args:
        connection: connection that has the table `found` of usable images.
        lost: classes of unusable images.
        extra: further columns that tell uses of an image apart, such as the task.
        names: as for `index_images`.
    """
    image = ", ".join(("path", '"offset"', *map(tables.quoted, extra)))
    spelling = "lower(trim(regexp_replace(strip_accents(class), '[^\\p{L}\\p{N}]+', ' ', 'g')))"
    of_classes = f"SELECT unnest(list(class)) FROM (SELECT DISTINCT class, {spelling} AS spelling FROM found)"
    queries = {
        LOST_CLASSES: (
            "SELECT lost FROM (SELECT unnest($lost::VARCHAR[]) AS lost) WHERE lost NOT IN (SELECT class FROM found)"
        ),
        SEVERAL_CLASSES: f"SELECT min(image) FROM found GROUP BY {image} HAVING count(DISTINCT class) > 1",
        REPEATED_IMAGES: (
            f"SELECT image FROM found QUALIFY row_number() OVER (PARTITION BY {image} ORDER BY position) > 1"
        ),
        ALIKE_CLASSES: f"{of_classes} WHERE spelling <> '' GROUP BY spelling HAVING count(*) > 1",
        NUMBERED_CLASSES: "SELECT DISTINCT class FROM found WHERE regexp_full_match(class, '[0-9.]+')",
        ONLY_CLASS: "SELECT min(class) FROM found HAVING count(DISTINCT class) = 1",
    }
    if names is None:
        del queries[ALIKE_CLASSES], queries[ONLY_CLASS]
    if names != "prompts":
        del queries[NUMBERED_CLASSES]
    found = {}
    for note, query in queries.items():
        rows = connection.execute(query, {"lost": lost} if note == LOST_CLASSES else None).fetchall()
        found[note] = sorted(str(row[0]) for row in rows)
    return {note: examples for note, examples in found.items() if examples}


def _hash(row: Labelled) -> Hashes | Unusable:
    if row.dropped:
        return Unusable(row.dropped, "")
    try:
        with row.path.open("rb") as file:
            data = tars.read_at(file, *row.span) if row.span else file.read()
    except OSError as error:
        return Unusable("missing", error.strerror or str(error))
    try:
        # Decode as downloads are decoded, so that the hashes of equal images are equal.
        pixels = images.decode(data, at_least=images.HASHED_AT)
    except images.UnreadableImage as error:
        return Unusable("unreadable", str(error))
    differs = _differs(data, pixels)
    return Hashes(hashlib.md5(data, usedforsecurity=False).hexdigest(), images.pdq(pixels), differs)


def _differs(data: bytes, pixels: images.RgbImage) -> bool:
    """Whether plain Pillow decodes an image to other pixels; False if plain Pillow cannot read it."""
    if data.startswith(jpeg.START):
        header = jpeg.read_header(data)
        if header.components != CMYK and not header.profile and images.open_photo(data).orientation == 1:
            return False
    try:
        plain = np.asarray(images.decode_plain(data))
        # Large images are decoded at a reduced scale for hashing.
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
