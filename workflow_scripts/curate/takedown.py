"""Remove images from a corpus permanently, by owner, URL, dataset or uuid.

Lists what is affected. Unless `--dry-run` is given, records the images in the corpus's ledger, then runs each stage's
`forget`: tars and shards are rewritten, and pages and features that show such images are removed. After an
interruption, run it again to finish. Later runs of the workflow (verdicts, plans, models) follow the ledger.
"""

import logging
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pyarrow as pa

from workflow_scripts.common import tables
from workflow_scripts.common.cli import AsJson, print_json, run
from workflow_scripts.common.errors import InputError
from workflow_scripts.common.layout import Corpus, Layout
from workflow_scripts.common.past_images import keep_all
from workflow_scripts.common.remedies import snakemake
from workflow_scripts.contracts import (
    CATALOG,
    DOWNLOADS,
    GATHERED_DOWNLOADS,
    LEDGER,
    REPLAY_SELECTION,
    SPLITS,
    VERDICTS,
)
from workflow_scripts.curate.affected import Affected, list_affected

logger = logging.getLogger(__name__)

ROOT = Path(__file__).resolve().parents[2]
SHOWN = 20
# Stages that remove images from the corpus, in the order in which they must do so.
STORING_STAGES = ("download", "screen", "shards")
NO_PAIRS = "SELECT NULL::VARCHAR AS uuid, NULL::VARCHAR AS split WHERE false"


def takedown(
    *,
    owner: str | None = None,
    url: str | None = None,
    dataset: str | None = None,
    uuid: Path | None = None,
    reason: str = "requested",
    dry_run: bool = False,
    corpus: str | None = None,
    results: Path | None = None,
    config: Path = Path("config/config.yaml"),
    json_lines: AsJson = False,
    memory_mb: int = 2048,
) -> None:
    """List images of a corpus and everything that contains them, record them in its ledger, and remove them.

    Replay pairs have no owner; they are found by url and uuid. Images with the same bytes as a selected one are removed
    too. Give exactly one of owner, url, dataset and uuid.

    Args:
        owner: the `copyright_owner` or `creator`, as written in the catalog.
        url: the image's URL (`source_url`).
        dataset: the `dataset_key`.
        uuid: a text file with one uuid per line.
        reason: the reason, for the ledger.
        dry_run: list what is affected, and change nothing.
        corpus: the corpus's name. Default: the one of `config`.
        results: the folder of results. Default: the site's.
        config: the config that names the corpus.
        json_lines: print one JSON object: corpus, ledger, dry_run (true or false), affected (all names, by kind).
        memory_mb: memory limit of DuckDB, MiB.

    Raises:
        InputError: not exactly one choice is given, the corpus does not exist, no image is affected, or a job is
            writing files that must be rewritten.
    """
    from workflow_scripts.common.config.root import load_site, read_yaml

    given = {"owner": owner, "url": url, "dataset": dataset, "uuid": uuid}
    if sum(value is not None for value in given.values()) != 1:
        raise InputError("give exactly one of --owner, --url, --dataset and --uuid")
    root = results or Path(load_site().results)
    name = corpus or str(read_yaml(config).get("corpus"))
    recipe = "" if corpus else str(config)
    layout = Layout(str(root))
    place, ledger = Path(layout.corpus(name).folder), Path(layout.ledger(name))
    past, former = layout.past_images(name), ledger.with_suffix(".former.json")
    with tables.connect(memory_mb) as connection:
        _read_corpus(connection, place)
        _choose(connection, owner=owner, url=url, dataset=dataset, uuid=uuid)
        affected = list_affected(connection, root, place, past, former)
        _log_affected(affected)
        if not json_lines:
            _print_affected(affected)
        found = {"corpus": name, "ledger": str(ledger), "dry_run": dry_run, "affected": vars(affected)}
        if dry_run:
            if json_lines:
                print_json(found)
            else:
                sys.stdout.write("dry run: nothing was changed\n")
            return
        # The ledger first: from here on no step takes the images in again, even after an interruption.
        _record(connection, ledger, reason)
        # Then the contents of the shards: a takedown does not change what a model was trained on.
        keep_all(connection, past, Corpus(str(place)))
        with tempfile.TemporaryDirectory(prefix="takedown-") as folder:
            images = Path(folder) / "images.parquet"
            tables.write(connection, _rows_of_chosen(reason), LEDGER, images)
            for stage in STORING_STAGES:
                _forget(stage, ["--corpus", place, "--images", images])
        if affected.features:
            _forget("evaluate", ["--work", layout.shared.work(step="features"), "--features", *affected.features])
        if affected.report_pages or affected.published_datasets:
            _forget("report", ["--pages", *affected.report_pages, "--published", *affected.published_datasets])
    if json_lines:
        print_json(found)
        return
    sys.stdout.write(
        f"taken down; recorded in {ledger}. `{snakemake('data', configfile=recipe)}` updates verdicts and attribution; "
        f"models do not change; `{snakemake('all', config=['redo=train'], configfile=recipe)}` trains again\n"
    )


