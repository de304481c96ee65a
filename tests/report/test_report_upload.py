"""Uploads to a stand-in for the Hugging Face Hub on loopback arrive completely, and the token is never shown."""

import base64
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

TOKEN = "hf_a_secret_that_nobody_may_read"
# Larger than the files that the hub keeps in git itself.
WEIGHTS = bytes(range(256)) * 5000


class Hub:
    """A hub that stores commits; it treats `.safetensors` as large files, which have their own address."""

    def __init__(self) -> None:
        self.repos: dict[str, dict[str, Any]] = {}
        self.files: dict[str, bytes] = {}
        self.large: dict[str, bytes] = {}
        self.tokens: set[str | None] = set()
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *words: Any) -> None:
                pass

            def do_POST(self) -> None:
                hub.tokens.add(self.headers["Authorization"])
                self.answer(hub.answer(self.path, self.rfile.read(int(self.headers["Content-Length"] or 0))))

            def do_PUT(self) -> None:
                hub.large[self.path.removeprefix("/large/")] = self.rfile.read(int(self.headers["Content-Length"]))
                self.answer({})

            def answer(self, said: dict[str, Any] | None) -> None:
                body = json.dumps(said or {"error": "no such page"}).encode()
                self.send_response(404 if said is None else 200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.http.serve_forever, args=(0.05,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self.http.server_port}"

    def answer(self, path: str, body: bytes) -> dict[str, Any] | None:
        match path.split("/")[1:]:
            case ["api", "repos", "create"]:
                asked = json.loads(body)
                name = f"{asked['organization']}/{asked['name']}"
                self.repos[name] = asked
                kind = "datasets/" if asked.get("type") == "dataset" else ""
                return {"url": f"{self.url}/{kind}{name}"}
            case ["api", "validate-yaml"]:
                return {"errors": [], "warnings": []}
            case ["api", "models" | "datasets", _, _, "preupload", "main"]:
                kinds = {True: "lfs", False: "regular"}
                files = [file["path"] for file in json.loads(body)["files"]]
                modes = [{"path": path, "uploadMode": kinds[path.endswith(".safetensors")]} for path in files]
                return {"files": [mode | {"shouldIgnore": False} for mode in modes]}
            case [*_, "info", "lfs", "objects", "batch"]:
                objects = json.loads(body)["objects"]
                return {
                    "transfer": "basic",
                    "objects": [
                        one | {"actions": {"upload": {"href": f"{self.url}/large/{one['oid']}"}}} for one in objects
                    ],
                }
            case ["api", "models" | "datasets", owner, name, "commit", "main"]:
                for line in map(json.loads, body.splitlines()):
                    if line["key"] == "file":
                        self.files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
                    elif line["key"] == "lfsFile":
                        self.files[line["value"]["path"]] = self.large[line["value"]["oid"]]
                return {"commitUrl": f"{self.url}/{owner}/{name}/commit/0", "commitOid": "0" * 40, "success": True}
        return None


@pytest.fixture
def hub() -> Iterator[Hub]:
    made = Hub()
    yield made
    made.http.shutdown()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "publish"
    (made / "data").mkdir(parents=True)
    (made / "README.md").write_text("---\nlicense: mit\n---\n# A model\n")
    (made / "data/rows.csv").write_text("a,b\n1,2\n")
    (made / "model.safetensors").write_bytes(WEIGHTS)
    (made / ".README.md.part").write_text("half-written")
    return made


def upload(address: str, home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run the command with the hub's address and the token in the environment."""
    # The stand-in speaks the older protocol for large files.
    environment = os.environ | {"HF_ENDPOINT": address, "HF_HOME": str(home), "HF_HUB_DISABLE_XET": "1"}
    command = [sys.executable, "-m", "workflow_scripts.report.upload", *words]
    return subprocess.run(
        command, env=environment | {"HF_TOKEN": TOKEN}, capture_output=True, text=True, check=False, timeout=60
    )


@pytest.mark.parametrize("kind", ["model", "dataset"])
def test_a_folder_is_uploaded_completely_to_a_private_repository(
    hub: Hub, folder: Path, tmp_path: Path, kind: str
) -> None:
    home = tmp_path / "home"
    done = upload(hub.url, home, "--folder", str(folder), "--repo", "group/beetles", "--kind", kind)
    assert done.returncode == 0, done.stderr
    place = f"{hub.url}/{'datasets/' if kind == 'dataset' else ''}group/beetles"
    assert "3 files" in (said := done.stdout.splitlines()[-1]) and place in said
    assert hub.repos["group/beetles"]["visibility"] == "private"
    sent = [path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(".")]
    assert hub.files == {path.relative_to(folder).as_posix(): path.read_bytes() for path in sent}
    assert hub.tokens == {f"Bearer {TOKEN}"}
    kept = [path.read_text(errors="replace") for path in home.rglob("*") if path.is_file()]
    assert not any(TOKEN in text for text in [done.stdout, done.stderr, *kept])


def test_a_hub_that_cannot_be_reached_is_one_line(hub: Hub, folder: Path, tmp_path: Path) -> None:
    hub.http.shutdown()
    hub.http.server_close()
    done = upload(hub.url, tmp_path / "home", "--folder", str(folder), "--repo", "group/beetles", "--kind", "model")
    assert done.returncode == 2
    assert "group/beetles: " in done.stderr
    assert "Connection refused" in done.stderr
    assert "Traceback" not in done.stderr
    assert TOKEN not in done.stderr
