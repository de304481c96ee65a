"""Metadata is fetched from stand-ins for Hugging Face, GBIF and a web server, on loopback."""

import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from workflow_scripts.catalog.fetch import fetch
from workflow_scripts.common import web_files
from workflow_scripts.common.config.catalog import Remote
from workflow_scripts.common.errors import InputError

CONTENT = b"not really parquet" * 50_000
PIN = hashlib.sha256(CONTENT).hexdigest()
COMMIT = "a8f38b4" + "0" * 33
KEY = "0001234-250101000000000"
DOI = "10.15468/dl.abc123"
TOKEN = "hf_a_secret_that_nobody_may_read"


class Server:
    """All three servers in one: `pages` are the answers by path, `tokens` the Authorization headers received."""

    def __init__(self) -> None:
        self.tokens: set[str | None] = set()
        self.pages: dict[str, tuple[bytes, dict[str, str]]] = {}
        server = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *words: Any) -> None:
                pass

            def do_HEAD(self) -> None:
                self.do_GET()

            def do_GET(self) -> None:
                server.tokens.add(self.headers["Authorization"])
                body, headers = server.pages.get(self.path, (b"", {}))
                self.send_response(200 if self.path in server.pages else 404)
                for name, value in ({"Content-Length": str(len(body))} | headers).items():
                    self.send_header(name, value)
                self.end_headers()
                if self.command == "GET":
                    self.wfile.write(body)

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.http.serve_forever, args=(0.05,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self.http.server_port}"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(web_files, "BACKOFF_SECONDS", 0.01)
    made = Server()
    yield made
    made.http.shutdown()
    made.http.server_close()


def from_hub(server: Server, folder: Path, etag: str) -> subprocess.CompletedProcess[str]:
    """Run the command as the rule does: the hub's address and token come from the environment."""
    path = f"/datasets/imageomics/TreeOfLife-200M/resolve/{COMMIT}/dataset/catalog.parquet"
    server.pages[path] = (CONTENT, {"ETag": f'"{etag}"', "X-Repo-Commit": COMMIT, "Accept-Ranges": "bytes"})
    remote = Remote(dataset="imageomics/TreeOfLife-200M", revision=COMMIT, file="dataset/catalog.parquet")
    words = ("--remote", remote.to_json(), "--out", str(folder / "catalog.parquet"))
    words += ("--record", str(folder / "record.json"), "--log", str(folder / "log"))
    settings = {"HF_ENDPOINT": server.url, "HF_TOKEN": TOKEN, "HF_HUB_OFFLINE": "0", "HF_HOME": str(folder / "home")}
    command = [sys.executable, "-m", "workflow_scripts.catalog.fetch", *words]
    return subprocess.run(command, env=os.environ | settings, capture_output=True, text=True, check=False)


def test_a_file_on_the_hub_is_fetched_at_its_commit_and_the_token_stays_secret(server: Server, tmp_path: Path) -> None:
    done = from_hub(server, tmp_path, PIN)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "catalog.parquet").read_bytes() == CONTENT
    record = json.loads((tmp_path / "record.json").read_text())
    assert (record["sha256"], record["bytes"], record["remote"]["revision"]) == (PIN, len(CONTENT), COMMIT)
    assert f"Bearer {TOKEN}" in server.tokens
    assert TOKEN not in (tmp_path / "log").read_text() + done.stdout + done.stderr
    assert not (tmp_path / ".catalog.parquet.coming").exists()


def test_a_file_that_differs_from_the_hubs_checksum_is_refused(server: Server, tmp_path: Path) -> None:
    done = from_hub(server, tmp_path, "0" * 64)
    assert done.returncode == 2
    assert "dataset/catalog.parquet: SHA-256" in done.stderr
    assert not (tmp_path / "catalog.parquet").exists()


def serve_gbif(server: Server, **changes: Any) -> None:
    about = {"key": KEY, "doi": DOI, "status": "SUCCEEDED", "size": len(CONTENT), "created": "2025-01-01T00:00:00Z"}
    about |= {"license": "http://creativecommons.org/licenses/by-nc/4.0/legalcode"} | changes
    for name in (KEY, DOI):
        server.pages[f"/occurrence/download/{name}"] = (json.dumps(about).encode(), {})
    server.pages[f"/occurrence/download/request/{KEY}.zip"] = (CONTENT, {"ETag": '"one"'})


@pytest.mark.parametrize("name", [KEY, DOI])
def test_a_gbif_download_is_fetched_by_key_or_doi_with_its_citation(server: Server, tmp_path: Path, name: str) -> None:
    serve_gbif(server)
    out, record = tmp_path / "occurrences.zip", tmp_path / "record.json"
    fetch(remote=Remote(gbif=name), out=out, record=record, gbif_api=server.url)
    assert out.read_bytes() == CONTENT
    said = json.loads(record.read_text())
    assert said["citation"] == f"GBIF.org (2025-01-01) GBIF Occurrence Download https://doi.org/{DOI}"
    assert (said["doi"], said["sha256"], said["license"][:31]) == (DOI, PIN, "http://creativecommons.org/lice")


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"status": "RUNNING"}, f"{KEY}: .*RUNNING"),
        ({"status": "FILE_ERASED"}, f"{KEY}: .*FILE_ERASED"),
        ({"size": 17}, rf"{KEY}: .*\b17\b.*\b{len(CONTENT)}\b"),
        ({"key": "../../etc"}, rf"{KEY}: .*'\.\./\.\./etc'"),
    ],
)
def test_an_unavailable_gbif_download_is_named(
    server: Server, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    serve_gbif(server, **changes)
    out = tmp_path / "occurrences.zip"
    with pytest.raises(InputError, match=message):
        fetch(remote=Remote(gbif=KEY), out=out, record=tmp_path / "record.json", gbif_api=server.url)
    assert not out.exists()
    assert not (tmp_path / "record.json").exists()


def test_a_file_from_a_url_is_checked_against_its_pin(server: Server, tmp_path: Path) -> None:
    server.pages["/media_manifest.csv"] = (CONTENT, {})
    out, record = tmp_path / "media_manifest.csv", tmp_path / "record.json"
    url = f"{server.url}/media_manifest.csv"
    with pytest.raises(InputError, match=f"expected {'0' * 64}, found"):
        fetch(remote=Remote(url=url, sha256="0" * 64), out=out, record=record)
    assert not out.exists()
    fetch(remote=Remote(url=url, sha256=PIN), out=out, record=record)
    assert json.loads(record.read_text())["remote"] == {"url": url, "sha256": PIN}


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"url": "https://x.org/a.csv", "gbif": KEY},
        {"dataset": "imageomics/TreeOfLife-200M", "file": "catalog.parquet"},
        {"dataset": "imageomics/TreeOfLife-200M", "file": "catalog.parquet", "revision": "main"},
        {"gbif": "not a key"},
        {"url": "file:///etc/passwd"},
    ],
)
def test_a_remote_must_name_one_version_of_one_file(given: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"url, dataset and gbif|revision|pattern"):
        Remote.model_validate(given)
