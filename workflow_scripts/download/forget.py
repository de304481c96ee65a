"""Take images out of download tars, as if they had been refused unasked; everything else stays as it is.

It may be called again after it was interrupted: what still names an image is done again. A manifest is rewritten after
the tars that it describes, and in between its readers find that the two do not fit.
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
from workflow_scripts.common.files import sha256_file
from workflow_scripts.common.layout import Corpus
from workflow_scripts.common.takedowns import names_any, read_taken_down, register
from workflow_scripts.common.work_folder import DONE, WorkFolder, exclusive, open_work_folder
from workflow_scripts.contracts import DOWNLOADS
from workflow_scripts.download.part_files import ACCOUNT, MANIFEST
from workflow_scripts.download.summary import account_of

logger = logging.getLogger(__name__)


def forget(*, corpus: Path, images: Path) -> None:
    """Take images out of every work folder of a corpus's downloads, and out of what they published.

    Args:
        corpus: the corpus's folder.
        images: the images (contract LEDGER).

    Raises:
        BusyError: a job is writing one of them.
        InputError: the table is missing or breaks its contract.
    """
    root, uuids = Path(Corpus(str(corpus)).download_work()), read_taken_down(images)
    # What another try has brought that was killed, and is in no part yet; the next one fetches it again.
    for folder in sorted(root.glob("*retry-*")):
        with exclusive(root / ".retry.lock", wait=False):
            logger.info("%s: removed", folder)
            shutil.rmtree(folder)
    for folder in sorted(path for path in root.glob("*") if (path / "key.json").exists()):
        if _holds_any(folder, uuids):
            key = json.loads((folder / "key.json").read_text(encoding="utf-8"))
            # By its name, for to compare each part with all would read every manifest as often as there are parts.
            manifests = [corpus / kind / key["name"] / MANIFEST for kind in ("download", "replay/download")]
            # Copies of an earlier key's work, or of none, are published by nobody.
            shown = next((path for path in manifests if _same(path, folder / MANIFEST)), None)
            with open_work_folder(root, key, target=shown, wait=False) as work:
                _forget_in(work, uuids, shown.parent if shown else None)


def _holds_any(folder: Path, uuids: Set[str]) -> bool:
    manifest = folder / MANIFEST
    files = [manifest] if manifest.exists() else sorted(folder.glob("pass-*/[0-9]*.parquet"))
    return any(names_any(file, uuids, "status = 'ok'") for file in files)


def _forget_in(work: WorkFolder, uuids: Set[str], target: Path | None) -> None:
    folder = work.path
    if not (folder / MANIFEST).exists():
        # Unfinished: what it has of them is fetched no more when it resumes, and the rest of those shards again.
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
        # Out of sight first: should this be interrupted, the download's own rule publishes what is left.
        for name in (MANIFEST, *affected) if target is not None else ():
            (target / name).unlink(missing_ok=True)
        (folder / DONE).unlink(missing_ok=True)
        _rewrite_tars(connection, folder, affected, uuids)
        query = Path(__file__).with_name("forget.sql").read_text(encoding="utf-8")
        connection.execute(f"CREATE TEMP TABLE rewritten AS {query}")
        _write_account(connection, folder / ACCOUNT)
        # By the manifest an image is still found, so it comes last.
        tables.write(connection, "SELECT * FROM rewritten", DOWNLOADS, folder / MANIFEST)
    work.finish([MANIFEST, ACCOUNT, *(tar.name for tar in folder.glob("images-*.tar"))])
    logger.info("%s: %d tars rewritten", folder, len(affected))
    if target is not None:
        work.publish(target, MANIFEST)


def _rewrite_tars(connection: duckdb.DuckDBPyConnection, folder: Path, names: Sequence[str], uuids: Set[str]) -> None:
    """Rewrite tars without the images; the table `places` says where the others are now."""
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
    """The part's account again, by the table `rewritten`; its notes stay."""
    counted = account_of(connection, "rewritten", path.parent.name)
    account = replace(read_account(path), rows_in=counted.rows_in, kept=counted.kept, dropped=counted.dropped)
    write_account(path, account)


def _same(one: Path, other: Path) -> bool:
    return one.exists() and other.exists() and (one.samefile(other) or sha256_file(one) == sha256_file(other))


if __name__ == "__main__":
    run(forget)
