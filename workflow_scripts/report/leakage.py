"""Leaked images side by side with the benchmark images that they match."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from workflow_scripts.common import tables
from workflow_scripts.contracts import LEAKAGE
from workflow_scripts.report.examples import thumbnail

# Pairs shown per benchmark: those with the largest distance, which are the most doubtful.
SHOWN = 8


@dataclass(frozen=True)
class Leak:
    """A downloaded image and the benchmark image that it matches.

    Attributes:
        uuid: uuid of the downloaded image.
        image: name of the benchmark image.
        distance: differing bits (of 256) between their perceptual hashes.
        same_bytes: whether the two files are identical.
        ours, theirs: thumbnails as data URIs, empty if the file is missing.
    """

    uuid: str
    image: str
    distance: int
    same_bytes: bool
    ours: str
    theirs: str


@dataclass(frozen=True)
class Leaks:
    """Leaks of one benchmark: counts, and the pairs to show."""

    benchmark: str
    same_bytes: int
    near: int
    shown: tuple[Leak, ...]


def read_leaks(files: Sequence[Path], downloads: Path) -> list[Leaks]:
    """Leaks by benchmark, sorted by name.

    Args:
        files: the leakage tables of all generations.
        downloads: folder of the download parts, for the thumbnails.

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
