"""Public benchmarks are fetched as pinned, unpacked safely, and never into a folder that the user fills."""

import functools
import hashlib
import io
import json
import re
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from workflow_scripts.common.config.evaluate import BenchmarkSettings, LabelledFolder
from workflow_scripts.common.config.root import load_config
from workflow_scripts.common.config.site import SiteSettings
from workflow_scripts.common.errors import InputError
from workflow_scripts.common.files import sha256_file
from workflow_scripts.evaluate import fetch as module
from workflow_scripts.evaluate.csv.index import read_labels
from workflow_scripts.evaluate.fetch import fetch_benchmark
from workflow_scripts.evaluate.unpack import unpack

COMMIT = "0123456789abcdef0123456789abcdef01234567"
FILES = {"set/labels.csv": b"id,task\n", "set/images/a b & c.jpg": b"a picture"}


class Host:
    """Files served over loopback, and the paths that were requested."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.asked: list[str] = []
        host = self

        class Handler(SimpleHTTPRequestHandler):
            def do_GET(self) -> None:
                host.asked.append(self.path)
                super().do_GET()

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(folder)))
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.server.server_port}/{name}"


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    (tmp_path / "served").mkdir()
    made = Host(tmp_path / "served")
    yield made
    made.server.shutdown()


def tar(path: Path, files: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as packed:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            packed.addfile(member, io.BytesIO(data))
    return path


def zipped(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, data in files.items():
            packed.writestr(name, data)
    return path


class Fetching:
    """A benchmark's folder among the results."""

    def __init__(self, folder: Path) -> None:
        self.record = folder / "results" / "mine-1" / "fetched.json"
        self.files = self.record.parent / "files"
        self.downloads = folder / "downloads"

    def fetch(self, *entries: dict[str, Any]) -> None:
        settings = {"layout": "newt", "folder": "somewhere", "fetch": list(entries)}
        fetch_benchmark(
            name="mine",
            settings=BenchmarkSettings.model_validate(settings),
            out=self.record,
            downloads=self.downloads,
        )

    def found(self) -> dict[str, bytes]:
        return {
            path.relative_to(self.files).as_posix(): path.read_bytes()
            for path in sorted(self.files.rglob("*"))
            if path.is_file()
        }


@pytest.fixture
def fetching(tmp_path: Path) -> Fetching:
    return Fetching(tmp_path)


def test_pinned_archives_are_unpacked_and_adopted_the_next_time(host: Host, fetching: Fetching) -> None:
    packed, lists = tar(host.folder / "set.tar.gz", FILES), zipped(host.folder / "lists.zip", {"split.json": b"{}"})
    entries = [
        {"url": host.url("set.tar.gz"), "md5": hashlib.md5(packed.read_bytes()).hexdigest()},
        {"url": host.url("lists.zip"), "sha256": hashlib.sha256(lists.read_bytes()).hexdigest(), "into": "more/lists"},
    ]
    fetching.fetch(*entries)
    assert fetching.found() == FILES | {"more/lists/split.json": b"{}"}
    assert not [path for path in fetching.downloads.rglob("*") if path.is_file() and not path.name.startswith(".")]
    asked = len(host.asked)
    fetching.record.unlink()
    fetching.fetch(*entries)
    assert fetching.record.exists()
    assert len(host.asked) == asked, "whole files are not fetched again"
    (fetching.files / "set/labels.csv").unlink()
    fetching.fetch(*entries)
    assert fetching.found()["set/labels.csv"] == FILES["set/labels.csv"]


def test_a_label_file_is_fetched_as_it_is_and_read_beside_a_persons_images(
    host: Host, fetching: Fetching, tmp_path: Path
) -> None:
    """As the recipes have the published label files: labels from the web, images from a person."""
    (host.folder / "metadata.csv").write_bytes(b",filepath,class\r\n0,Apidae/1.jpg,Apidae\r\n")
    checksum = sha256_file(host.folder / "metadata.csv")
    fetching.fetch({"url": host.url("metadata.csv"), "sha256": checksum, "unpack": False})
    assert fetching.found() == {"metadata.csv": (host.folder / "metadata.csv").read_bytes()}
    (tmp_path / "given/images").mkdir(parents=True)
    (tmp_path / "given/images/1.jpg").touch()
    given = {"labels": str(fetching.files / "metadata.csv"), "images": str(tmp_path / "given"), "find": "name"}
    (row,) = read_labels(LabelledFolder.model_validate(given))
    assert (row.label, row.path) == ("Apidae", tmp_path / "given/images/1.jpg")
    # Other content under the same pin does not replace the fetched files.
    (host.folder / "metadata.csv").write_bytes(b",filepath,class\n")
    (fetching.files / "metadata.csv").unlink()
    with pytest.raises(InputError, match=checksum):
        fetching.fetch({"url": host.url("metadata.csv"), "sha256": checksum, "unpack": False})
    assert not fetching.found()


