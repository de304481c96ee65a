"""Changes in folders that generations have read are reported, and nothing else is."""

import os
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import TypeAdapter

from tests.messages import says
from workflow_scripts.common import folder_contents
from workflow_scripts.common.config.catalog import Generation
from workflow_scripts.common.generations import Generations
from workflow_scripts.common.layout import Corpus, Layout
from workflow_scripts.common.source_folders import changed_folders, record_folders

FOLDERS = {"reader": "folders", "images": "photos"}
TABLE = {"reader": "table", "table": "table.csv", "images": "photos"}
ARCHIVE = {"reader": "gbif", "archive": "photos"}
TIME = 1_000_000_000


class Project:
    """A working folder with photos, and a corpus of one generation that reads them."""

    def __init__(self, source: dict[str, Any] = FOLDERS) -> None:
        for name in ("Pica_pica/1.jpg", "Pica_pica/2.jpg", "Pica_nuttalli/train/3.JPG", "occurrence.txt"):
            self.write(name, name)
        self.corpus: Corpus = Layout("results").corpus("own")
        self.place = {"generation": "g000", "source": "own"}
        self.grow(source)

    def write(self, name: str, text: str, time: int = TIME) -> None:
        path = Path("photos", name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        os.utime(path, (time, time))

    def grow(self, *sources: dict[str, Any]) -> None:
        """Read the folder by one generation for each source."""
        given = [{"sources": [{"name": "own", **source}]} for source in sources]
        self.generations = Generations.planned(TypeAdapter(list[Generation]).validate_python(given))
        for generation in self.generations.names:
            records = Path(self.corpus.source(**(self.place | {"generation": generation})))
            if not records.exists():
                # As when a plan starts that reads the folder.
                rule, wildcards = SimpleNamespace(name="catalog_source"), self.place | {"generation": generation}
                job = SimpleNamespace(rule=rule, wildcards=SimpleNamespace(**wildcards))
                dag = SimpleNamespace(needrun_jobs=lambda job=job: [job])
                record_folders(self.corpus, self.generations, dag)
                records.parent.mkdir(parents=True, exist_ok=True)
                records.touch()

    def notices(self) -> list[str]:
        return list(changed_folders(self.corpus, self.generations))

    def end_of_run(self) -> None:
        record_folders(self.corpus, self.generations)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("source", [FOLDERS, TABLE])
def test_a_photo_overwritten_under_its_name_is_reported(source: dict[str, Any]) -> None:
    project = Project(source)
    assert project.notices() == []
    project.write("Pica_pica/2.jpg", "another size")
    (line,) = project.notices()
    assert says(line, "own", "g000", "images overwritten: 1,", "photos/Pica_pica/2.jpg", "docs/growing.md")
    # Redoing downloads would keep the earlier content, because they are kept by path.
    assert "redo" not in line
    project.write("Pica_pica/2.jpg", "Pica_pica/2.gpj", TIME + 2)
    assert says(project.notices()[0], "photos/Pica_pica/2.jpg"), "of the same size, at another time"


def test_added_and_removed_photos_are_reported_with_the_command_that_reads_them() -> None:
    project = Project()
    project.write("Corvus_corax/1.jpg", "new")
    shutil.rmtree("photos/Pica_nuttalli")
    (line,) = project.notices()
    records = project.corpus.source(**project.place)
    assert says(
        line, "images added: 1,", "Corvus_corax/1.jpg", "images removed: 1,", "train/3.JPG", f"--forcerun {records}"
    )
    # The newest generation that reads the folder counts.
    project.grow(FOLDERS, FOLDERS)
    assert project.notices() == []


@pytest.mark.parametrize("most", [folder_contents.MAX_EXAMINED, 1])
def test_files_that_are_not_read_are_not_reported(most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder_contents, "MAX_EXAMINED", most)
    project = Project()
    for name in (".DS_Store", "Pica_pica/Thumbs.db", "Pica_pica/._1.jpg", "Pica_pica/notes.txt", ".hidden/1.jpg"):
        project.write(name, "litter")
    for path in Path("photos").rglob("*"):
        if path.is_dir():
            os.utime(path)
    assert project.notices() == []


def test_other_photos_beside_those_that_a_table_lists_are_not_reported() -> None:
    project = Project(TABLE)
    project.write("Pica_pica/4.jpg", "not in the table")
    assert project.notices() == []
    Path("photos/Pica_pica/1.jpg").unlink()
    assert says(project.notices()[0], "images removed: 1,", "Pica_pica/1.jpg")


def test_an_archive_overwritten_in_its_folder_is_reported() -> None:
    project = Project(ARCHIVE)
    project.write("Thumbs.db", "litter")
    assert project.notices() == []
    project.write("occurrence.txt", "more rows")
    assert says(project.notices()[0], "files overwritten: 1,", "photos/occurrence.txt")


def test_a_copy_of_the_folder_with_new_times_is_not_a_change() -> None:
    project = Project()
    for path in Path("photos").rglob("*.*"):
        os.utime(path, (TIME + 5000, TIME + 5000))
    assert project.notices() == []
    # The end of a run records the new times, so that a single photo stands out again.
    project.end_of_run()
    os.utime("photos/Pica_pica/1.jpg", (TIME + 9000, TIME + 9000))
    assert says(project.notices()[0], "images overwritten: 1,")
    project.end_of_run()
    assert len(project.notices()) == 1


def test_a_notice_ends_when_its_record_is_deleted_and_later_changes_are_reported_again() -> None:
    project = Project()
    os.utime("photos/Pica_pica/1.jpg", (TIME + 5000, TIME + 5000))
    (line,) = project.notices()
    record = Path(project.corpus.source_folders(**project.place))
    assert line.endswith(f"delete {record}")
    record.unlink()
    assert project.notices() == []
    project.end_of_run()
    assert project.notices() == []
    project.write("Pica_pica/5.jpg", "new")
    assert len(project.notices()) == 1
    record.write_text("damaged")
    assert project.notices() == []


@pytest.mark.parametrize("change", ["add", "remove", "rename", "add_folder", "remove_folder"])
def test_many_photos_are_compared_by_name(change: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder_contents, "MAX_EXAMINED", 1)
    project = Project()
    project.write("Pica_pica/1.jpg", "another size")
    assert project.notices() == [], "its folder has the same time"
    photo = Path("photos/Pica_pica/1.jpg")
    {
        "add": lambda: project.write("Pica_pica/6.jpg", "new"),
        "remove": photo.unlink,
        "rename": lambda: photo.rename(photo.with_name("0.jpg")),
        "add_folder": lambda: project.write("Corvus_corax/train/1.jpg", "new"),
        "remove_folder": lambda: shutil.rmtree("photos/Pica_pica"),
    }[change]()
    (line,) = project.notices()
    assert says(line, "photos/Corvus_corax" if change == "add_folder" else "photos/Pica_pica", "--forcerun")


def test_a_folder_that_cannot_be_recorded_stops_nothing() -> None:
    project = Project()
    record = Path(project.corpus.source_folders(**project.place))
    record.unlink()
    record.mkdir()
    project.end_of_run()
    shutil.rmtree("photos")
    assert project.notices() == []
