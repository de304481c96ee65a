"""The world's server over real HTTP, and the prefix that serves while its command runs."""

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.messages import says
from workflow_scripts.common.errors import InputError
from workflow_scripts.world import fake_bodies, site
from workflow_scripts.world.draw import encoded
from workflow_scripts.world.server import serving
from workflow_scripts.world.site import Page, empty_site

PICTURE = encoded(np.full((256, 256, 3), 90, np.uint8))


def free_port() -> int:
    with socket.create_server((site.FAST, 0)) as held:
        return int(held.getsockname()[1])


def make_site(folder: Path, port: int) -> Path:
    """A world with a few pages, most of them with a fault."""
    made = empty_site(port)
    bodies = {
        "good.jpg": PICTURE,
        "page.html": fake_bodies.PAGE,
        "cut_off.jpg": fake_bodies.cut_off(PICTURE),
        "huge.jpg": fake_bodies.huge_jpeg(PICTURE),
        "huge.png": fake_bodies.huge_png(),
        "pixel.jpg": fake_bodies.pixel(),
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in bodies.items():
        (folder / name).write_bytes(data)
        for host in made.hosts.values():
            host.pages[f"/{name}"] = Page(name)
    made.hosts[site.LYING].pages["/gone.jpg"] = Page(None, status=404, content_type="text/html")
    made.hosts[site.SLOW].pages["/noai.jpg"] = Page("good.jpg", headers={"X-Robots-Tag": "noai"})
    made.hosts[site.SLOW].pages["/moved.jpg"] = Page(None, status=302, headers={"Location": "/good.jpg"})
    made.hosts[site.BUSY].pages["/busy.jpg"] = Page("good.jpg", before=(429,))
    made.hosts[site.BUSY].pages["/down.jpg"] = Page("good.jpg", before=(503, 503))
    (folder / "world.json").write_text(json.dumps(made.to_json()))
    return folder


def get(port: int, host: str, path: str) -> tuple[int, http.client.HTTPMessage, bytes]:
    connection = http.client.HTTPConnection(host, port, timeout=10)
    connection.request("GET", path)
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, answer.headers, body


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def world(tmp_path: Path, port: int) -> Path:
    return make_site(tmp_path / "world", port)


@pytest.fixture
def served(world: Path, port: int) -> Iterator[int]:
    with serving(world):
        yield port


def prefix(world: Path, *command: str) -> list[str]:
    return [sys.executable, "-m", "workflow_scripts.world.serve", "--world", str(world), "--", *command]


def test_every_host_serves_its_images(served: int) -> None:
    for host in (site.FAST, site.SLOW, site.BUSY, site.LYING):
        status, headers, body = get(served, host, "/good.jpg")
        assert (status, headers["Content-Type"], body) == (200, "image/jpeg", PICTURE)
        assert get(served, host, "/nowhere.jpg")[0] == 404


def test_misleading_bodies_are_served_as_jpeg(served: int) -> None:
    def body_of(path: str) -> bytes:
        status, headers, body = get(served, site.LYING, path)
        assert (status, headers["Content-Type"]) == (200, "image/jpeg")
        assert int(headers["Content-Length"]) == len(body)
        return body

    assert b"<html" in body_of("/page.html")
    cut = body_of("/cut_off.jpg")
    assert PICTURE.startswith(cut) and not cut.endswith(b"\xff\xd9")
    pixel = cv2.imdecode(np.frombuffer(body_of("/pixel.jpg"), np.uint8), cv2.IMREAD_COLOR)
    assert pixel is not None and pixel.shape == (1, 1, 3)
    assert get(served, site.LYING, "/gone.jpg")[0] == 404


def test_huge_images_claim_sixty_thousand_pixels_a_side(tmp_path: Path) -> None:
    from PIL import Image

    Image.MAX_IMAGE_PIXELS = None
    for name, data in (("huge.jpg", fake_bodies.huge_jpeg(PICTURE)), ("huge.png", fake_bodies.huge_png())):
        (tmp_path / name).write_bytes(data)
        with Image.open(tmp_path / name) as image:
            assert image.size == (60_000, 60_000)
        assert len(data) < 100_000


def test_busy_and_broken_hosts_recover(served: int) -> None:
    status, headers, _ = get(served, site.BUSY, "/busy.jpg")
    assert (status, headers["Retry-After"]) == (429, str(site.RETRY_AFTER_SECONDS))
    assert get(served, site.BUSY, "/busy.jpg")[0] == 200
    assert [get(served, site.BUSY, "/down.jpg")[0] for _ in range(4)] == [503, 503, 200, 200]


def test_a_slow_host_delays_its_responses_and_sends_headers(served: int) -> None:
    started = time.monotonic()
    assert get(served, site.SLOW, "/noai.jpg")[1]["X-Robots-Tag"] == "noai"
    assert time.monotonic() - started >= 0.05
    status, headers, _ = get(served, site.SLOW, "/moved.jpg")
    assert (status, headers["Location"]) == (302, "/good.jpg")


def test_refusals_are_counted_over_all_servers_of_an_address(world: Path, port: int) -> None:
    with serving(world), serving(world), serving(world):
        answers = [get(port, site.BUSY, "/down.jpg")[0] for _ in range(30)]
    assert answers == [503, 503, *[200] * 28]
    with serving(world):
        assert get(port, site.BUSY, "/down.jpg")[0] == 503


def test_a_stopping_server_answers_queued_connections(world: Path, port: int) -> None:
    """One job ends while another job of the same world continues."""
    answers: list[int] = []
    failures: list[Exception] = []
    done = threading.Event()

    def ask() -> None:
        while not done.is_set():
            try:
                answers.append(get(port, site.FAST, "/good.jpg")[0])
            except OSError as error:
                failures.append(error)

    with serving(world):
        asking = [threading.Thread(target=ask) for _ in range(4)]
        for thread in asking:
            thread.start()
        for _ in range(2):
            subprocess.run(prefix(world, "sleep", "0.1"), check=True)
        done.set()
        for thread in asking:
            thread.join()
    assert set(answers) == {200}
    # The kernel may reset a handshake that completes just as the socket closes (net.ipv4.tcp_migrate_req is off).
    assert len(failures) <= 1


def test_another_world_on_the_port_is_named(world: Path, port: int, tmp_path: Path) -> None:
    other = make_site(tmp_path / "other", port)
    changed = json.loads((other / "world.json").read_text())
    changed["hosts"][site.FAST]["delay"] = 0.01
    (other / "world.json").write_text(json.dumps(changed))
    with (
        serving(world),
        pytest.raises(InputError, match=rf"\b{port}\b.*{re.escape(site.FAST)}.*world\.port"),
        serving(other),
    ):
        pass


def test_a_port_in_use_is_one_line_and_status_2(world: Path, port: int, tmp_path: Path) -> None:
    with socket.create_server((site.FAST, port)):
        done = subprocess.run(
            [*prefix(world, "true")[:-2], "--log", str(tmp_path / "log"), "--", "true"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 2
        assert says(done.stderr, str(port), "another program", "world.port")
        assert done.stderr.count("\n") == 1
        with socket.create_server((site.FAST, 0)) as free:
            other = free.getsockname()[1]
        with serving(make_site(tmp_path / "elsewhere", other)):
            pass


def test_a_folder_without_a_world_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=re.escape(str(tmp_path / "world.json"))), serving(tmp_path):
        pass


def test_two_prefixes_at_once_give_the_status_of_their_commands(world: Path, port: int) -> None:
    script = (
        "import sys, time, urllib.request\n"
        "for _ in range(10):\n"
        f"    assert urllib.request.urlopen('http://{site.FAST}:{port}/good.jpg', timeout=10).status == 200\n"
        "    time.sleep(0.03)\n"
        "sys.exit(int(sys.argv[1]))\n"
    )
    running = [subprocess.Popen(prefix(world, sys.executable, "-c", script, status)) for status in ("0", "7")]
    assert [process.wait(30) for process in running] == [0, 7]


def test_a_command_keeps_its_options_and_a_killed_one_its_signal(world: Path) -> None:
    done = subprocess.run(prefix(world, "echo", "--log", "-x", "--", "a b"), capture_output=True, text=True, check=True)
    assert done.stdout == "--log -x -- a b\n"
    killed = subprocess.run(prefix(world, "sh", "-c", "kill -KILL $$"), check=False)
    assert killed.returncode == 128 + signal.SIGKILL
    assert subprocess.run(prefix(world, "no-such-command"), check=False, capture_output=True).returncode == 2


def _child_of(process: subprocess.Popen[str]) -> int:
    """The pid of the command, which prints it when it starts."""
    assert process.stdout is not None
    return int(process.stdout.readline())


def _is_gone(pid: int) -> bool:
    ends = time.monotonic() + 10
    while time.monotonic() < ends:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return True
        if state == "Z":
            return True
        time.sleep(0.02)
    return False


SLEEPER = "echo $$; exec sleep 60"


def test_a_killed_prefix_kills_its_command(world: Path, tmp_path: Path) -> None:
    own = os.environ | {"TMPDIR": str(tmp_path)}
    process = subprocess.Popen(prefix(world, "sh", "-c", SLEEPER), stdout=subprocess.PIPE, text=True, env=own)
    child = _child_of(process)
    os.kill(process.pid, signal.SIGKILL)
    process.wait(10)
    assert _is_gone(child)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_reach_the_command(world: Path, number: signal.Signals) -> None:
    script = f"import os, signal, sys, time\nsignal.signal({int(number)}, lambda *_: sys.exit(5))\n"
    script += "print(os.getpid(), flush=True)\ntime.sleep(60)\n"
    process = subprocess.Popen(prefix(world, sys.executable, "-c", script), stdout=subprocess.PIPE, text=True)
    child = _child_of(process)
    process.send_signal(number)
    assert process.wait(10) == 5
    assert _is_gone(child)
