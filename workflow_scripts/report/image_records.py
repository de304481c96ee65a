"""All records of one image in a corpus."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import duckdb

from workflow_scripts.contracts import RANKS
from workflow_scripts.report.corpora import Corpus, Row, rows_where

SOURCE = (
    "data_source",
    "source_id",
    "source_url",
    "publisher",
    "dataset_key",
    "basisOfRecord",
    "occurrence_id",
    "title",
)
FETCH = (
    *("status", "error", "attempts", "http_status", "final_url", "retrieved_at", "content_type", "md5", "pdq"),
    *("original_width", "original_height", "width", "height"),
)
NAMES = (*RANKS, "scientific_name")


def image_record(connection: duckdb.DuckDBPyConnection, corpus: Corpus, uuid: str) -> Row | None:
    """Records of an image in a corpus: source, licence, fetch, label, verdict and shard; None if it is not there.

    Args:
        connection: a DuckDB connection.
        corpus: the corpus to search.
        uuid: uuid of the image.

    Raises:
        InputError: a table of the corpus cannot be read.
    """

    files = corpus.files

    def found(tables: Sequence[Path], condition: str = "uuid = $value", value: str = uuid) -> Row:
        rows = rows_where(connection, tables, condition, {"value": value})
        return rows[0] if rows else {}

    record = found(files.catalog_part.found())
    if not record:
        return None
    fetch = found(files.gathered.found())
    label = found(files.labels.found(), "label_id = $value", record["label_id"])
    verdict = found(files.verdicts.found())
    findings = rows_where(connection, files.gathered_findings.found(), "uuid = $value", {"value": uuid})
    shard = found(files.shard_index.found(split="train")) or found(files.shard_index.found(split="val"))
    return {
        "corpus": corpus.identity.get("id", corpus.name),
        "uuid": uuid,
        "source": _of(record, SOURCE) | {"generation": record["generation"], "part": record["part"]},
        "licence": {
            "as written": record["license_name"] or "none",
            "as read": record["license"] or "unknown",
            "link": record["license_link"],
            "owner": record["copyright_owner"],
            "creator": record["creator"],
        },
        "fetch": _of(fetch, FETCH) | ({"stored in": _place(fetch, fetch["tar"])} if fetch.get("tar") else {}),
        "label": {
            "id": record["label_id"],
            "as written": _of(record, (*NAMES, "common")),
            "resolved": _of(label, (*NAMES, "common_name", "taxon_id", "accepted_id")),
            "how": _of(label, ("match_type", "strategy", "confidence", "reason", "detail")),
        },
        **({"judged": _judged(findings)} if findings else {}),
        "verdict": _of(verdict, ("keep", "split", "reason", "detail")),
        "shard": _of(shard, ("position",)) | ({"in": _place(shard, _shard_of(shard))} if shard else {}),
    }


def uuids_of(connection: duckdb.DuckDBPyConnection, corpus: Corpus, md5: str) -> list[str]:
    """uuids of images whose original bytes have this MD5, including images that the corpus no longer contains."""
    values = {"md5": md5}
    rows = rows_where(connection, corpus.files.gathered.found(), "md5 = $md5", values)
    rows += corpus.taken_down(connection, "md5 = $md5", values)
    past = (image.uuid for image in corpus.past_images(connection, "md5 = $md5", values))
    return sorted({*past, *(row["uuid"] for row in rows)})


def _judged(findings: Sequence[Row]) -> dict[str, str]:
    """Labels and scores of each judge, as text."""
    found: dict[str, list[str]] = {}
    for row in sorted(findings, key=lambda row: (row["judge"], row["label"])):
        score = row["error"] if row["score"] is None else f"{row['score']:.3f}"
        found.setdefault(row["judge"], []).append(f"{row['label']} {score}")
    return {judge: "; ".join(labels) for judge, labels in found.items()}


def _of(row: Row, names: Sequence[str]) -> dict[str, Any]:
    return {name: row[name] for name in names if row.get(name) is not None}


def _place(row: Row, name: str) -> str:
    return f"{name}, bytes {row['offset']} to {row['offset'] + row['size']}"


def _shard_of(row: Row) -> str:
    """Generation, split and tar of a row of a shard index."""
    *_, generation, split, _ = Path(row["filename"]).parts
    return f"{generation}/{split}/{row['shard']}"
