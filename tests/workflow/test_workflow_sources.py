"""Files that the workflow fetches, here from a local server: pinned, complete, and fetched once."""

import functools
import hashlib
import json
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest

from tests.messages import says
from workflow_scripts.common.config.taxonomy import Backbone

TAXA = """taxonID\tparentNameUsageID\tacceptedNameUsageID\tscientificName\ttaxonRank\ttaxonomicStatus
1\t\t\tPlantae\tkingdom\taccepted
2\t1\t\tQuercus\tgenus\taccepted
3\t2\t\tQuercus alba L.\tspecies\taccepted
"""


pytestmark = pytest.mark.slow


@dataclass
class Server:
    """Serves the files of `folder`, and remembers what it was asked for."""

    folder: Path
    url: str = ""
    asked: list[str] = field(default_factory=list)


@pytest.fixture
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    made = Server(tmp_path_factory.mktemp("served"))

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, *words: Any) -> None:
            pass

        def do_GET(self) -> None:
            made.asked.append(self.path)
            super().do_GET()

    http = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(made.folder)))
    threading.Thread(target=http.serve_forever, args=(0.05,), daemon=True).start()
    made.url = f"http://127.0.0.1:{http.server_port}"
    yield made
    http.shutdown()
    http.server_close()


def test_a_backbone_is_fetched_as_pinned_and_a_folder_needs_no_common_names(fresh: Any, server: Server) -> None:
    with zipfile.ZipFile(server.folder / "backbone.zip", "w") as archive:
        archive.writestr("backbone/Taxon.tsv", TAXA)
    (fresh.folder / "local" / "inner").mkdir(parents=True)
    (fresh.folder / "local" / "inner" / "Taxon.tsv").write_text(TAXA)
    pin = hashlib.sha256((server.folder / "backbone.zip").read_bytes()).hexdigest()

    def build(sha256: str) -> Any:
        backbones = [
            {"name": "remote", "reader": "dwca", "url": f"{server.url}/backbone.zip", "sha256": sha256},
            {"name": "local", "reader": "dwca", "path": "local"},
        ]
        files = [f"{Backbone.model_validate(one).folder('results/shared')}/backbone.duckdb" for one in backbones]
        return files, fresh.snakemake("--config", f"taxonomy={json.dumps({'backbones': backbones})}", "--", *files)

    _, done = build("0" * 64)
    assert done.returncode != 0
    assert says(done.stdout + done.stderr, f"{server.url}/backbone.zip: ", pin, "0000")
    assert not list(fresh.path("results/shared/backbones").rglob("archive.zip"))
    files, done = build(pin)
    assert done.returncode == 0, done.stderr
    for file in files:
        with duckdb.connect(str(fresh.path(file)), read_only=True) as connection:
            assert connection.execute("SELECT max(scientific_name) FROM taxa").fetchone() == ("Quercus alba",)
    assert len(server.asked) == 2
    assert "Nothing to be done" in build(pin)[1].stderr


def test_a_source_is_fetched_by_a_rule_of_its_own(fresh: Any, server: Server) -> None:
    table = server.folder / "beetles.csv"
    table.write_text("url,genus,species\nhttps://photos.example/1.jpg,Coccinella,septempunctata\n")
    remote = {"url": f"{server.url}/beetles.csv", "sha256": hashlib.sha256(table.read_bytes()).hexdigest()}
    source = {"name": "mine", "reader": "table", "table": remote}
    words = ("--config", f"generations={json.dumps([{'parts': 1, 'sources': [source]}])}", "--")
    printed = fresh.run("-np", *words[:2], "--", "fetch")
    assert "HF_HUB_OFFLINE=0 python -m workflow_scripts.catalog.fetch --remote" in printed
    records = "results/corpora/micro/catalog/g000/sources/mine.parquet"
    fresh.run(*words, records)
    (row,) = pq.read_table(fresh.path(records)).to_pylist()
    assert (row["source_url"], row["genus"]) == ("https://photos.example/1.jpg", "Coccinella")
    (record,) = fresh.path("results/shared/sources").rglob("beetles.csv.fetched.json")
    assert json.loads(record.read_text())["remote"] == remote
