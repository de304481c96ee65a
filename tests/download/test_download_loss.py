"""Losses of downloads, made by the real steps: the message names a remedy, and the remedy works."""

import csv
import json
import re
import socket
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.download.conftest import LIMITS, SETTINGS, Server, picture
from tests.download.test_download_bans import Bouncer
from tests.messages import says
from workflow_scripts.common import tables
from workflow_scripts.common.config.download import DownloadLimits, DownloadSettings
from workflow_scripts.common.config.loss import LossSettings
from workflow_scripts.common.errors import InputError
from workflow_scripts.contracts import CATALOG
from workflow_scripts.download.fetch import fetch
from workflow_scripts.download.gather import gather
from workflow_scripts.download.loss import check_loss
from workflow_scripts.download.retry import retry

SETTING = DownloadSettings(**SETTINGS | {"passes": 1})
LIMIT = DownloadLimits(**LIMITS | {"wait": 0})


@dataclass
class Corpus:
    """A corpus of one part with the images of some sources."""

    folder: Path
    settings: DownloadSettings = SETTING
    limits: DownloadLimits = LIMIT

    def catalog(self, sources: Mapping[str, list[str]]) -> None:
        """Write the catalog: URLs or paths by source."""
        rows = [
            {"uuid": f"{source}-{number}", "label_id": "l", "data_source": "gbif", "catalog_source": source}
            | {"source_url": url, "host": "" if url.startswith("/") else url.split("/")[2], "generation": 0, "part": 0}
            for source, urls in sources.items()
            for number, url in enumerate(urls)
        ]
        tables.write_rows(rows, CATALOG, self.part)

    @property
    def part(self) -> Path:
        return self.folder / "part-0000.parquet"

    @property
    def manifest(self) -> Path:
        return self.folder / "part-0000/manifest.parquet"

    def fetch(self) -> None:
        fetch(
            part=self.part, settings=self.settings, limits=self.limits, work=self.folder / "work",
            out_dir=self.manifest.parent,
        )  # fmt: skip

    def retry(self) -> None:
        retry(
            parts=(self.part,), manifests=(self.manifest,), settings=self.settings, limits=self.limits,
            work=self.folder / "work",
        )  # fmt: skip

    def check(self, **max_loss: Any) -> list[dict[str, Any]]:
        """Gather the part and check its losses; returns the losses."""
        account, hosts = self.folder / "g000.account.json", self.folder / "g000.hosts.parquet"
        lost, out = self.folder / "g000.lost.csv", self.folder / "g000.loss.json"
        gather(
            catalog=(self.part,), manifests=(self.manifest,), parts=(0,), out=self.folder / "g000.parquet",
            account=account, hosts=hosts, lost=lost,
        )  # fmt: skip
        check_loss(account=account, hosts=hosts, lost=lost, max_loss=LossSettings(**max_loss), out=out)
        return list(json.loads(out.read_text()))

    def complaint(self, **max_loss: Any) -> str:
        with pytest.raises(InputError) as caught:
            self.check(**max_loss)
        assert "\n" not in str(caught.value)
        print(f"\n{caught.value}")
        return str(caught.value)


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    return Corpus(tmp_path)


def photos(folder: Path, names: range) -> list[str]:
    """Paths of photos in a folder; only those with even numbers exist."""
    folder.mkdir(exist_ok=True)
    for number in names:
        if number % 2 == 0:
            (folder / f"{number}.jpg").write_bytes(picture(number))
    return [str(folder / f"{number}.jpg") for number in names]


def test_missing_files_are_counted_listed_and_read_by_a_retry(corpus: Corpus, server: Server) -> None:
    mine = photos(corpus.folder / "photos", range(10))
    corpus.catalog({"mine": mine, "other": [server.url(f"ok/{number}") for number in range(30)]})
    corpus.fetch()
    said = corpus.complaint()
    assert says(said, "download", "mine", "5 of 10", "50 %", "10 %", "missing_file 5", "g000.lost.csv")
    assert says(said, "files", "snakemake retry_failed", "max_loss.sources.mine: 0.5")
    with (corpus.folder / "g000.lost.csv").open() as file:
        listed = list(csv.DictReader(file))
    assert [row["source_url"] for row in listed] == mine[1::2]
    assert {row["source"] for row in listed} == {"mine"}
    # Both remedies of the message.
    assert [row["lost"] for row in corpus.check(sources={"mine": 0.5})] == [5, 0]
    for number, path in enumerate(mine[1::2]):
        Path(path).write_bytes(picture(100 + number))
    corpus.retry()
    assert {row["lost"] for row in corpus.check()} == {0}


def test_a_host_that_refuses_is_named_and_max_loss_continues_without_its_images(corpus: Corpus, server: Server) -> None:
    gone = [server.url(f"missing/{number}") for number in range(6)]
    corpus.catalog({"tol": [*gone, *(server.url(f"ok/{number}") for number in range(4))]})
    corpus.fetch()
    said = corpus.complaint()
    assert says(said, "tol", "6 of 10", "60 %", "50 %", f"http_error 6 at {server.host}", "g000.lost.csv")
    # A retry would not help, and the message does not suggest it.
    assert "retry_failed" not in said
    enough = re.search(r"max_loss\.sources\.tol: ([\d.]+)", said)
    assert enough
    (found,) = corpus.check(sources={"tol": float(enough[1])})
    assert (found["lost"], found["rows_in"]) == (6, 10)


