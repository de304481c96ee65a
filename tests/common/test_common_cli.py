"""A step's command: options from its signature, one line for bad input, the rest in the log."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.messages import says
from workflow_scripts.common.cli import BAD_INPUT, _with_exit_status

STEP = '''
from pathlib import Path
from workflow_scripts.common.cli import run
from workflow_scripts.common.config.train import TrainSettings
from workflow_scripts.common.errors import InputError

def step(*, inputs: tuple[Path, ...] = (), named: dict[str, str] = {}, settings: TrainSettings, how: str = "well"):
    """Do a step."""
    if how == "badly":
        raise InputError("table.csv: no column url")
    if how == "wrongly":
        raise RuntimeError("a bug")
    if how == "closed":
        raise PermissionError(13, "Permission denied", "closed/table.csv")
    if how == "much":
        with inputs[0].open("wb") as file:
            file.write(bytes(2 << 20))
    if how == "long":
        print("line\\n" * 100_000)
    if how == "stopped":
        raise KeyboardInterrupt
    if how == "quoting":
        raise RuntimeError("IO Error: Could not write: No space left on device")
    print(len(inputs), named, settings.lr)

run(step)
'''
SETTINGS = '{"epochs": 1, "global_batch": 2, "lr": 0.5}'


def by_hand(tmp_path: Path, *options: str) -> subprocess.CompletedProcess[str]:
    script = tmp_path / "step.py"
    script.write_text(STEP)
    return subprocess.run([sys.executable, str(script), *options], capture_output=True, text=True, check=False)


def command(tmp_path: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return by_hand(tmp_path, *options, "--log", str(tmp_path / "logs/step.log"))


def test_options_come_from_the_signature(tmp_path: Path) -> None:
    done = command(tmp_path, "--inputs", "a", "b", "--named", "x", "1", "y", "2", "--settings", SETTINGS)
    assert done.stdout == "2 {'x': '1', 'y': '2'} 0.5\n", done.stderr


def test_reports_of_libraries_at_exit_do_not_follow_the_help_or_a_wrong_option(tmp_path: Path) -> None:
    (tmp_path / "step.py").write_text(f"import atexit\natexit.register(print, 'leaked')\n{STEP}")
    for option, status, said in (("--sttings", 2, "--settings"), ("--help", 0, "Exit status")):
        words = [sys.executable, str(tmp_path / "step.py"), option]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        assert done.returncode == status
        assert said in done.stdout + done.stderr and "leaked" not in done.stdout


def test_an_empty_list_is_allowed(tmp_path: Path) -> None:
    assert command(tmp_path, "--inputs", "--settings", SETTINGS).stdout.startswith("0 ")


def test_bad_input_is_one_line_and_status_2(tmp_path: Path) -> None:
    done = command(tmp_path, "--settings", SETTINGS, "--how", "badly")
    assert (done.returncode, done.stderr) == (2, "error: table.csv: no column url\n")
    assert "table.csv: no column url" in (tmp_path / "logs/step.log").read_text()


def test_bad_input_of_a_command_without_a_log_is_the_same_line(tmp_path: Path) -> None:
    done = by_hand(tmp_path, "--settings", SETTINGS, "--how", "badly")
    assert (done.returncode, done.stderr) == (2, "error: table.csv: no column url\n")


def test_a_file_without_permission_is_one_line_and_its_traceback_is_in_the_log(tmp_path: Path) -> None:
    done = command(tmp_path, "--settings", SETTINGS, "--how", "closed")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert says(done.stderr, "closed/table.csv", "Permission denied")
    assert says((tmp_path / "logs/step.log").read_text(), "Traceback", BAD_INPUT)


def test_a_reader_that_ends_early_is_not_an_error(tmp_path: Path) -> None:
    script = tmp_path / "step.py"
    script.write_text(STEP)
    words = [sys.executable, str(script), "--settings", SETTINGS, "--how", "long"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        said = process.stderr.read()
    assert (process.returncode, said) == (128 + signal.SIGPIPE, b"")


def test_ctrl_c_is_one_line(tmp_path: Path) -> None:
    done = by_hand(tmp_path, "--settings", SETTINGS, "--how", "stopped")
    assert (done.returncode, done.stderr) == (130, "interrupted\n")


def test_a_bug_is_one_line_and_its_traceback_is_in_the_log(tmp_path: Path) -> None:
    done = command(tmp_path, "--settings", SETTINGS, "--how", "wrongly")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "Traceback" in (tmp_path / "logs/step.log").read_text()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "none", folder], capture_output=True, check=False
    ).returncode:
        pytest.skip("mounting a small disk is not permitted here")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def test_a_full_disk_is_named_with_what_is_left_on_it(tmp_path: Path, small_disk: Path) -> None:
    words = ("--settings", SETTINGS, "--how", "much", "--inputs", str(small_disk / "result.bin"))
    for done in (by_hand(tmp_path, *words, "--log", str(small_disk / "step.log")), command(tmp_path, *words)):
        assert done.returncode == 1
        assert done.stderr.count("\n") == 1
        assert says(done.stderr, "error: disk full", f"{small_disk}", "0 of 1 MiB", "same command again")


def test_a_librarys_own_error_about_a_full_disk_is_known(tmp_path: Path) -> None:
    assert "disk full" in command(tmp_path, "--settings", SETTINGS, "--how", "quoting").stderr


@pytest.mark.parametrize("settings", ['{"epochs": 1}', '{"epochs": 1, "global_batch": 2, "lrr": 3}', "no json"])
def test_wrong_settings_are_refused(tmp_path: Path, settings: str) -> None:
    done = command(tmp_path, "--settings", settings)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_a_process_that_is_started_again_after_a_crash_keeps_the_log_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RANK", "0")
    command(tmp_path, "--settings", SETTINGS, "--how", "wrongly")
    assert command(tmp_path, "--settings", SETTINGS).returncode == 0
    assert "Traceback" in (tmp_path / "logs/step.log").read_text()


def test_every_command_says_its_exit_status_before_its_options() -> None:
    """Steps that answer a question describe their own exit status."""
    done = subprocess.run([sys.executable, "-c", STEP, "--help"], capture_output=True, text=True, check=True)
    assert says(done.stdout, "Do a step.", "Exit status: 0", "2 bad input")
    assert done.stdout.index("Exit status") < done.stdout.index("--settings")
    assert _with_exit_status("Answer.\n\nExit status: 0 yes; 1 no.").count("Exit status") == 1
