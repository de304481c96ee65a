"""Check whether models were trained on a photo, by its bytes or by its perceptual hash."""

import hashlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import duckdb
import tyro

from workflow_scripts.common import tables
from workflow_scripts.common.cli import AsJson, print_json, run
from workflow_scripts.common.errors import InputError
from workflow_scripts.common.images import HASHED_AT, UnreadableImage, decode, pdq
from workflow_scripts.common.past_images import REPLAY, PastImage
from workflow_scripts.common.pdq_distance import BITS, NEAR, distance, near_values
from workflow_scripts.contracts import SPLITS
from workflow_scripts.report.corpora import Corpus, Run, corpora_of, places, rows_where, runs_of

YES, NO, UNKNOWN = 0, 1, 3


def trained_on(
    *,
    photo: tyro.conf.Positional[Path],
    results: Path | None = None,
    json_lines: AsJson = False,
    memory_mb: int = 2048,
    threads: int = 1,
) -> None:
    """Print whether models in the results folder were trained on a photo or a copy of it.

    Images match by the MD5 of their bytes or by their PDQ hash, as in the search for leaked benchmarks. The search
    covers the current corpora and the ledgers of earlier shards, so that takedowns and rebuilds do not change the
    answer. It includes what a model's starting weights were trained on. Prints one line per matching image.

    Exit status: 0 yes; 1 no; 2 bad input; 3 not found, but the training data of some model is not fully known.

    Args:
        photo: an image file.
        results: the results folder. Default: the site's.
        json_lines: print one JSON object: photo, answer (yes, no or unknown), models, unknown, found.
        memory_mb: DuckDB's memory limit, MiB.
        threads: DuckDB's threads.

    Raises:
        InputError: the file is not a readable image.
        SystemExit: with the exit status.
    """
    folder = places(results)
    try:
        content = photo.read_bytes()
        pixels = decode(content, at_least=HASHED_AT)
    except (OSError, UnreadableImage) as error:
        raise InputError(f"{photo}: not a readable image: {error}") from None
    md5, own_pdq = hashlib.md5(content, usedforsecurity=False).hexdigest(), pdq(pixels)
    runs, corpora = runs_of(folder), corpora_of(folder)
    with tables.connect(memory_mb, threads) as connection:
        found = [match for corpus in corpora for match in _matches(connection, corpus, runs, md5, own_pdq)]
    models = sorted({model for match in found for model in match["models"]})
    unknown = {one.name: names for one in runs if (names := one.unknown(corpora))}
    status = YES if models else UNKNOWN if unknown else NO
    if json_lines:
        answer = {YES: "yes", NO: "no", UNKNOWN: "unknown"}[status]
        summary = {"photo": str(photo), "answer": answer, "models": models, "unknown": unknown, "found": found}
        print_json(summary)
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
        f"not found, but the training data of {', '.join(sorted(unknown))} is not fully known: "
        "it includes shards from elsewhere, or shards that were rewritten before the corpus kept ledgers"
    )


def _matches(
    connection: duckdb.DuckDBPyConnection, corpus: Corpus, runs: list[Run], md5: str, own_pdq: str | None
) -> Iterator[dict[str, Any]]:
    """Images and replay pairs, current or past, with the photo's bytes or a similar perceptual hash."""
    condition, values = "md5 = $md5", dict[str, Any](md5=md5)
    if own_pdq is not None:
        condition += f" OR {NEAR}"
        values |= near_values(own_pdq)
    past: dict[tuple[str, bool], list[PastImage]] = {}
    for image in corpus.past_images(connection, condition, values):
        past.setdefault((image.uuid, image.of == REPLAY), []).append(image)
    downloads = [*corpus.files.gathered.found(), *corpus.files.replay_download_part.found()]
    known: dict[tuple[str, bool], tuple[str | None, str | None]] = {
        key: (images[0].md5, images[0].pdq) for key, images in past.items()
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
    for (uuid, replay), (its_md5, its_pdq) in sorted(known.items()):
        similar = ""
        if its_md5 != md5:
            similar = f"similar image ({distance(str(its_pdq), str(own_pdq))} of {BITS} bits differ)"
        became, for_training = (_replayed if replay else _judged)(connection, corpus, uuid)
        if uuid in gone:
            became = f"taken down on {gone[uuid]['date']}"
        saw = [one.name for one in runs if one.read_any(past.get((uuid, replay), []))]
        if replay:
            saw += [one.name for one in runs if for_training and one.read_all(corpus.replay_sums)]
        else:
            saw += [one.name for one in runs if one.saw_image(connection, corpus, uuid)]
        yield {
            "uuid": uuid,
            "corpus": corpus.identity.get("id", corpus.name),
            "how": similar or "identical bytes",
            "became": became,
            "models": sorted(set(saw)),
        }


def _judged(connection: duckdb.DuckDBPyConnection, corpus: Corpus, uuid: str) -> tuple[str, bool]:
    """Verdict on an image, and whether it is for training."""
    verdicts = rows_where(connection, corpus.files.verdicts.found(), "uuid = $uuid", {"uuid": uuid})
    if not verdicts:
        return "not judged yet", False
    [verdict] = verdicts
    return (
        f"kept for {verdict['split']}" if verdict["keep"] else f"left out: {verdict['reason']}",
        bool(verdict["keep"]) and verdict["split"] == "train",
    )


def _replayed(connection: duckdb.DuckDBPyConnection, corpus: Corpus, uuid: str) -> tuple[str, bool]:
    """Split of a replay pair, and whether it is for training."""
    for split in SPLITS:
        if rows_where(connection, corpus.files.replay_index.found(split=split), "uuid = $uuid", {"uuid": uuid}):
            return f"a replay pair for {split}", split == "train"
    return "a replay pair that was left out", False


if __name__ == "__main__":
    run(trained_on)
