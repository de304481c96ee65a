"""Trace the origin of an image, a shard, a model or any other file of the workflow."""

import hashlib
import json
import re
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import duckdb
import tyro

from workflow_scripts.common import tables
from workflow_scripts.common.cli import AsJson, print_json, run
from workflow_scripts.common.errors import InputError
from workflow_scripts.common.files import sha256_file
from workflow_scripts.common.images import UnreadableImage, read_size
from workflow_scripts.report.corpora import Run, corpora_of, places, rows_where, runs_of
from workflow_scripts.report.image_records import image_record, uuids_of

MD5 = re.compile(r"[0-9a-f]{32}")
SHA256 = re.compile(r"[0-9a-f]{16}|[0-9a-f]{64}")
# Larger files are not hashed as images.
MAX_IMAGE_BYTES = 512 * 2**20
MODEL_WEIGHTS = "open_clip_model.safetensors"


def trace(
    *,
    what: tyro.conf.Positional[str],
    results: Path | None = None,
    json_lines: AsJson = False,
    memory_mb: int = 2048,
    threads: int = 1,
) -> None:
    """Print where something comes from, and which models were trained on it.

    Exit status: 0 found; 2 not found, or bad input.

    Args:
        what: an image (its file, its uuid, or the MD5 of its original bytes), a shard or any other file, a model (its
            folder or its run's name), or a corpus (its name or its digest). Files are recognised by their
            contents, otherwise by their path.
        results: the results folder. Default: the site's.
        json_lines: print one JSON object per line for each match.
        memory_mb: DuckDB's memory limit, MiB.
        threads: DuckDB's threads.

    Raises:
        InputError: not found.
    """
    folder = places(results)
    with tables.connect(memory_mb, threads) as connection:
        found = [*_found(connection, folder, what)]
    if not found:
        raise InputError(f"{what}: not found in {folder}")
    for number, record in enumerate(found):
        if json_lines:
            print_json(record)
        else:
            sys.stdout.write("\n" * bool(number) + "\n".join(lines(record)) + "\n")


def _found(connection: duckdb.DuckDBPyConnection, results: Path, what: str) -> Iterator[dict[str, Any]]:
    path = Path(what)
    exists = False
    # Raised for strings that are too long to be a file name.
    with suppress(OSError):
        exists = path.exists()
    if exists:
        yield from _of_path(connection, results, path.resolve())
        return
    for one in runs_of(results):
        if what == one.name:
            yield model_record(results, one)
    for corpus in corpora_of(results):
        digits = what.removeprefix(f"{corpus.name}:").lower()
        digest = str(corpus.identity.get("digest", ""))
        if what == corpus.name or (SHA256.fullmatch(digits) and digest.startswith(digits)):
            yield _corpus_record(results, corpus.name)
    yield from images_of(connection, results, what.lower())


def images_of(connection: duckdb.DuckDBPyConnection, results: Path, name: str) -> Iterator[dict[str, Any]]:
    """Records of an image by uuid or MD5 in each corpus that has it, with the models trained on it."""
    for corpus in corpora_of(results):
        for uuid in uuids_of(connection, corpus, name) if MD5.fullmatch(name) else [name]:
            gone = corpus.taken_down(connection, "uuid = $uuid", {"uuid": uuid})
            past = corpus.past_images(connection, "uuid = $uuid", {"uuid": uuid})
            record = image_record(connection, corpus, uuid)
            if record is None and (gone or past):
                record = {"corpus": corpus.identity.get("id", corpus.name), "uuid": uuid}
            if record is not None:
                runs = [one.name for one in runs_of(results) if one.saw_image(connection, corpus, uuid)]
                yield {
                    "what": "an image of a corpus",
                    **record,
                    **({"taken down": {"date": gone[0]["date"], "reason": gone[0]["reason"]}} if gone else {}),
                    "models trained on it": runs or "none here",
                }


def _of_path(connection: duckdb.DuckDBPyConnection, results: Path, path: Path) -> Iterator[dict[str, Any]]:
    parents = {path, *path.parents}
    for one in runs_of(results):
        if one.folder.resolve() in parents and (path.is_dir() or path.name == MODEL_WEIGHTS):
            yield model_record(results, one)
            return
    for corpus in corpora_of(results):
        if corpus.folder.resolve() == path:
            yield _corpus_record(results, corpus.name)
            return
    if not path.is_dir():
        if path.stat().st_size <= MAX_IMAGE_BYTES and (content := _image(path)) is not None:
            yield from images_of(connection, results, hashlib.md5(content, usedforsecurity=False).hexdigest())
            return
        if known := [*_file_records(connection, results, path)]:
            yield from known
            return
    yield from _by_place(results, path)


