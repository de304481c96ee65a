"""Downloads from Debian's nginx and Apache; skipped if they are not installed."""

import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.messages import says
from workflow_scripts.common.config.download import HostLimits

PICTURES = 40
# Requests per second that this nginx serves, over all clients.
RATE = 10

NGINX = """
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
{user}
events {{}}
http {{
  log_format short '$msec $status $uri "$http_user_agent" $connection';
  access_log {folder}/access.log short;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  limit_req_zone $server_port zone=all:1m rate={rate}r/s;
  limit_conn_zone $server_port zone=open:1m;
  limit_req_status 429;
  limit_conn_status 503;
  server {{
    listen 127.0.0.1:{port};
    root {folder};
    default_type image/jpeg;
    location /pictures/ {{ }}
    location /limited/ {{ alias {folder}/pictures/; limit_req zone=all burst=2 nodelay; limit_conn open 2; }}
  }}
  server {{
    listen 127.0.0.1:{tls} ssl;
    root {folder};
    ssl_certificate {folder}/expired.pem;
    ssl_certificate_key {folder}/key.pem;
  }}
}}
"""
APACHE = """
ServerRoot {folder}
ServerName localhost
PidFile {folder}/apache.pid
ErrorLog {folder}/error.log
Listen 127.0.0.1:{port}
{user}
Mutex posixsem
{modules}
TypesConfig /dev/null
DocumentRoot {folder}
<Directory {folder}>
  Require all granted
</Directory>
Alias /page {folder}/pictures
<Location /page>
  ForceType "text/html; charset=iso-8859-1"
</Location>
Alias /save {folder}/pictures
<Location /save>
  ForceType application/force-download
  Header set Content-Disposition attachment
</Location>
Alias /closed {folder}/pictures
<Location /closed>
  Header set X-Robots-Tag "treeoflife-workflow: noai"
</Location>
Alias /login {folder}/login.html
<Location /login>
  ForceType image/jpeg
</Location>
RewriteEngine on
RewriteCond %{{HTTP_COOKIE}} !seen=yes
RewriteRule ^/cookie/(.*)$ /cookie/$1 [CO=seen:yes:127.0.0.1:10:/,R=302,L]
RewriteRule ^/cookie/(.*)$ {folder}/pictures/$1 [L]
"""
APACHE_MODULES = ("mpm_event", "authz_core", "mime", "alias", "headers", "rewrite")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


