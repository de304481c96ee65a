"""Photos at an address that is not allowed are refused; once it is allowed, only they are fetched."""

from typing import Any

import pytest
import yaml

from tests.download.conftest import Server
from tests.messages import says
from tests.workflow.test_workflow_losses import NAMES, own_photos

pytestmark = pytest.mark.slow

INSIDE, ALLOWED = 12, 6


def test_a_setting_that_allows_an_address_requests_only_what_it_had_refused(fresh: Any) -> None:
    server = Server()
    port = server.http.server_port
    own_photos(fresh.folder, there=0, of=1)
    addresses = [f"http://127.0.0.9:{port}/ok/{number}" for number in range(INSIDE)]
    addresses += [f"http://127.0.0.1:{port}/large/{number}" for number in range(ALLOWED)]
    rows = [f"{address},{NAMES[number % 3]}" for number, address in enumerate(addresses)]
    fresh.path("mine.csv").write_text("\n".join(["url,species", *rows]) + "\n")
    config = yaml.safe_load(fresh.path("mine.yaml").read_text())

    def run(allowed: list[str]) -> Any:
        fresh.path("mine.yaml").write_text(yaml.safe_dump(config | {"download": {"allow_hosts": allowed}}))
        return fresh.typed("snakemake data --profile profiles/local --configfile mine.yaml")

    done = run(["127.0.0.1"])
    assert done.returncode != 0
    last = done.stderr.splitlines()[-1]
    assert says(last, "error: ", f"{INSIDE} of {INSIDE + ALLOWED} images", "disallowed_address", "download.allow_hosts")
    assert sum(server.asked.values()) == ALLOWED
    done = run(["127.0.0.1", "127.0.0.9"])
    assert done.returncode == 0, done.stderr
    assert says(done.stderr, f"{INSIDE + ALLOWED} rows in, {INSIDE + ALLOWED} kept")
    assert set(server.asked.values()) == {1}
    server.http.shutdown()
    server.http.server_close()
