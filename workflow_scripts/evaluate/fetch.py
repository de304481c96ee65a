"""Fetch a public benchmark into a folder that the workflow manages.

In: the entries to fetch, each with a pin: the checksum of a file or the commit of a dataset. Out: the unpacked files,
and `fetched.json`, which lists the entries. Folders that you fill yourself are never changed.
"""

import hashlib
import json
import logging
import shutil
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from huggingface_hub import HfApi, snapshot_download

from workflow_scripts.common.cli import run
from workflow_scripts.common.config.evaluate import BenchmarkSettings, FetchedDataset, FetchedFile, ImageSet
from workflow_scripts.common.errors import InputError
from workflow_scripts.common.files import digest, sha256_file, write_json
from workflow_scripts.common.hub import hub_errors
from workflow_scripts.common.web_files import fetch_file
from workflow_scripts.common.work_folder import exclusive
from workflow_scripts.evaluate.unpack import unpack

logger = logging.getLogger(__name__)

GIGABYTE = 10**9
INVENTORY = "inventory.json"


def fetch_benchmark(*, name: str, settings: BenchmarkSettings, out: Path, downloads: Path) -> None:
    """Fetch and unpack the entries of a benchmark's `fetch`, unless the files are complete already.

    Args:
        name: the benchmark's name.
        settings: its settings.
        out: `fetched.json`; the files are in the folder `files` beside it.
        downloads: where archives are kept until they are unpacked, so that an interrupted fetch can resume.

    Raises:
        InputError: an entry could not be fetched, differs from its pin, has no pin, or cannot be unpacked.
    """
    assert isinstance(settings.spec, ImageSet)
    entries = settings.spec.fetch
    files = out.parent / "files"
    wanted = digest([entry.model_dump(mode="json") for entry in entries])
    with exclusive(out.parent / ".lock"):
        if _is_complete(out.parent, wanted):
            logger.info("%s: already fetched", files)
        else:
            unpinned = [problem for entry in entries if (problem := _missing_pin(entry, downloads))]
            if unpinned:
                raise InputError(f"benchmarks.{name}.fetch: {unpinned[0]}")
            coming = out.parent / "files.coming"
            shutil.rmtree(coming, ignore_errors=True)
            for entry in entries:
                _fetch(entry, coming, downloads)
            shutil.rmtree(files, ignore_errors=True)
            coming.replace(files)
            sizes = {
                path.relative_to(files).as_posix(): path.stat().st_size for path in files.rglob("*") if path.is_file()
            }
            write_json(out.parent / INVENTORY, {"fetch": wanted, "files": sizes})
            for entry in entries:
                if isinstance(entry, FetchedFile):
                    _downloaded(entry, downloads).unlink(missing_ok=True)
        write_json(out, {"benchmark": name, "fetch": [entry.model_dump(mode="json") for entry in entries]})


def _is_complete(folder: Path, wanted: str) -> bool:
    """Whether all files of the same fetch exist with the recorded sizes."""
    inventory = folder / INVENTORY
    if not inventory.exists():
        return False
    record = json.loads(inventory.read_text(encoding="utf-8"))
    return record["fetch"] == wanted and all(
        (path := folder / "files" / name).is_file() and path.stat().st_size == size
        for name, size in record["files"].items()
    )


def _missing_pin(entry: FetchedFile | FetchedDataset, downloads: Path) -> str:
    """Why an entry cannot be fetched without a pin, with the pin of its current content; "" if it has one."""
    if isinstance(entry, FetchedDataset):
        if entry.revision is not None:
            return ""
        with hub_errors(f"{entry.dataset}: could not be fetched"):
            commit = HfApi().dataset_info(entry.dataset).sha
        return f"{entry.dataset} has no pin; check its newest commit, and write revision: {commit}"
    if entry.sha256 or entry.md5:
        return ""
    target = _downloaded(entry, downloads)
    found = sha256_file(target) if target.exists() else fetch_file(entry.url, target)
    return f"{entry.url} has no pin; check the downloaded file ({target}), and write sha256: {found}"


def _fetch(entry: FetchedFile | FetchedDataset, folder: Path, downloads: Path) -> None:
    if isinstance(entry, FetchedDataset):
        _fetch_dataset(entry, folder)
        return
    target = _downloaded(entry, downloads)
    if not (target.exists() and _is_pinned_one(entry, target)):
        fetch_file(entry.url, target, sha256=entry.sha256)
        if not _is_pinned_one(entry, target):
            target.unlink()
            raise InputError(
                f"{entry.url}: MD5 mismatch: expected {entry.md5}; the file has changed, or the pin is wrong"
            )
    into = folder / entry.into
    into.mkdir(parents=True, exist_ok=True)
    if entry.unpack:
        unpack(target, into, max_bytes=int(entry.max_gb * GIGABYTE))
    else:
        shutil.copyfile(target, into / _name(entry))


def _fetch_dataset(entry: FetchedDataset, folder: Path) -> None:
    with hub_errors(f"{entry.dataset}@{entry.revision}: could not be fetched"):
        snapshot_download(
            entry.dataset,
            repo_type="dataset",
            revision=entry.revision,
            allow_patterns=entry.files,
            local_dir=folder / entry.into,
        )
    # Bookkeeping files of the hub's client.
    shutil.rmtree(folder / entry.into / ".cache", ignore_errors=True)


def _downloaded(entry: FetchedFile, downloads: Path) -> Path:
    return downloads / digest(entry.url)[:16] / _name(entry)


def _name(entry: FetchedFile) -> str:
    return PurePosixPath(urlsplit(entry.url).path).name or "file"


def _is_pinned_one(entry: FetchedFile, path: Path) -> bool:
    if entry.sha256 is not None and sha256_file(path) != entry.sha256.lower():
        return False
    if entry.md5 is None:
        return True
    with path.open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest() == entry.md5.lower()


if __name__ == "__main__":
    run(fetch_benchmark)