def _read_corpus(connection: duckdb.DuckDBPyConnection, place: Path) -> None:
    """Create the tables that `takedown.sql` reads, from the files that the corpus has so far."""
    files = Corpus(str(place))
    catalog = files.catalog_part.found()
    if not catalog:
        raise InputError(f"{place}: no catalog found; give --corpus and --results, or --config")
    tables.read(connection, catalog, CATALOG, "catalog")
    tables.read(connection, files.replay_part.found(), REPLAY_SELECTION, "selection")
    tables.read(connection, files.verdicts.found(), VERDICTS, "verdicts")
    tables.read(connection, files.gathered.found(), GATHERED_DOWNLOADS, "downloads")
    manifests = files.replay_download_part.found()
    tables.read(connection, manifests, DOWNLOADS, "replay_downloads")
    acquired = f"SELECT uuid, md5, {tables.literal(place / 'download')} || printf('/part-%04d', part) AS folder, tar"
    query = f"{acquired} FROM downloads"
    if manifests:
        named = f"{tables.scan(manifests).removesuffix(')')}, filename = true)"
        query += f" UNION ALL SELECT uuid, md5, parse_dirpath(filename), tar FROM {named}"
    connection.execute(f"CREATE TEMP VIEW acquired AS {query}")
    indexes = [path for split in SPLITS if (path := Path(files.replay_index(split=split))).exists()]
    pairs = [f"SELECT uuid, {tables.literal(path.parent.name)} AS split FROM {tables.scan(path)}" for path in indexes]
    connection.execute(f"CREATE TEMP VIEW replayed AS {' UNION ALL '.join(pairs) or NO_PAIRS}")


def _choose(
    connection: duckdb.DuckDBPyConnection, *, owner: str | None, url: str | None, dataset: str | None, uuid: Path | None
) -> None:
    """Create the table `chosen`: ledger rows for the selected images, and for those with the same bytes."""
    named: list[str] = []
    if uuid is not None:
        try:
            named = [line.strip() for line in uuid.read_text(encoding="utf-8").splitlines() if line.strip()]
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"--uuid {uuid}: cannot be read: {error}") from None
    connection.register("named", pa.table({"uuid": pa.array(named, pa.string())}))
    for variable, value in {"owner": owner, "url": url, "dataset": dataset}.items():
        connection.execute(f"SET VARIABLE {variable} = $value::VARCHAR", {"value": value})
    connection.execute(Path(__file__).with_name("takedown.sql").read_text(encoding="utf-8"))
    unknown = connection.execute(
        "SELECT uuid FROM named ANTI JOIN catalog USING (uuid) ANTI JOIN selection USING (uuid) ORDER BY uuid LIMIT 1"
    ).fetchone()
    if unknown is not None:
        raise InputError(f"--uuid {uuid}: {unknown[0]} is not an image of this corpus; correct or remove that line")
    if connection.execute("SELECT 1 FROM chosen LIMIT 1").fetchone() is None:
        raise InputError("no image in this corpus matches; check the spelling against the catalog")


def _log_affected(affected: Affected) -> None:
    for kind, names in vars(affected).items():
        for name in names:
            logger.info("%s: %s", kind.replace("_", " "), name)


def _print_affected(affected: Affected) -> None:
    for kind, names in vars(affected).items():
        _print_list(kind.replace("_", " "), names)
    if affected.benchmark_images:
        sys.stdout.write("benchmark folders are not changed: remove those files yourself, then evaluate again\n")


def _print_list(kind: str, names: Sequence[str]) -> None:
    sys.stdout.write(f"{len(names)} {kind}\n")
    for name in names[:SHOWN]:
        sys.stdout.write(f"  {name}\n")
    if len(names) > SHOWN:
        sys.stdout.write(f"  ... and {len(names) - SHOWN} more (`--log FILE` lists all)\n")


def _record(connection: duckdb.DuckDBPyConnection, ledger: Path, reason: str) -> None:
    """Add the chosen images to the ledger; existing rows stay as they are."""
    tables.read(connection, [ledger] if ledger.exists() else [], LEDGER, "recorded")
    query = f"SELECT * FROM recorded UNION ALL BY NAME {_rows_of_chosen(reason)} ANTI JOIN recorded USING (uuid)"
    tables.write(connection, query, LEDGER, ledger)


def _rows_of_chosen(reason: str) -> str:
    today = tables.literal(datetime.now(UTC).date().isoformat())
    return f"SELECT uuid, md5, generation, split, {today} AS date, {tables.literal(reason)} AS reason FROM chosen"


def _forget(stage: str, options: Sequence[str | Path]) -> None:
    """Run a stage's `forget`.

    Raises:
        InputError: it failed; the message is its own error line.
    """
    command = [sys.executable, "-m", f"workflow_scripts.{stage}.forget", *map(str, options)]
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=False)
    if done.returncode:
        raise InputError(done.stderr.strip().splitlines()[-1].removeprefix("error: "))


if __name__ == "__main__":
    run(takedown)