def _by_place(results: Path, path: Path) -> Iterator[dict[str, Any]]:
    """The run or corpus whose folder contains a file or folder."""
    about = {"file": str(path)} | ({} if path.is_dir() else {"sha256": sha256_file(path)})
    for one in runs_of(results):
        if one.folder.resolve() in path.parents:
            yield {"what": "made by a run", **about, "of": model_record(results, one)}
    for corpus in corpora_of(results):
        if corpus.folder.resolve() in path.parents:
            yield {"what": "part of a corpus", **about, "of": _corpus_record(results, corpus.name)}


def _file_records(connection: duckdb.DuckDBPyConnection, results: Path, path: Path) -> Iterator[dict[str, Any]]:
    """Identify a file by its digest: a shard, a model's weights, or an input of a report."""
    checksum = sha256_file(path)
    for corpus in corpora_of(results):
        manifests = [*corpus.files.shard_manifest.found(), *corpus.files.replay_manifest.found()]
        rows = rows_where(connection, manifests, "sha256 = $sum", {"sum": checksum})
        # The shards of the split train_small are also in train.
        listed = {Path(row["filename"]) for row in rows}
        read = [{sha256_file(path)} for path in sorted(listed) if path.parent.name != "val"]
        runs = [one.name for one in runs_of(results) if any(map(one.read_all, read))]
        for row in rows:
            yield {
                "what": "a shard of a corpus",
                "corpus": corpus.identity.get("id", corpus.name),
                "shard": f"{Path(row['filename']).parent.relative_to(corpus.folder)}/{row['shard']}",
                "samples": row["samples"],
                "sha256": checksum,
                "models trained on it": runs or "none here",
            }
    for one in runs_of(results):
        names = [name for name, known in one.facts.get("digests", {}).items() if known == checksum]
        if names:
            yield {"what": "an input of a run's report", "run": one.name, "as": names, "sha256": checksum}
        weights = one.folder / "model" / MODEL_WEIGHTS
        if weights.exists() and weights.stat().st_size == path.stat().st_size and sha256_file(weights) == checksum:
            yield model_record(results, one)


def model_record(results: Path, one: Run) -> dict[str, Any]:
    """Provenance of a model: corpora, digests, config and code."""
    weights = one.folder / "model" / MODEL_WEIGHTS
    corpora = [corpus.identity.get("id", corpus.name) for corpus in corpora_of(results) if one.trained_on(corpus)]
    recorded = one.facts.get("corpus", {}).get("id")
    return {
        "what": "a model",
        "run": one.name,
        "weights": {"file": str(weights), "sha256": sha256_file(weights)} if weights.exists() else "not exported",
        "corpora": corpora or (f"{recorded} (changed or no longer here)" if recorded else "none here in that state"),
        "training": {name: one.summary.get(name) for name in ("steps", "samples", "replay_samples", "parameters")},
        "digests": one.summary["digests"],
        "settings": one.summary.get("settings", {}),
        "config": one.facts.get("config", "no report yet"),
        "versions": one.facts.get("versions", one.summary.get("versions", {})),
    }


def _corpus_record(results: Path, name: str) -> dict[str, Any]:
    corpus = next(one for one in corpora_of(results) if one.name == name)
    runs = [one.name for one in runs_of(results) if one.trained_on(corpus)]
    return {"what": "a corpus", **corpus.identity, "models trained on it": runs or "none here"}


def _image(path: Path) -> bytes | None:
    """The bytes of an image file; None if it is not an image."""
    content = path.read_bytes()
    try:
        read_size(content)
    except UnreadableImage:
        return None
    return content


def lines(value: Any, indent: str = "") -> Iterator[str]:
    """A nested value as indented lines of text, without empty values."""
    for name, inner in value.items():
        if inner in (None, {}, [], ""):
            continue
        if isinstance(inner, dict):
            yield f"{indent}{name}:"
            yield from lines(inner, indent + "  ")
        elif isinstance(inner, list) and any(isinstance(one, (dict, list)) for one in inner):
            yield f"{indent}{name}: {json.dumps(inner, ensure_ascii=False)}"
        else:
            shown = ", ".join(map(str, inner)) if isinstance(inner, list) else str(inner)
            yield f"{indent}{name}: {' '.join(shown.split())}"


if __name__ == "__main__":
    run(trace)
