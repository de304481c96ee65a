"""Findings of the judges: counts, scores with thresholds, and the images closest to a threshold.

No face is shown: images that may show a person are pixelated.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb

from workflow_scripts.common import tables
from workflow_scripts.common.config.screen import FACE, PERSON, UNJUDGED, Refusal, Refusals
from workflow_scripts.contracts import FINDINGS, GATHERED_DOWNLOADS
from workflow_scripts.report.examples import thumbnail

HERE = Path(__file__).parent
# Images shown on each side of a threshold.
SHOWN = 6
BINS = 50
# At or above this score, an image may show a person.
MAYBE_PERSON = 0.05


@dataclass(frozen=True)
class Near:
    """An image near a threshold; `thumbnail` is a data URI, empty if the file is missing."""

    uuid: str
    score: float
    thumbnail: str


@dataclass(frozen=True)
class Threshold:
    """A threshold, and the images closest to it on both sides.

    Attributes:
        label: the class that the scores are of.
        reason: reason for which images are refused.
        value: the threshold.
        refused_above: True if scores at or above it are refused, False if those below.
        refused, kept: the closest images on either side.
    """

    label: str
    reason: str
    value: float
    refused_above: bool
    refused: tuple[Near, ...]
    kept: tuple[Near, ...]


@dataclass(frozen=True)
class Screened:
    """Findings of one judge.

    Attributes:
        judge: name of the judge.
        images: number of images it was given.
        unjudged: number of those that it could not judge.
        counts: rows of label, source, images, refused.
        bins: centre of each bar of the histograms.
        histograms: images per bar, by label.
        thresholds: the thresholds in the config.
    """

    judge: str
    images: int
    unjudged: int
    counts: tuple[tuple[str, str, int, int], ...]
    bins: tuple[float, ...]
    histograms: dict[str, tuple[int, ...]]
    thresholds: tuple[Threshold, ...]

    def place(self, score: float) -> float | None:
        """Position of a score on a histogram, in tenths of a bar; None outside its range."""
        first, width = self.bins[0], self.bins[1] - self.bins[0]
        place = 10 * ((score - first) / width + 0.5)
        return round(place, 1) if 0 <= place <= 10 * BINS else None


def read_screening(
    findings: Sequence[Path], gathered: Sequence[Path], refusals: Refusals, downloads: Path, memory_mb: int = 2048
) -> list[Screened]:
    """Findings by judge, sorted by name.

    Args:
        findings: the judges' tables, of all generations.
        gathered: the gathered downloads of all generations, to locate the images.
        refusals: the config's thresholds.
        downloads: folder of the download parts, for the thumbnails.
        memory_mb: DuckDB's memory limit, MiB.

    Raises:
        InputError: a file is missing or breaks its contract.
    """
    with tables.connect(memory_mb) as connection:
        tables.read(connection, findings, FINDINGS, "findings")
        tables.read(connection, gathered, GATHERED_DOWNLOADS, "downloads")
        connection.execute(
            "CREATE TEMP TABLE rules (judge VARCHAR, label VARCHAR, reason VARCHAR, at_least DOUBLE, below DOUBLE)"
        )
        for rule in refusals.rules:
            connection.execute(
                "INSERT INTO rules VALUES ($judge, $label, $reason, $at_least, $below)", rule.model_dump()
            )
        names = connection.execute("SELECT DISTINCT judge FROM findings ORDER BY judge").fetchall()
        return [_screened(connection, name, refusals, downloads) for (name,) in names]


def _screened(connection: duckdb.DuckDBPyConnection, name: str, refusals: Refusals, downloads: Path) -> Screened:
    connection.execute("SET VARIABLE judge = $name", {"name": name})
    connection.execute(f"SET VARIABLE bins = {BINS}")
    connection.execute("CREATE OR REPLACE TEMP VIEW own AS FROM findings WHERE judge = getvariable('judge')")
    images, unjudged = tables.one_row(
        connection, f"SELECT count(DISTINCT uuid), count(*) FILTER (label = '{UNJUDGED}') FROM own"
    )
    counts = connection.execute((HERE / "screening_counts.sql").read_text(encoding="utf-8")).fetchall()
    rows = connection.execute((HERE / "screening_scores.sql").read_text(encoding="utf-8")).fetchall()
    histograms = {label: [0] * BINS for label, *_ in rows}
    for label, place, count, *_ in rows:
        histograms[label][place] = count
    first, width = rows[0][3:] if rows else (0.0, 1.0)
    rules = [rule for rule in refusals.rules if rule.judge == name and rows]
    return Screened(
        judge=name,
        images=images,
        unjudged=unjudged,
        counts=tuple(counts),
        bins=tuple(round(first + width * (place + 0.5) / BINS, 4) for place in range(BINS)),
        histograms={label: tuple(bars) for label, bars in histograms.items()},
        thresholds=tuple(_threshold(connection, rule, downloads) for rule in rules),
    )


def _threshold(connection: duckdb.DuckDBPyConnection, rule: Refusal, downloads: Path) -> Threshold:
    above = rule.at_least is not None
    value = rule.at_least if rule.at_least is not None else rule.below
    assert value is not None
    sides = {
        side: _nearest(connection, rule.label, value, condition, downloads)
        for side, condition in (("above", "score >= $value"), ("below", "score < $value"))
    }
    return Threshold(
        rule.label,
        rule.reason,
        value,
        above,
        refused=sides["above" if above else "below"],
        kept=sides["below" if above else "above"],
    )


def _nearest(
    connection: duckdb.DuckDBPyConnection, label: str, value: float, condition: str, downloads: Path
) -> tuple[Near, ...]:
    rows = connection.execute(
        f"WITH near AS (SELECT uuid, score FROM own WHERE label = $label AND {condition} "
        "ORDER BY abs(score - $value), uuid LIMIT $shown) "
        'SELECT near.uuid, near.score, part, tar, ["offset", size], '
        # Any judge's finding of a person counts.
        f"EXISTS (SELECT 1 FROM findings WHERE findings.uuid = near.uuid AND label IN ('{FACE}', '{PERSON}') "
        f"AND findings.score >= {MAYBE_PERSON}) "
        "FROM near LEFT JOIN downloads USING (uuid) ORDER BY abs(near.score - $value), near.uuid",
        {"label": label, "value": value, "shown": SHOWN},
    ).fetchall()
    return tuple(
        Near(
            uuid,
            score,
            thumbnail(downloads / f"part-{part:04d}" / Path(tar).name, *place, coarse=person or label in (FACE, PERSON))
            if tar
            else "",
        )
        for uuid, score, part, tar, place, person in rows
    )