def test_a_dead_network_stops_the_run_and_a_retry_downloads_once_it_is_back(corpus: Corpus, server: Server) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        dead = f"127.0.0.1:{taken.getsockname()[1]}"
    urls = [f"http://{dead}/ok/{number}" for number in range(4)]
    corpus.catalog({"tol": urls})
    corpus.fetch()
    # No maximum loss lets a corpus without images pass.
    said = corpus.complaint(network=1)
    assert says(said, "no images", "4 images", f"connection 4 at {dead}", "g000.lost.csv", "snakemake retry_failed")
    handler: Any = server.http.RequestHandlerClass
    back = ThreadingHTTPServer(("127.0.0.1", int(dead.rpartition(":")[2])), handler)
    threading.Thread(target=back.serve_forever, args=(0.05,), daemon=True).start()
    corpus.retry()
    back.shutdown()
    back.server_close()
    assert corpus.check()[0]["lost"] == 0


@pytest.mark.parametrize(
    ("refusing", "kind", "cause", "mended"),
    [
        ({"min_size": 1000}, "ok", "too_small", {"min_size": 100}),
        ({"max_pixels": 1000}, "ok", "too_large", {"max_pixels": 10**6}),
        ({"max_bytes": 1000}, "ok", "too_large", {"max_bytes": 10**6}),
        ({"allow_hosts": []}, "ok", "disallowed_address", {"allow_hosts": ["127.0.0.0/8"]}),
        ({}, "noai", "disallowed_by_robots", {"respect_robots": False}),
    ],
)
def test_the_setting_that_a_message_names_accepts_the_images(
    tmp_path: Path, server: Server, *, refusing: dict[str, Any], kind: str, cause: str, mended: dict[str, Any]
) -> None:
    corpus = Corpus(tmp_path, SETTING.model_copy(update=refusing))
    corpus.catalog({"tol": [server.url(f"{kind}/{number}") for number in range(3)]})
    corpus.fetch()
    said = corpus.complaint()
    assert says(said, f"{cause} 3", *(f"download.{key}" for key in mended))
    corpus.settings = SETTING.model_copy(update=mended)
    corpus.fetch()
    assert corpus.check()[0]["lost"] == 0


def test_photos_that_need_more_memory_are_retried_only_with_more_memory(corpus: Corpus) -> None:
    for name, (width, height) in {"large": (3000, 2000), "small": (320, 240)}.items():
        (corpus.folder / name).write_bytes(picture(1, width, height, "PNG"))
    corpus.catalog({"mine": [str(corpus.folder / name) for name in ("large", "small")]})
    corpus.limits = LIMIT.model_copy(update={"image_memory_mb": 24})
    corpus.fetch()
    said = corpus.complaint()
    assert says(said, "needs_memory 1", "Remedy: raise limits.download.image_memory_mb", "retry_failed", " 1 of them")
    assert said.count("retry_failed") == 1
    (listed,) = csv.DictReader((corpus.folder / "g000.lost.csv").open())
    enough = re.search(r"(\d+) MiB", listed["detail"])
    assert enough, listed
    # Plus one MiB, since the message rounds down.
    corpus.limits = LIMIT.model_copy(update={"image_memory_mb": int(enough[1]) + 1})
    corpus.retry()
    assert corpus.check()[0]["lost"] == 0


def test_photos_refused_by_type_are_accepted_by_their_hosts_setting(corpus: Corpus, server: Server) -> None:
    corpus.settings = SETTING.model_copy(update={"content_types": ["image/png"]})
    corpus.catalog({"museum": [server.url(f"ok/{number}") for number in range(2)]})
    corpus.fetch()
    said = corpus.complaint()
    key = re.search(r"download\.hosts: (\{.*?\}\}) ", said)
    assert says(said, "not_an_image 2") and key
    hosts = DownloadSettings(hosts=yaml.safe_load(key[1])).hosts
    corpus.settings = corpus.settings.model_copy(update={"hosts": hosts})
    corpus.fetch()
    assert corpus.check()[0]["lost"] == 0


def test_a_message_names_the_limit_of_a_host_that_bans_and_lowering_it_helps(
    corpus: Corpus, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    bouncer = Bouncer(server, [10, 15], seconds=0.25)
    monkeypatch.setattr(
        type(server), "do_guarded", lambda self, to, number, asked: bouncer.answer(to, 10 * number), raising=False
    )
    corpus.catalog({"museum": [server.url(f"guarded/{number}") for number in range(60)]})
    corpus.limits = DownloadLimits(**LIMITS | {"wait": 0.3, "stop_after": 5, "threads": 1})
    corpus.fetch()
    said = corpus.complaint()
    assert says(said, "museum", "http_error", server.host, "banned", "Lower limits.download.hosts", "rate: 500")
    bouncer.pardon()
    lower = {server.host: {"rate": 500, "connections": 1}}
    corpus.limits = DownloadLimits(**LIMITS | {"wait": 0, "hosts": lower})
    corpus.retry()
    corpus.check(network=0)
