"""Version and commit in the records of a run."""

import subprocess
from pathlib import Path

from workflow_scripts.common.version import workflow_version

PROJECT = '[project]\nname = "x"\nversion = "1.2.3"\n'


def git(folder: Path, *words: str) -> str:
    who = ("-c", "user.name=x", "-c", "user.email=x@example.org")
    return subprocess.run(["git", *who, *words], cwd=folder, capture_output=True, text=True, check=True).stdout.strip()


def test_a_checkout_has_its_commit_and_says_when_it_was_changed(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(PROJECT)
    for words in (("init",), ("add", "."), ("commit", "-m", "x"), ("tag", "-a", "v1", "-m", "x")):
        git(tmp_path, *words)
    commit = git(tmp_path, "rev-parse", "HEAD")
    assert workflow_version(tmp_path) == {"workflow": "1.2.3", "commit": commit}
    (tmp_path / "pyproject.toml").write_text(PROJECT.replace("1.2.3", "1.2.4"))
    assert workflow_version(tmp_path) == {"workflow": "1.2.4", "commit": f"{commit}-dirty"}


def test_a_folder_in_another_repository_does_not_have_its_commit(tmp_path: Path) -> None:
    inner = tmp_path / "unpacked"
    inner.mkdir()
    (tmp_path / "theirs").write_text("x")
    for words in (("init",), ("add", "theirs"), ("commit", "-m", "x")):
        git(tmp_path, *words)
    (inner / "pyproject.toml").write_text(PROJECT)
    assert workflow_version(inner) == {"workflow": "1.2.3"}


def test_without_a_checkout_there_is_the_version_alone(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    (tmp_path / "pyproject.toml").write_text(PROJECT)
    assert workflow_version(tmp_path) == {"workflow": "1.2.3"}
    monkeypatch.setenv("PATH", "")
    assert workflow_version(tmp_path) == {"workflow": "1.2.3"}
