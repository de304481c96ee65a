"""Fetch a file of a source's metadata, pinned. This step needs the internet.

In: a URL, a file of a Hugging Face dataset at a commit, or an occurrence download of GBIF by its key or DOI. Out: the
file, whole, and a record of it: where it came from, its SHA-256, and of GBIF's what to cite.
"""

import re
import shutil
from pathlib import Path
from typing import Any

from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url

from workflow_scripts.common.cli import run
from workflow_scripts.common.config.catalog import Remote
from workflow_scripts.common.errors import InputError
from workflow_scripts.common.files import sha256_file, write_json
from workflow_scripts.common.hub import hub_errors
from workflow_scripts.common.web_files import fetch_file, fetch_json
from workflow_scripts.common.work_folder import exclusive

SHA256 = re.compile(r"[0-9a-f]{64}")
DOWNLOAD_KEY = re.compile(r"\d{7}-\d{15}")


def fetch(*, remote: Remote, out: Path, record: Path, gbif_api: str = "https://api.gbif.org/v1") -> None:
    """Fetch a file, completely or not at all; an interrupted fetch resumes.

    Args:
        remote: the file to fetch.
        out: output file.
        record: output: the record of the fetch, as JSON.
        gbif_api: address of GBIF's API, or of a mirror.

    Raises:
        InputError: it could not be had, or is another file than the pinned one.
    """
    about: dict[str, Any] = {"remote": remote.model_dump(mode="json", exclude_none=True)}
    if remote.gbif is not None:
        about |= _fetch_from_gbif(remote.gbif, remote.sha256, out, gbif_api)
    elif remote.dataset is not None:
        _fetch_from_hub(remote, out)
    else:
        assert remote.url is not None
        fetch_file(remote.url, out, sha256=remote.sha256)
    write_json(record, about | {"bytes": out.stat().st_size, "sha256": sha256_file(out)})


def _fetch_from_gbif(key_or_doi: str, sha256: str | None, out: Path, api: str) -> dict[str, Any]:
    """What GBIF says of the download, for whoever cites it: https://techdocs.gbif.org/en/openapi/v1/occurrence."""
    url = f"{api}/occurrence/download/{key_or_doi}"
    about = fetch_json(url)
    status = about.get("status")
    if status != "SUCCEEDED":
        raise InputError(f"{url}: the download is {status}; fetch it when GBIF has made it, or request it again")
    key = str(about.get("key"))
    if not DOWNLOAD_KEY.fullmatch(key):
        raise InputError(f"{url}: names the download {key!r}, which is no key")
    fetch_file(f"{api}/occurrence/download/request/{key}.zip", out, sha256=sha256)
    if about.get("size") not in (None, out.stat().st_size):
        size = out.stat().st_size
        out.unlink()
        raise InputError(f"{url}: {size} bytes came, GBIF says {about['size']}; try again")
    doi = about.get("doi")
    return {
        "key": key,
        "doi": doi,
        "license": about.get("license"),
        "created": about.get("created"),
        "citation": f"GBIF.org ({str(about.get('created'))[:10]}) GBIF Occurrence Download https://doi.org/{doi}",
    }


def _fetch_from_hub(remote: Remote, out: Path) -> None:
    """The hub's client resumes in a folder of its own; the file's checksum is the hub's, where it keeps a SHA-256."""
    assert remote.dataset is not None
    assert remote.file is not None
    with exclusive(out.with_name(f".{out.name}.lock")):
        coming = out.with_name(f".{out.name}.coming")
        with hub_errors(f"{remote.dataset}@{remote.revision}: {remote.file}: cannot be had"):
            where = hf_hub_url(remote.dataset, remote.file, repo_type="dataset", revision=remote.revision)
            pinned = remote.sha256 or get_hf_file_metadata(where).etag or ""
            name = hf_hub_download(
                remote.dataset, remote.file, repo_type="dataset", revision=remote.revision, local_dir=coming
            )
        found = sha256_file(Path(name))
        if SHA256.fullmatch(pinned.lower()) and found != pinned.lower():
            shutil.rmtree(coming)
            raise InputError(
                f"{remote.dataset}@{remote.revision}: {remote.file}: SHA-256 mismatch: expected {pinned}, found {found}"
            )
        Path(name).replace(out)
        shutil.rmtree(coming)


if __name__ == "__main__":
    run(fetch)
