"""Leaked images beside the benchmark images that they match."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from workflow_scripts.common import tables
from workflow_scripts.contracts import LEAKAGE
from workflow_scripts.report.examples import thumbnail

# Pairs shown of each benchmark: those farthest apart, which are the ones to doubt.
SHOWN = 8


@dataclass(frozen=True)
class Leak:
    """A downloaded image and the benchmark's image that it is.

    Attributes:
        uuid: the corpus's image.
        image: the benchmark's.
        distance: bits of 256 that differ in their perceptual hashes.
        same_bytes: whether they are one file.
        ours, theirs: thumbnails as data URIs, empty where a file has gone.
    """

    uuid: str
    image: str
    distance: int
    same_bytes: bool
    ours: str
    theirs: str


@dataclass(frozen=True)
class Leaks:
    """What leaked of one benchmark: counts, and the pairs that are shown."""

    benchmark: str
    same_bytes: int
    near: int
    shown: tuple[Leak, ...]


def read_leaks(files: Sequence[Path], downloads: Path) -> list[Leaks]:
    """Leaks by benchmark, in the order of their names.

    Args:
        files: the leakage tables of all generations.
        downloads: the folder of the download parts, for the thumbnails.

    Raises:
        InputError: a file is missing or breaks its contract.
    """
    with tables.connect() as connection:
        tables.read(connection, files, LEAKAGE, "leakage")
        counted = connection.execute(
            "SELECT benchmark, count(*) FILTER (same_bytes), count(*) FILTER (NOT same_bytes) "
            "FROM leakage GROUP BY benchmark ORDER BY benchmark"
        ).fetchall()
        found = []
        for benchmark, same_bytes, near in counted:
            rows = connection.execute(
                'SELECT uuid, image, distance, same_bytes, part, tar, ["offset", size], benchmark_path, '
                "[benchmark_offset, benchmark_size] FROM leakage WHERE benchmark = $benchmark "
                "ORDER BY same_bytes, distance DESC, uuid LIMIT $shown",
                {"benchmark": benchmark, "shown": SHOWN},
            ).fetchall()
            shown = tuple(
                Leak(
                    uuid,
                    image,
                    distance,
                    same_bytes,
                    ours=thumbnail(downloads / f"part-{part:04d}" / Path(tar).name, *ours),
                    theirs=thumbnail(Path(path), *theirs),
                )
                for uuid, image, distance, same_bytes, part, tar, ours, path, theirs in rows
            )
            found.append(Leaks(benchmark, same_bytes, near, shown))
    return found
