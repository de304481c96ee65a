"""Upload what `publish` wrote to the Hugging Face Hub. It runs only when a person types it."""

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
    """Upload a folder to a repository of the Hub; create the repository if it does not exist.

    The token is taken from the environment variable `HF_TOKEN`, and from nowhere else; it is written nowhere.

    Args:
        folder: `publish/model` or `publish/dataset`.
        repo: the repository, `OWNER/NAME`.
        kind: model or dataset.
        public: make a new repository public. Default: private.
        dry_run: list what would be uploaded.

    Raises:
        InputError: nothing to upload, no token, or the Hub refuses.
    """
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and not path.name.startswith(".")]
    if not (folder / "README.md").is_file():
        raise InputError(f"{folder}: no README.md there; run `{snakemake('publish')}` first")
    if dry_run:
        for path in files:
            sys.stdout.write(f"{path.stat().st_size:>15,}  {path.relative_to(folder)}\n")
        return
    token = os.environ.get(TOKEN)
    if not token:
        raise InputError(f"set {TOKEN} to a token that may write to {repo}")
    api = HfApi(token=token)
    with hub_errors(repo):
        url = api.create_repo(repo, repo_type=kind, private=not public, exist_ok=True)
        api.upload_folder(repo_id=repo, folder_path=folder, repo_type=kind, ignore_patterns=[".*", "**/.*"])
    sys.stdout.write(f"{len(files)} files are in {url}\n")


if __name__ == "__main__":
    run(upload)
