"""Upload the output of `publish` to the Hugging Face Hub. No rule runs it; a person does."""

import os
import sys
from pathlib import Path
from typing import Literal

from huggingface_hub import HfApi

from workflow_scripts.common.cli import run
from workflow_scripts.common.errors import InputError
from workflow_scripts.common.hub import hub_errors
from workflow_scripts.common.remedies import snakemake

TOKEN = "HF_TOKEN"


def upload(
    *, folder: Path, repo: str, kind: Literal["model", "dataset"], public: bool = False, dry_run: bool = False
) -> None:
    """Upload a folder to a repository on the Hub. The repository is created if it does not exist.

    The token is read from the environment variable `HF_TOKEN` only, and is never stored.

    Args:
        folder: `publish/model` or `publish/dataset`.
        repo: the repository, `OWNER/NAME`.
        kind: model or dataset.
        public: make a new repository public. Default: private.
        dry_run: list the files without uploading them.

    Raises:
        InputError: nothing to upload, no token, or the Hub rejects the request.
    """
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and not path.name.startswith(".")]
    if not (folder / "README.md").is_file():
        raise InputError(f"{folder}: README.md not found; run `{snakemake('publish')}` first")
    if dry_run:
        for path in files:
            sys.stdout.write(f"{path.stat().st_size:>15,}  {path.relative_to(folder)}\n")
        return
    token = os.environ.get(TOKEN)
    if not token:
        raise InputError(f"{TOKEN} is not set; set it to a token with write access to {repo}")
    api = HfApi(token=token)
    with hub_errors(repo):
        url = api.create_repo(repo, repo_type=kind, private=not public, exist_ok=True)
        api.upload_folder(repo_id=repo, folder_path=folder, repo_type=kind, ignore_patterns=[".*", "**/.*"])
    sys.stdout.write(f"uploaded {len(files)} files to {url}\n")


if __name__ == "__main__":
    run(upload)
