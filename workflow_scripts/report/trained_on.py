"""Say whether models here were trained on a photo: by its bytes, or by how it looks."""

import hashlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import tyro

from workflow_scripts.common import tables
from workflow_scripts.common.cli import run
from workflow_scripts.common.errors import InputError
from workflow_scripts.common.images import HASHED_AT, UnreadableImage, decode, pdq
from workflow_scripts.common.pdq_distance import BITS, NEAR, distance, near_values
from workflow_scripts.contracts import SPLITS
from workflow_scripts.report.corpora import Corpus, Run, corpora_of, places, rows_where, runs_of


def trained_on(
    *,
    photo: tyro.conf.Positional[Path],
    results: Path | None = None,
    json_lines: bool = False,
    memory_mb: int = 2048,
    threads: int = 1,
) -> None:
    """Print whether a photo, or a copy of it, is among what the models here were trained on.

    By the MD5 of its bytes, and by its PDQ hash, as in the search for leaked benchmarks. One line for each image found.

    Args:
        photo: an image file.
        results: the results folder; the site's own by default.
        json_lines: print JSON.
        memory_mb: DuckDB's memory limit, MiB.
        threads: DuckDB's threads.

    Raises:
        InputError: no image.
    """
    folder = places(results)
    try:
        content = photo.read_bytes()
        pixels = decode(content, at_least=HASHED_AT)
    except (OSError, UnreadableImage) as error:
        raise InputError(f"{photo}: no readable image: {error}") from None
    md5, looks = hashlib.md5(content, usedforsecurity=False).hexdigest(), pdq(pixels)
    runs, corpora = runs_of(folder), corpora_of(folder)
    with tables.connect(memory_mb, threads) as connection:
        found = [match for corpus in corpora for match in _matches(connection, corpus, runs, md5, looks)]
    if json_lines:
        for match in found:
            sys.stdout.write(json.dumps(match) + "\n")
        return
    models = sorted({model for match in found for model in match["models"]})
    if models:
        answer = f"yes, {', '.join(models)}"
    elif any(match["for_training"] for match in found) or not all(one.is_of(corpora) for one in runs):
        # What shards held that were rewritten since, or that lie elsewhere, nobody knows here.
        answer = "in no shard that a model here was trained on, as the shards are now"
    else:
        answer = "no model here was trained on it"
    sys.stdout.write(f"{photo}: {answer}\n")
    for match in found:
        sys.stdout.write(f"  {match['how']}: image {match['uuid']} of {match['corpus']}, {match['became']}\n")


def _matches(
    connection: duckdb.DuckDBPyConnection, corpus: Corpus, runs: list[Run], md5: str, looks: str | None
) -> Iterator[dict[str, Any]]:
    """The corpus's images and replay pairs that have the photo's bytes, or look like it."""
    downloads = [*corpus.files.gathered.found(), *corpus.files.replay_download_part.found()]
    condition, values = "md5 = $md5", dict[str, Any](md5=md5)
    if looks is not None:
        condition += f" OR {NEAR}"
        values |= near_values(looks)
    rows = rows_where(connection, downloads, condition, values)
    for row in sorted(rows, key=lambda row: str(row["uuid"])):
        alike = f"looks alike ({distance(row['pdq'], str(looks))} of {BITS} bits differ)" if row["md5"] != md5 else ""
        replay = corpus.folder / "replay" in Path(row["filename"]).parents
        if replay:
            became, for_training = _replayed(connection, corpus, row["uuid"])
            saw = [one.name for one in runs if for_training and one.read(corpus.replay_sums)]
        else:
            became, for_training = _judged(connection, corpus, row["uuid"])
            saw = [one.name for one in runs if one.saw(connection, corpus, row["uuid"])]
        yield {
            "uuid": row["uuid"],
            "corpus": corpus.identity.get("id", corpus.name),
            "how": alike or "the same bytes",
            "became": became,
            "for_training": for_training,
            "models": saw,
        }


def _judged(connection: duckdb.DuckDBPyConnection, corpus: Corpus, uuid: str) -> tuple[str, bool]:
    """What became of an image, and whether it is for training."""
    verdicts = rows_where(connection, corpus.files.verdicts.found(), "uuid = $uuid", {"uuid": uuid})
    if not verdicts:
        return "not judged yet", False
    [verdict] = verdicts
    return (
        f"kept for {verdict['split']}" if verdict["keep"] else f"left out: {verdict['reason']}",
        bool(verdict["keep"]) and verdict["split"] == "train",
    )


def _replayed(connection: duckdb.DuckDBPyConnection, corpus: Corpus, uuid: str) -> tuple[str, bool]:
    """What became of a replay pair, and whether it is for training."""
    for split in SPLITS:
        if rows_where(connection, corpus.files.replay_index.found(split=split), "uuid = $uuid", {"uuid": uuid}):
            return f"a replay pair for {split}", split == "train"
    return "a replay pair that was left out", False


if __name__ == "__main__":
    run(trained_on)
