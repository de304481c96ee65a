"""`./run` checks a Snakemake command line before Snakemake reads it."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.messages import says
from workflow_scripts.common.entry import check, config_files, located
from workflow_scripts.common.errors import InputError

ROOT = Path(__file__).resolve().parents[2]


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([ROOT / "run", *words], cwd=ROOT, capture_output=True, text=True, check=False)


def refusal(*words: str) -> str:
    with pytest.raises(InputError) as error:
        check(words)
    return str(error.value)


def test_config_files_are_those_that_snakemake_takes() -> None:
    words = ["all", "--configfile", "a.yaml", "b.yaml", "-n", "x", "--configfile=c.yaml", "--config", "y=1"]
    assert list(config_files(words)) == ["a.yaml", "b.yaml", "c.yaml"]


def test_a_missing_config_file_is_named_with_the_nearest_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("config").mkdir()
    Path("config/photos.yaml").touch()
    assert says(refusal("-n", "--configfile", "config/photo.yaml"), "config/photo.yaml", "config/photos.yaml?")


def test_a_target_behind_the_config_file_is_told_where_it_belongs(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("run: mine\n")
    said = refusal("--configfile", str(tmp_path / "mine.yaml"), "evaluate")
    assert says(said, "evaluate: ", "evaluate --configfile")
    check(["evaluate", "-c2", "--configfile", str(tmp_path / "mine.yaml")])


def test_a_run_without_cores_is_refused_with_the_profiles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    for words in ((), ("all",), ("all", "-k", "--config", "run=x")):
        assert says(refusal(*words), "--profile profiles/local", "--cores", "--profile profiles/slurm")
    for given in ("all --profile profiles/local", "all -c2", "-np", "--unlock", "-j 3"):
        check(given.split())


@pytest.mark.parametrize("text", ["", "# run: mine\n"])
def test_an_empty_config_file_is_named(text: str, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(text)
    assert says(refusal("--configfile", str(tmp_path / "mine.yaml")), f"{tmp_path}/mine.yaml: ", "empty")


def test_a_broken_config_file_is_named_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("run: a\ncorpus: [\n  x: {\n")
    done = run("-n", "--configfile", str(path))
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert says(done.stderr, "error: ", f"{path}: line 4")


def test_in_another_folder_the_projects_snakefile_and_profiles_are_added(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    local, snakefile = f"{ROOT}/profiles/local", f"--snakefile={ROOT}/Snakefile"
    words = ["all", "--profile", "profiles/local", "--configfile", "a.yaml"]
    assert list(located(words)) == [snakefile, "all", "--profile", local, *words[3:]]
    assert list(located(["--profile=profiles/local"])) == [snakefile, f"--profile={local}"]
    assert list(located(["-s", "other.smk", "--profile", "none"])) == ["-s", "other.smk", "--profile", "none"]
    # A folder that has them keeps its own.
    Path("profiles/local").mkdir(parents=True)
    Path("workflow").mkdir()
    Path("workflow/Snakefile").touch()
    assert list(located(words)) == words
    monkeypatch.chdir(ROOT)
    assert list(located(words)) == words


def test_a_folder_without_a_config_is_refused_unless_one_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for words in (("-n",), ("all", "--profile", "profiles/local"), ("-n", "--directory=.")):
        assert says(refusal(*words), "config/config.yaml", "workflow_scripts.common.init", "--configfile")
    check(["--version"])
    check(["-n", "-s", "other.smk"])
    check(["-n", "--directory", str(ROOT)])
    Path("a.yaml").write_text("run: mine\n")
    check(["-n", "--configfile", "a.yaml"])
    Path("config").mkdir()
    Path("config/config.yaml").touch()
    check(["-n"])
    monkeypatch.chdir(ROOT)
    check(["-n"])


def test_a_valid_command_line_becomes_snakemakes(tmp_path: Path) -> None:
    done = run("--version")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout[0].isdigit()
    assert run("--help").stdout.startswith("usage: run ")
    assert os.access(ROOT / "run", os.X_OK)
