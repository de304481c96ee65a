"""Show the progress of a corpus's downloads by host: images done, rate and time left."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb

from workflow_scripts.common import tables
from workflow_scripts.common.cli import AsJson, print_json, run
from workflow_scripts.common.errors import InputError
from workflow_scripts.common.layout import Corpus
from workflow_scripts.common.remedies import snakemake
from workflow_scripts.download.part_files import part_digest
from workflow_scripts.download.summary import spelled

SHOWN_HOSTS = 40


def status(*, corpus: Path, json_lines: AsJson = False) -> None:
    """Print the progress of a corpus's downloads.

    Args:
        corpus: the corpus's folder (`results/corpora/<corpus>`).
        json_lines: print one JSON object instead: parts, parts_done, and hosts, each with images, done, ok, deferred,
            per_second and seconds_left (null for hosts not started).

    Raises:
        InputError: the folder contains no catalog.
    """
    files = Corpus(str(corpus))
    parts = [
        (part, Path(manifest(part=part.stem.removeprefix("part-"))))
        for part_files, manifest in (
            (files.catalog_part, files.download_part),
            (files.replay_part, files.replay_download_part),
        )
        for part in part_files.found()
    ]
    if not parts:
        raise InputError(f"{corpus}: no catalog in this folder; give a corpus's folder, such as results/corpora/world")
    with tables.connect() as connection:
        connection.execute("CREATE TEMP TABLE wanted (host VARCHAR, images BIGINT)")
        connection.execute(
            "CREATE TEMP TABLE done (host VARCHAR, status VARCHAR, images BIGINT, first VARCHAR, last VARCHAR)"
        )
        finished = 0
        started = _work_folders(corpus)
        for part, manifest in parts:
            connection.execute(f"INSERT INTO wanted SELECT host, count(*) FROM {tables.scan(part)} GROUP BY host")
            if manifest.exists():
                finished += 1
                _add(connection, tables.scan(manifest))
            else:
                for shards in _finished_shards(started.get(part.stem, []), part):
                    _add(connection, f"(SELECT * FROM {tables.scan(shards)} WHERE NOT transient)")
        if json_lines:
            summary = {"parts": len(parts), "parts_done": finished, "hosts": list(_as_rows(connection))}
            print_json(summary)
            return
        sys.stdout.write(f"{finished} of {len(parts)} parts done\n")
        sys.stdout.writelines(_lines(connection))


def _work_folders(corpus: Path) -> dict[str, list[tuple[Path, str]]]:
    """The work folders by part name, each with its part's digest."""
    found: dict[str, list[tuple[Path, str]]] = {}
    for record in Corpus(str(corpus)).download_key.found():
        key = json.loads(record.read_text(encoding="utf-8"))
        found.setdefault(key["name"], []).append((record.parent, key["part"]))
    return found


def _finished_shards(folders: list[tuple[Path, str]], part: Path) -> Iterator[list[Path]]:
    """The finished shards of an unfinished part, by work folder."""
    for folder, digest in folders:
        shards = sorted(folder.glob("pass-*/[0-9]*.parquet"))
        if shards and digest == part_digest(part):
            yield shards


def _add(connection: duckdb.DuckDBPyConnection, source: str) -> None:
    connection.execute(
        f"INSERT INTO done SELECT host, status, count(*), min(retrieved_at), max(retrieved_at) FROM {source} "
        "GROUP BY host, status"
    )


def _rows(connection: duckdb.DuckDBPyConnection) -> list[tuple[Any, ...]]:
    """Per host: its images, how many are done, kept and deferred, and images per second."""
    return connection.execute(
        "SELECT wanted.host, wanted.images, coalesce(done.images, 0), coalesce(done.ok, 0), "
        "coalesce(done.deferred, 0), coalesce(done.images / greatest(done.seconds, 1), 0) FROM "
        "(SELECT host, sum(images)::BIGINT AS images FROM wanted GROUP BY host) AS wanted LEFT JOIN "
        "(SELECT host, sum(images)::BIGINT AS images, coalesce(sum(images) FILTER (status = 'ok'), 0)::BIGINT AS ok, "
        "coalesce(sum(images) FILTER (status = 'deferred'), 0)::BIGINT AS deferred, "
        "epoch(max(last)::TIMESTAMPTZ) - epoch(min(first)::TIMESTAMPTZ) AS seconds FROM done GROUP BY host) AS done "
        "USING (host) ORDER BY wanted.images DESC, host"
    ).fetchall()


def _as_rows(connection: duckdb.DuckDBPyConnection) -> Iterator[dict[str, Any]]:
    for host, images, done, ok, deferred, rate in _rows(connection):
        row = {"host": host, "images": images, "done": done, "ok": ok, "deferred": deferred, "per_second": rate}
        yield row | {"seconds_left": (images - done) / rate if rate else None}


def _lines(connection: duckdb.DuckDBPyConnection) -> Iterator[str]:
    rows = _rows(connection)
    longest = 0.0
    for place, (host, images, done, ok, deferred, rate) in enumerate(rows):
        left = (images - done) / rate if rate else 0.0
        longest = max(longest, left)
        if place < SHOWN_HOSTS:
            state = "done" if done >= images else f"{spelled(left)} left" if rate else "not started"
            later = f", {deferred:,} deferred" if deferred else ""
            yield f"  {host or '(files)':<48} {done:>12,} of {images:,} ({ok:,} ok{later}), {rate:.1f}/s, {state}\n"
    if len(rows) > SHOWN_HOSTS:
        yield f"  and {len(rows) - SHOWN_HOSTS:,} hosts with fewer images\n"
    total_images, total_done, total_ok, total_deferred = (sum(row[column] for row in rows) for column in (1, 2, 3, 4))
    slowest = f", {spelled(longest)} left for the slowest host started" if longest else ""
    yield f"  {'all hosts':<48} {total_done:>12,} of {total_images:,} ({total_ok:,} ok){slowest}\n"
    if total_deferred:
        yield f"  {total_deferred:,} deferred images: run `{snakemake('retry_failed')}` to request them again\n"


if __name__ == "__main__":
    run(status)
