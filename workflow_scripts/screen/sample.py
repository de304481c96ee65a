"""Write a page of sample images to label by hand, with precision and recall by threshold once there are labels.

In: the findings of one judge, the gathered downloads, and labels if there are any. Out: one self-contained page.
"""

import base64
import csv
import io
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from PIL import Image

from workflow_scripts.common import tables
from workflow_scripts.common.cli import run
from workflow_scripts.common.config.screen import UNJUDGED, Refusal, Refusals
from workflow_scripts.common.errors import InputError
from workflow_scripts.common.files import write_text
from workflow_scripts.common.images import decode
from workflow_scripts.common.stored_images import Stored, StoredImages
from workflow_scripts.contracts import FINDINGS, GATHERED_DOWNLOADS

logger = logging.getLogger(__name__)

SIDE = 192
QUALITY = 85
# Images are drawn by a hash, so that a corpus that has grown little gives almost the same sample.
DRAW = """
WITH judged AS (
    SELECT uuid, arg_max(label, coalesce(score, 2)) AS label, map_from_entries(list((label, score))) AS scores
    FROM findings
    WHERE label <> $unjudged
    GROUP BY uuid
)
SELECT uuid, label, scores, count(*) OVER (PARTITION BY label) AS images
FROM judged
QUALIFY row_number() OVER (PARTITION BY label ORDER BY md5(uuid), uuid) <= $count OR uuid IN (SELECT uuid FROM labelled)
ORDER BY label, md5(uuid), uuid
"""


@dataclass(frozen=True)
class Drawn:
    """An image of the sample.

    Attributes:
        uuid: the image.
        label: the class that the judge assigns.
        scores: the judge's scores by class.
        weight: number of images of the class that it represents.
        picture: the thumbnail as a data URI.
        truth: the class that a person assigns, or "".
    """

    uuid: str
    label: str
    scores: Mapping[str, float]
    weight: float
    picture: str
    truth: str


@dataclass(frozen=True)
class Point:
    """Precision and recall at a threshold, from 0 to 1; None if undefined."""

    threshold: float
    precision: float | None
    recall: float | None


def sample(
    *,
    name: str,
    findings: tuple[Path, ...],
    gathered: tuple[Path, ...],
    downloads: Path,
    out: Path,
    refusals: Refusals = Refusals(rules=[]),  # noqa: B008 (frozen)
    labels: Path | None = None,
    count: int = 24,
    memory_mb: int = 2048,
) -> None:
    """Write the page of sample images.

    Args:
        name: the judge's name.
        findings: the judge's findings in all generations.
        gathered: the gathered downloads of all generations.
        downloads: the folder of the download parts.
        out: the page to write (HTML).
        refusals: the config's thresholds.
        labels: CSV file with `uuid` and `truth`, as saved by the page.
        count: number of images per class.
        memory_mb: memory limit of DuckDB, MiB.

    Raises:
        InputError: a table breaks its contract, or the labels lack a column.
    """
    truths = _read_labels(labels) if labels else {}
    with tables.connect(memory_mb) as connection:
        tables.read(connection, findings, FINDINGS, "findings")
        tables.read(connection, gathered, GATHERED_DOWNLOADS, "gathered")
        drawn = _draw(connection, downloads, truths, count)
    rules = [rule for rule in refusals.rules if rule.judge == name]
    curves = {rule: points(drawn, rule) for rule in rules} if truths else {}
    choices = sorted({image.label for image in drawn} | {rule.reason for rule in rules} | set(truths.values()))
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    page = environment.get_template("sample.html.j2")
    write_text(out, page.render(name=name, drawn=drawn, choices=choices, curves=list(curves.items())))
    logger.info("%s: %d images to label, %d labelled", out, len(drawn), len(truths))


def points(drawn: Sequence[Drawn], rule: Refusal) -> list[Point]:
    """Precision and recall of a rule at each threshold that separates labelled images, from the lowest.

    Each class has equally many images in the sample, so an image is weighted by the number of images it represents.
    """
    labelled = [image for image in drawn if image.truth]
    value = rule.at_least if rule.at_least is not None else rule.below
    assert value is not None
    thresholds = {value, *(image.scores[rule.label] for image in labelled if rule.label in image.scores)}
    found = []
    for threshold in sorted(thresholds):
        refused = [image for image in labelled if _refuses(image, rule, threshold)]
        right = sum(image.weight for image in refused if image.truth == rule.reason)
        all_refused = sum(image.weight for image in refused)
        all_true = sum(image.weight for image in labelled if image.truth == rule.reason)
        found.append(Point(threshold, right / all_refused if refused else None, right / all_true if all_true else None))
    return found


def _refuses(image: Drawn, rule: Refusal, threshold: float) -> bool:
    score = image.scores.get(rule.label)
    if score is None:
        return False
    return score >= threshold if rule.at_least is not None else score < threshold


def _draw(connection: duckdb.DuckDBPyConnection, downloads: Path, truths: Mapping[str, str], count: int) -> list[Drawn]:
    """Draw images of each class, and all labelled images. Tables: findings, gathered."""
    reader = StoredImages()
    connection.execute(
        "CREATE TEMP TABLE labelled AS SELECT unnest($uuids::VARCHAR[]) AS uuid", {"uuids": list(truths)}
    )
    rows = connection.execute(
        f'SELECT drawn.*, part, tar, "offset", size FROM ({DRAW}) AS drawn '
        "INNER JOIN gathered USING (uuid) WHERE status = 'ok' ORDER BY label, md5(uuid), uuid",
        {"unjudged": UNJUDGED, "count": count},
    ).fetchall()
    shown: dict[str, int] = {}
    for _, label, *_ in rows:
        shown[label] = shown.get(label, 0) + 1
    return [
        Drawn(
            uuid,
            label,
            dict(scores),
            images / shown[label],
            _picture(reader.read(Stored(uuid, downloads / f"part-{part:04d}", tar, offset, size))),
            truths.get(uuid, ""),
        )
        for uuid, label, scores, images, part, tar, offset, size in rows
    ]


def _read_labels(path: Path) -> dict[str, str]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file)
            if missing := {"uuid", "truth"} - {*(rows.fieldnames or [])}:
                raise InputError(f"{path}: no column {', '.join(sorted(missing))}; give the CSV file saved by the page")
            return {row["uuid"]: row["truth"].strip() for row in rows if (row["truth"] or "").strip()}
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read: {error}") from None


def _picture(data: bytes) -> str:
    small = Image.fromarray(decode(data))
    small.thumbnail((SIDE, SIDE))
    packed = io.BytesIO()
    small.save(packed, "JPEG", quality=QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(packed.getvalue()).decode()


if __name__ == "__main__":
    run(sample)