def test_without_a_pin_the_fetched_version_is_reported_and_not_fetched_twice(host: Host, fetching: Fetching) -> None:
    packed = tar(host.folder / "set.tar.gz", FILES)
    checksum = hashlib.sha256(packed.read_bytes()).hexdigest()
    with pytest.raises(InputError, match=rf"benchmarks\.mine\.fetch: http.*no pin.*write sha256: {checksum}"):
        fetching.fetch({"url": host.url("set.tar.gz")})
    assert not fetching.record.exists()
    asked = len(host.asked)
    fetching.fetch({"url": host.url("set.tar.gz"), "sha256": checksum})
    assert len(host.asked) == asked
    assert fetching.found() == FILES


def test_another_file_than_the_pinned_one_is_refused(host: Host, fetching: Fetching) -> None:
    tar(host.folder / "set.tar.gz", FILES)
    for pin in ({"md5": "0" * 32}, {"sha256": "0" * 64}):
        with pytest.raises(InputError, match=r"mismatch: expected 0{32}"):
            fetching.fetch({"url": host.url("set.tar.gz"), **pin})
    assert not fetching.files.exists()


def test_a_hub_dataset_is_fetched_at_its_commit(fetching: Fetching, monkeypatch: pytest.MonkeyPatch) -> None:
    def snapshot(name: str, *, repo_type: str, revision: str, allow_patterns: list[str], local_dir: Path) -> None:
        assert (name, repo_type, revision, allow_patterns) == ("a/b", "dataset", COMMIT, ["*.csv"])
        (local_dir / ".cache").mkdir(parents=True)
        (local_dir / "labels.csv").write_bytes(b"x")

    monkeypatch.setattr(module, "snapshot_download", snapshot)
    fetching.fetch({"dataset": "a/b", "revision": COMMIT, "files": ["*.csv"]})
    assert fetching.found() == {"labels.csv": b"x"}

    class Info:
        sha = COMMIT

    monkeypatch.setattr(module.HfApi, "dataset_info", lambda *_: Info)
    with pytest.raises(InputError, match=rf"a/b.*{COMMIT}"):
        fetching.fetch({"dataset": "a/b"})


@pytest.mark.parametrize("name", ["../out.txt", "/tmp/out.txt", "a/../../out.txt", "x/" * 40 + "y"])
@pytest.mark.parametrize("pack", [tar, zipped])
def test_no_member_leaves_its_folder(tmp_path: Path, pack: Any, name: str) -> None:
    archive = pack(tmp_path / "archive", {"good.txt": b"1", name: b"2"})
    with pytest.raises(InputError, match=re.escape(name)):
        unpack(archive, tmp_path / "within", max_bytes=1000)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["archive", "within"]


def test_what_unpacks_to_too_much_is_refused_and_links_are_left_out(tmp_path: Path) -> None:
    archive = zipped(tmp_path / "a.zip", {"zeros": bytes(10_000)})
    with pytest.raises(InputError, match=r"5e-06 GB"):
        unpack(archive, tmp_path / "one", max_bytes=5000)
    with tarfile.open(tmp_path / "b.tar", "w") as packed:
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        packed.addfile(link)
    with pytest.raises(InputError, match="no files"):
        unpack(tmp_path / "b.tar", tmp_path / "two", max_bytes=5000)
    (tmp_path / "c.tar.gz").write_bytes(tar(tmp_path / "whole", FILES).read_bytes()[:100])
    with pytest.raises(InputError, match="unpacking failed"):
        unpack(tmp_path / "c.tar.gz", tmp_path / "three", max_bytes=5000)


def test_images_are_found_by_name_where_a_copy_is_sorted_otherwise(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("filepath,class\n2024-03-20/1.jpg,a\n2024-03-20/gone.jpg,b\n")
    place = tmp_path / "images" / "Animalia-Chordata" / "1.jpg"
    place.parent.mkdir(parents=True)
    place.touch()
    given = LabelledFolder(labels=str(tmp_path / "labels.csv"), images=str(tmp_path / "images"), find="name")
    one, gone = read_labels(given)
    assert (one.image, one.path) == ("2024-03-20/1.jpg", place)
    assert not gone.path.exists()
    (tmp_path / "images" / "1.jpg").touch()
    with pytest.raises(InputError, match=r"row 2: .*1\.jpg"):
        list(read_labels(given))


def test_fetched_paths_are_the_workflows_own_and_not_requested_from_people() -> None:
    fetch = [{"url": "https://example.org/newt.tar.gz", "md5": "0" * 32}]
    values = {
        "run": "r",
        "corpus": "c",
        "generations": [{"sources": [{"name": "t", "reader": "table", "table": "t.csv"}]}],
        "taxonomy": {"backbones": [{"name": "b", "reader": "dwca", "path": "b"}]},
        "model": {"architecture": "ViT-B-16"},
        "train": {"epochs": 1, "global_batch": 8},
        "benchmarks": {"newt": {"layout": "newt", "folder": "{fetched}/newt", "fetch": fetch}},
    }
    config = load_config(json.loads(json.dumps(values)), "config", SiteSettings())
    newt = config.benchmarks["newt"]
    assert newt.folder == f"results/shared/benchmarks/fetched/newt-{newt.fetch_identity}/files/newt"
    assert not [key for key in config.given_files() if "newt" in key]
    values["benchmarks"]["newt"]["fetch"] = [fetch[0] | {"into": "../out"}]
    with pytest.raises(InputError, match=r"benchmarks\.newt: fetch\.0.*into"):
        load_config(values, "config", SiteSettings())