@contextmanager
def running(command: list[str], port: int) -> Iterator[None]:
    """Run a server until the end of the block."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        for _ in range(200):
            assert process.poll() is None, process.stderr.read().decode() if process.stderr else ""
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                time.sleep(0.05)
        yield
    finally:
        process.terminate()
        process.wait(timeout=20)


@pytest.fixture(scope="module")
def folder(make_picture: Callable[..., bytes]) -> Iterator[Path]:
    """The served files, readable by any user."""
    with tempfile.TemporaryDirectory() as name:
        made = Path(name)
        made.chmod(0o755)
        (made / "pictures").mkdir()
        for number in range(PICTURES):
            (made / f"pictures/{number}").write_bytes(make_picture(number))
        (made / "login.html").write_text("<!DOCTYPE html><html><body>Log in</body></html>")
        yield made


class Nginx:
    """An nginx.

    Attributes:
        host: its host and port.
        tls: host and port with an expired certificate, signed by `authority`.
    """

    def __init__(self, folder: Path, port: int, tls: int) -> None:
        self.folder = folder
        self.host, self.tls = f"127.0.0.1:{port}", f"127.0.0.1:{tls}"
        self.authority = folder / "expired.pem"

    def answers(self) -> list[tuple[float, int, str]]:
        """Time, status and path of each request since the last call."""
        log = self.folder / "access.log"
        lines = [line.split(" ") for line in log.read_text().splitlines()]
        log.write_text("")
        return [(float(when), int(status), path) for when, status, path, *_ in lines]


@pytest.fixture(scope="module")
def nginx(folder: Path) -> Iterator[Nginx]:
    program = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin")
    if program is None:
        pytest.skip("no nginx here (Debian's package nginx)")
    key, request, certificate = (folder / name for name in ("key.pem", "request.pem", "expired.pem"))
    subject = ["-subj", "/CN=photos.example", "-addext", "subjectAltName=IP:127.0.0.1"]
    openssl = ["openssl", "req", "-newkey", "rsa:2048", "-nodes", "-keyout", key, *subject, "-out", request]
    subprocess.run(openssl, check=True, capture_output=True)
    sign = ["openssl", "x509", "-req", "-in", request, "-signkey", key, "-days", "-1", "-copy_extensions", "copy"]
    subprocess.run([*sign, "-out", certificate], check=True, capture_output=True)
    made = Nginx(folder, free_port(), free_port())
    port, tls = made.host.partition(":")[2], made.tls.partition(":")[2]
    # As root, nginx would run as nobody, which cannot read these files.
    user = "user root;" if Path("/").owner() == Path(folder).owner() else ""
    config = folder / "nginx.conf"
    config.write_text(NGINX.format(folder=folder, port=port, tls=tls, rate=RATE, user=user))
    with running([program, "-c", str(config), "-p", str(folder)], int(port)):
        yield made


@pytest.fixture(scope="module")
def apache(folder: Path) -> Iterator[str]:
    """The host and port of an Apache."""
    program = shutil.which("apache2", path="/usr/sbin:/usr/bin")
    if program is None:
        pytest.skip("no apache2 here (Debian's package apache2)")
    port = free_port()
    modules = Path("/usr/lib/apache2/modules")
    config = folder / "apache.conf"
    config.write_text(
        APACHE.format(
            folder=folder,
            port=port,
            user="User www-data\nGroup www-data" if Path("/").owner() == Path(folder).owner() else "",
            modules="\n".join(f"LoadModule {name}_module {modules}/mod_{name}.so" for name in APACHE_MODULES),
        )
    )
    with running([program, "-f", str(config), "-D", "FOREGROUND"], port):
        yield f"127.0.0.1:{port}"


def urls(host: str, path: str, count: int = PICTURES, scheme: str = "http") -> dict[str, str]:
    return {f"{path}-{number:03d}": f"{scheme}://{host}/{path}/{number}" for number in range(count)}


def test_a_policy_within_nginxs_limits_is_never_refused_and_one_above_them_loses_no_image(
    nginx: Nginx, tmp_path: Path, make_part: Any, make_run: Any
) -> None:
    for name, policy, count, is_within in (
        ("within", HostLimits(connections=2, rate=RATE / 2), PICTURES // 4, True),
        ("above", HostLimits(connections=4, rate=20 * RATE), PICTURES, False),
    ):
        run = make_run(tmp_path / name, make_part(tmp_path, urls(nginx.host, "limited", count), name=name))
        rows = run({"passes": 10, "images_per_tar": 100}, hosts={nginx.host: policy}, wait=0.2, timeout=20)
        assert {row["error"] for row in rows.values()} == {None}
        answers = [status for _, status, _ in nginx.answers()]
        assert answers.count(200) == count
        assert (set(answers) == {200}) is is_within


def test_an_expired_certificate_is_reported_and_can_be_ignored_per_host(
    nginx: Nginx, run_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(nginx.authority))
    run = run_of(urls(nginx.tls, "pictures", 12, "https") | {"other": f"http://{nginx.host}/pictures/1"})
    first = run({"passes": 1}, stop_after=3, wait=0, threads=1)
    dead = [row for uuid, row in first.items() if uuid != "other"]
    assert all(says(row["error"], "certificate: ", nginx.tls, "expired") for row in dead)
    assert any("was stopped" in row["error"] for row in dead)
    assert {row["unverified"] for row in first.values()} <= {False, None}
    nginx.answers()
    hosts = {"hosts": {nginx.tls: {"check_certificates": False}}}
    second = run({"passes": 1} | hosts, wait=0)
    assert {(row["status"], row["unverified"]) for uuid, row in second.items() if uuid != "other"} == {("ok", True)}
    assert (second["other"]["status"], second["other"]["unverified"]) == ("ok", False)
    assert len(nginx.answers()) == 12, "and only that host is asked"
    # Images fetched without a certificate check are requested again once it is on.
    third = run({"passes": 2}, stop_after=3, wait=0, threads=1)
    assert {third[uuid]["status"] for uuid in third} <= {"ok", "failed", "deferred"}
    assert [uuid for uuid, row in third.items() if row["status"] == "ok"] == ["other"]


def test_apaches_photos_are_recognized_by_their_bytes_and_its_cookies_are_returned(apache: str, run_of: Any) -> None:
    kinds = ("page", "save", "cookie", "closed")
    wanted = {uuid: url for kind in kinds for uuid, url in urls(apache, kind, 5).items()}
    rows = run_of(wanted | {"login": f"http://{apache}/login"})()
    for kind in kinds[:3]:
        assert {row["error"] for uuid, row in rows.items() if uuid.startswith(kind)} == {None}
    assert rows["page-000"]["content_type"].startswith("text/html")
    closed = {row["error"].partition(":")[0] for uuid, row in rows.items() if uuid.startswith("closed")}
    assert closed == {"disallowed_by_robots"}
    assert rows["login"]["error"].startswith("not_an_image")


def test_robots_directives_for_the_project_hold_under_the_sites_own_product_name(
    nginx: Nginx, apache: str, tmp_path: Path, make_part: Any, make_run: Any
) -> None:
    nginx.answers()
    part = make_part(tmp_path, urls(nginx.host, "pictures", 2) | urls(apache, "closed", 2))
    run = make_run(tmp_path, part)
    run.product = "beetle-lab/1.0"
    rows = run()
    assert {row["status"] for uuid, row in rows.items() if uuid.startswith("closed")} == {"refused"}
    log = (nginx.folder / "access.log").read_text()
    assert log.count("beetle-lab/1.0 (treeoflife-workflow; img2dataset; +mailto:someone@example.org)") == 2
