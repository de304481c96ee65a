"""Remove images from download tars, as if they had been refused without a request. Everything else is unchanged.

After an interruption it can be called again and continues with the files that still contain an image. A manifest is
rewritten after its tars; in between, readers detect that the two do not match.
"""

import json
import logging
import shutil
from collections.abc import Sequence, Set
from dataclasses import replace
from pathlib import Path

import duckdb
import pyarrow as pa

from workflow_scripts.common import tables, tars
from workflow_scripts.common.accounts import read_account, write_account
from workflow_scripts.common.cli import run
from workflow_scripts.common.files import same_bytes
from workflow_scripts.common.layout import Corpus
from workflow_scripts.common.takedowns import names_any, read_taken_down, register
from workflow_scripts.common.work_folder import DONE, WorkFolder, exclusive, open_work_folder
from workflow_scripts.contracts import DOWNLOADS
from workflow_scripts.download.part_files import ACCOUNT, MANIFEST
from workflow_scripts.download.summary import account_of

logger = logging.getLogger(__name__)


def forget(*, corpus: Path, images: Path) -> None:
    """Remove images from all work folders of a corpus's downloads and from its published downloads.

    Args:
        corpus: the corpus's folder.
        images: the images (contract LEDGER).

    Raises:
        BusyError: a job is writing one of the folders.
        InputError: the table is missing or violates its contract.
    """
    root, uuids = Path(Corpus(str(corpus)).download_work()), read_taken_down(images)
    # Images of a killed retry, not in any part yet; the next retry fetches them again.
    for folder in sorted(root.glob("*retry-*")):
        with exclusive(root / ".retry.lock", wait=False):
            logger.info("%s: removed", folder)
            shutil.rmtree(folder)
    for folder in sorted(path for path in root.glob("*") if (path / "key.json").exists()):
        if _contains_any(folder, uuids):
            key = json.loads((folder / "key.json").read_text(encoding="utf-8"))
            # Found by name, since comparing all pairs would read every manifest once per part.
            manifests = [corpus / kind / key["name"] / MANIFEST for kind in ("download", "replay/download")]
            # None: the folder has an earlier key or is unfinished, and its work is not published.
            published = next((path for path in manifests if same_bytes(path, folder / MANIFEST)), None)
            with open_work_folder(root, key, target=published, wait=False) as work:
                _forget_in(work, uuids, published.parent if published else None)


def _contains_any(folder: Path, uuids: Set[str]) -> bool:
    manifest = folder / MANIFEST
    files = [manifest] if manifest.exists() else sorted(folder.glob("pass-*/[0-9]*.parquet"))
    return any(names_any(file, uuids, "status = 'ok'") for file in files)


def _forget_in(work: WorkFolder, uuids: Set[str], target: Path | None) -> None:
    folder = work.path
    if not (folder / MANIFEST).exists():
        # Unfinished: on resuming, the shards are fetched again without these images.
        for shard in sorted(folder.glob("pass-*/[0-9]*.parquet")):
            if names_any(shard, uuids, "status = 'ok'"):
                shard.unlink()
        for tar in folder.glob("images-*.tar"):
            tar.unlink()
        shutil.rmtree(folder / "in_hand", ignore_errors=True)
        return
    with tables.connect() as connection:
        register(connection, uuids)
        tables.read(connection, folder / MANIFEST, DOWNLOADS, "manifest")
        affected = [
            tar
            for (tar,) in connection.execute(
                "SELECT DISTINCT tar FROM manifest SEMI JOIN taken_down USING (uuid) WHERE tar IS NOT NULL ORDER BY tar"
            ).fetchall()
        ]
        # Unpublish first: if this is interrupted, the download's rule publishes the remaining images.
        for name in (MANIFEST, *affected) if target is not None else ():
            (target / name).unlink(missing_ok=True)
        (folder / DONE).unlink(missing_ok=True)
        _rewrite_tars(connection, folder, affected, uuids)
        query = Path(__file__).with_name("forget.sql").read_text(encoding="utf-8")
        connection.execute(f"CREATE TEMP TABLE rewritten AS {query}")
        _write_account(connection, folder / ACCOUNT)
        # The manifest is rewritten last, since it is what shows that a folder still contains an image.
        tables.write(connection, "SELECT * FROM rewritten", DOWNLOADS, folder / MANIFEST)
    work.finish([MANIFEST, ACCOUNT, *(tar.name for tar in folder.glob("images-*.tar"))])
    logger.info("%s: %d tars rewritten", folder, len(affected))
    if target is not None:
        work.publish(target, MANIFEST)


def _rewrite_tars(connection: duckdb.DuckDBPyConnection, folder: Path, names: Sequence[str], uuids: Set[str]) -> None:
    """Rewrite tars without the images and create the table `places` with the new locations of the others."""
    spans: dict[str, tars.Span] = {}
    for name in names:
        tars.drop_samples(folder / name, uuids)
        spans |= {Path(member).stem: span for member, span in tars.member_places(folder / name).items()}
    places = pa.table(
        {
            "uuid": pa.array(spans, pa.string()),
            "offset": pa.array([span.offset for span in spans.values()], pa.int64()),
            "size": pa.array([span.size for span in spans.values()], pa.int64()),
        }
    )
    connection.register("places", places)


def _write_account(connection: duckdb.DuckDBPyConnection, path: Path) -> None:
    """Write the part's account from the table `rewritten`, with its notes unchanged."""
    counted = account_of(connection, "rewritten", path.parent.name)
    account = replace(read_account(path), rows_in=counted.rows_in, kept=counted.kept, dropped=counted.dropped)
    write_account(path, account)


if __name__ == "__main__":
    run(forget)
