"""Fetch a pinned metadata file of a source. This step needs the internet.

In: a URL, a file of a Hugging Face dataset at a commit, or the key or DOI of a GBIF occurrence download. Out: the
complete file, and a record of its origin, size in bytes and SHA-256, and the citation of a GBIF download.
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
    """Fetch a file. An interrupted fetch resumes, and only a complete file is visible.

    Args:
        remote: the file to fetch.
        out: output file.
        record: output: the record of the fetch (JSON).
        gbif_api: URL of GBIF's API or of a mirror.

    Raises:
        InputError: the file could not be fetched, or is not the pinned one.
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
    """Fetch a GBIF occurrence download; return its key, DOI, licence, date and citation.

    API: https://techdocs.gbif.org/en/openapi/v1/occurrence.
    """
    url = f"{api}/occurrence/download/{key_or_doi}"
    about = fetch_json(url)
    status = about.get("status")
    if status != "SUCCEEDED":
        raise InputError(
            f"{url}: the download's status is {status}; fetch it when the status is SUCCEEDED, or request it again"
        )
    key = str(about.get("key"))
    if not DOWNLOAD_KEY.fullmatch(key):
        raise InputError(f"{url}: {key!r} is not a GBIF download key")
    fetch_file(f"{api}/occurrence/download/request/{key}.zip", out, sha256=sha256)
    if about.get("size") not in (None, out.stat().st_size):
        size = out.stat().st_size
        out.unlink()
        raise InputError(f"{url}: incomplete: expected {about['size']} bytes, received {size}; try again")
    doi = about.get("doi")
    return {
        "key": key,
        "doi": doi,
        "license": about.get("license"),
        "created": about.get("created"),
        "citation": f"GBIF.org ({str(about.get('created'))[:10]}) GBIF Occurrence Download https://doi.org/{doi}",
    }


def _fetch_from_hub(remote: Remote, out: Path) -> None:
    """Fetch a file of a dataset, resuming in a folder of the hub's client.

    Without a pinned SHA-256, the file is checked against the hub's, which exists for files in large file storage.
    """
    assert remote.dataset is not None
    assert remote.file is not None
    with exclusive(out.with_name(f".{out.name}.lock")):
        partial = out.with_name(f".{out.name}.coming")
        with hub_errors(f"{remote.dataset}@{remote.revision}: {remote.file}: could not be fetched"):
            url = hf_hub_url(remote.dataset, remote.file, repo_type="dataset", revision=remote.revision)
            pinned = remote.sha256 or get_hf_file_metadata(url).etag or ""
            name = hf_hub_download(
                remote.dataset, remote.file, repo_type="dataset", revision=remote.revision, local_dir=partial
            )
        found = sha256_file(Path(name))
        if SHA256.fullmatch(pinned.lower()) and found != pinned.lower():
            shutil.rmtree(partial)
            raise InputError(
                f"{remote.dataset}@{remote.revision}: {remote.file}: SHA-256 mismatch: expected {pinned}, found {found}"
            )
        Path(name).replace(out)
        shutil.rmtree(partial)


if __name__ == "__main__":
    run(fetch)
