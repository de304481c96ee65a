"""Tell whether models here were trained on a photo, by its bytes or by its looks."""

import hashlib
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import duckdb
import tyro

from workflow_scripts.common import tables
from workflow_scripts.common.cli import run
from workflow_scripts.common.errors import InputError
from workflow_scripts.common.held import REPLAY, HeldImage
from workflow_scripts.common.images import HASHED_AT, UnreadableImage, decode, pdq
from workflow_scripts.common.pdq_distance import BITS, NEAR, distance, near_values
from workflow_scripts.contracts import SPLITS
from workflow_scripts.report.corpora import Corpus, Run, corpora_of, places, rows_where, runs_of

YES, NO, UNKNOWN = 0, 1, 3


def trained_on(
    *,
    photo: tyro.conf.Positional[Path],
    results: Path | None = None,
    json_lines: Annotated[bool, tyro.conf.arg(name="json")] = False,
    memory_mb: int = 2048,
    threads: int = 1,
) -> None:
    """Print whether a photo, or a copy of it, is among what the models here were trained on.

    By the MD5 of its bytes, and by its PDQ hash, as in the search for leaked benchmarks. What the corpora hold now
    counts, and what their ledgers say that shards held before: no takedown or new build changes the answer. A model
    counts for what its starting weights were trained on too. One line for each image found.

    Exit status: 0 yes; 1 no; 2 bad input; 3 not found, but of a model not everything is known that it was trained on.

    Args:
        photo: an image file.
        results: the results folder. Default: the site's.
        json_lines: print one JSON object: photo, answer (yes, no or unknown), models, unknown, found.
        memory_mb: DuckDB's memory limit, MiB.
        threads: DuckDB's threads.

    Raises:
        InputError: no image.
        SystemExit: with the status.
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
    models = sorted({model for match in found for model in match["models"]})
    unknown = {one.name: names for one in runs if (names := one.unknown(corpora))}
    status = YES if models else UNKNOWN if unknown else NO
    if json_lines:
        answer = {YES: "yes", NO: "no", UNKNOWN: "unknown"}[status]
        told = {"photo": str(photo), "answer": answer, "models": models, "unknown": unknown, "found": found}
        sys.stdout.write(json.dumps(told) + "\n")
    else:
        sys.stdout.write(f"{photo}: {_answer(models, unknown)}\n")
        for match in found:
            sys.stdout.write(f"  {match['how']}: image {match['uuid']} of {match['corpus']}, {match['became']}\n")
    if status != YES:
        raise SystemExit(status)


def _answer(models: Sequence[str], unknown: Mapping[str, Sequence[str]]) -> str:
    if models:
        return f"yes, {', '.join(models)}"
    if not unknown:
        return "no model here was trained on it"
    return (
        f"not found, but not everything is known that {', '.join(sorted(unknown))} read: "
        "it was trained on shards from elsewhere, or on some that were rewritten before the corpus kept ledgers"
    )


def _matches(
    connection: duckdb.DuckDBPyConnection, corpus: Corpus, runs: list[Run], md5: str, looks: str | None
) -> Iterator[dict[str, Any]]:
    """The images and replay pairs that have the photo's bytes, or look like it: those that the corpus has or had."""
    condition, values = "md5 = $md5", dict[str, Any](md5=md5)
    if looks is not None:
        condition += f" OR {NEAR}"
        values |= near_values(looks)
    held: dict[tuple[str, bool], list[HeldImage]] = {}
    for image in corpus.has_held(connection, condition, values):
        held.setdefault((image.uuid, image.of == REPLAY), []).append(image)
    downloads = [*corpus.files.gathered.found(), *corpus.files.replay_download_part.found()]
    known: dict[tuple[str, bool], tuple[str | None, str | None]] = {
        key: (images[0].md5, images[0].pdq) for key, images in held.items()
    }
    for row in rows_where(connection, downloads, condition, values):
        known[row["uuid"], corpus.folder / "replay" in Path(row["filename"]).parents] = (row["md5"], row["pdq"])
    gone = {
        row["uuid"]: row
        for row in corpus.taken_down(
            connection, "md5 = $md5 OR list_contains($uuids, uuid)", {"md5": md5, "uuids": [uuid for uuid, _ in known]}
        )
    }
    for uuid, row in gone.items():
        known.setdefault((uuid, row["generation"] is None), (row["md5"], None))
    for (uuid, replay), (its_md5, its_looks) in sorted(known.items()):
        alike = ""
        if its_md5 != md5:
            alike = f"looks alike ({distance(str(its_looks), str(looks))} of {BITS} bits differ)"
        became, for_training = (_replayed if replay else _judged)(connection, corpus, uuid)
        if uuid in gone:
            became = f"taken down on {gone[uuid]['date']}"
        saw = [one.name for one in runs if one.read_any(held.get((uuid, replay), []))]
        if replay:
            saw += [one.name for one in runs if for_training and one.read(corpus.replay_sums)]
        else:
            saw += [one.name for one in runs if one.saw(connection, corpus, uuid)]
        yield {
            "uuid": uuid,
            "corpus": corpus.identity.get("id", corpus.name),
            "how": alike or "the same bytes",
            "became": became,
            "models": sorted(set(saw)),
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
