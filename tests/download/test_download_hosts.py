"""Requests keep a host's policy, slow down after refusals, and stop once the host refuses nearly all."""

import threading
import time
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.messages import says
from workflow_scripts.common import tables
from workflow_scripts.common.config.download import DownloadLimits, HostLimits
from workflow_scripts.common.host_parts import share_of
from workflow_scripts.contracts import NAMED_HOSTS, TO_FETCH
from workflow_scripts.download.attempts import Fault, Row
from workflow_scripts.download.budget import Budget
from workflow_scripts.download.hosts import BAN_AFTER, Hosts
from workflow_scripts.download.passes import judge
from workflow_scripts.download.schedule import Schedule

BUSY = Fault("http_error", "503", transient=True)
FORBIDDEN = Fault("http_error", "403")


def hosts(**limits: Any) -> Hosts:
    given = {"default_host": HostLimits(connections=2, rate=100), "stop_after": 4, "max_wait": 0.5} | limits
    return of_job(DownloadLimits(**given))


def of_job(limits: DownloadLimits, **budget: Any) -> Hosts:
    return Hosts(limits, threading.Event(), Budget(limits, **budget))


def rows(**images: int) -> list[Row]:
    return [
        Row(f"{host}{number}", f"http://{host}/{number}", host) for host in images for number in range(images[host])
    ]


def schedule(policies: Hosts, wanted: list[Row], **options: Any) -> Schedule:
    return Schedule(wanted, hosts=policies, stopping=threading.Event(), **options)


@settings(deadline=None)
@given(st.integers(1, 50), st.integers(1, 70), st.floats(0.1, 1000))
def test_the_shares_of_all_parts_add_up_to_the_policy(connections: int, parts: int, rate: float) -> None:
    shares = [share_of(HostLimits(connections=connections, rate=rate), parts, turn) for turn in range(parts)]
    assert sum(share for share, _ in shares) == connections
    assert sum(rate for _, rate in shares) == pytest.approx(rate)


def test_a_host_has_no_more_images_in_flight_than_connections_and_others_continue() -> None:
    wanted = rows(a=4, b=2)
    plan = schedule(hosts(), wanted)
    taken = [wanted[plan.take().numbers[0]].host for _ in range(4)]
    assert sorted(taken) == ["a", "a", "b", "b"]
    waiting = threading.Thread(target=plan.take, daemon=True)
    waiting.start()
    waiting.join(0.2)
    assert waiting.is_alive()
    plan.done("a")
    waiting.join(2)
    assert not waiting.is_alive()


def test_requests_are_spread_over_time() -> None:
    policies = hosts(default_host=HostLimits(connections=100, rate=40))
    plan = schedule(policies, rows(a=9))
    started = time.monotonic()
    for _ in range(9):
        plan.take()
    assert time.monotonic() - started >= 8 / 40


def test_rows_with_one_url_are_one_task() -> None:
    wanted = [Row("x", "http://a/1", "a"), Row("y", "http://a/1", "a"), Row("z", "http://a/2", "a")]
    plan = schedule(hosts(), wanted)
    assert [plan.take().numbers for _ in range(2)] == [(0, 1), (2,)]


def test_a_refusal_halves_the_rate_once_and_good_answers_restore_it() -> None:
    policies = hosts(stop_after=50)
    gate = policies.gate("a")
    begun = time.monotonic()
    for _ in range(3):
        assert policies.refused("a", BUSY, begun, slow_down=True) is BUSY
    assert gate.rate == 50
    policies.refused("a", BUSY, time.monotonic(), slow_down=True)
    assert gate.rate == 25
    policies.good("a", time.monotonic())
    assert 25 < gate.rate < 30
    for _ in range(60):
        policies.good("a", time.monotonic())
    assert gate.rate == 100


def test_a_host_that_refuses_nearly_all_is_stopped_until_the_next_pass() -> None:
    policies = hosts()
    plan = schedule(policies, rows(a=3, b=1))
    for _ in range(4):
        policies.refused("a", FORBIDDEN, time.monotonic())
    faults = {str(task.fault).partition(":")[0] for task in (plan.take() for _ in range(4)) if task.fault}
    assert faults == {"http_error"}
    assert list(policies.stopped()) == ["a"]
    policies.begin_pass()
    assert schedule(policies, rows(a=1)).take().fault is None
    policies.unreachable("a", Fault("connection", "nobody there"))
    assert list(policies.stopped()) == ["a"]
    policies.begin_pass()
    policies.good("a", time.monotonic())
    policies.refused("a", FORBIDDEN, time.monotonic())
    assert not policies.stopped()


def test_other_jobs_send_a_stopped_host_one_request_until_it_serves_again(tmp_path: Path) -> None:
    limits = DownloadLimits(stop_after=4)

    def job() -> Hosts:
        return Hosts(limits, threading.Event(), Budget(limits), tmp_path)

    first = job()
    for _ in range(4):
        first.refused("a", FORBIDDEN, time.monotonic())
    assert list(first.stopped()) == ["a"]
    second = job()
    second.refused("a", FORBIDDEN, time.monotonic())
    assert list(second.stopped()) == ["a"]
    job().good("a", time.monotonic())
    after = job()
    after.refused("a", FORBIDDEN, time.monotonic())
    assert not after.stopped()


def test_a_redirect_to_a_host_of_other_parts_is_not_followed(tmp_path: Path) -> None:
    rows = [{"uuid": "u", "source_url": "http://own/1", "host": "own", "crop": None, "host_parts": 2, "host_turn": 1}]
    tables.write_rows(rows, TO_FETCH, tmp_path / "part.parquet")
    named = tmp_path / "named.parquet"
    tables.write_rows([{"host": host, "images": 1} for host in ("own", "theirs")], NAMED_HOSTS, named)
    limits = DownloadLimits(default_host=HostLimits(connections=6, rate=12))
    budget = Budget(limits, tmp_path / "part.parquet", others=(named,), parts=2, turn=0)
    assert budget.of("own") == (3, 6)
    assert budget.of("theirs") == (0, 0)
    assert budget.of("nobodys") == (3, 6)
    assert Budget(limits).of("theirs") == (6, 12)


def test_retry_after_is_obeyed_up_to_max_wait() -> None:
    policies = hosts()
    plan = schedule(policies, rows(a=1, b=1, c=1))
    assert policies.refused("a", BUSY, 0.0, rest=0.3) is BUSY
    assert policies.refused("b", BUSY, 0.0, rest=60).status == "deferred"
    started = time.monotonic()
    tasks = [plan.take() for _ in range(3)]
    assert time.monotonic() - started >= 0.3
    (said,) = [str(task.fault) for task in tasks if task.fault]
    assert says(said, "http_error: b", "60 s", "limits.download.max_wait")
    assert tasks[-1].fault is None
    assert hosts(max_wait=60).refused("b", BUSY, 0.0, rest=60) is BUSY


def test_faults_of_a_forbidden_host_do_not_keep_each_other_alive() -> None:
    policies = hosts()
    policies.forbid("a", Fault("disallowed_address", "10.0.0.1", status="refused"))
    plan = schedule(policies, rows(a=3))
    faults = [plan.take().fault for _ in range(3)]
    for fault in faults:
        # A traceback keeps the frames that raised it alive, with all rows of their shard.
        assert fault is not None and fault.__traceback__ is None
        with pytest.raises(Fault, match=r"disallowed_address: 10\.0\.0\.1") as caught:
            raise fault
        assert (caught.value.status, caught.value.transient) == ("refused", False)


def test_refusals_in_two_processes_are_two_streaks() -> None:
    jobs = [hosts(stop_after=50) for _ in range(2)]
    first = (BAN_AFTER - 1) * [0]
    for seen_by, status in (([*first, 1], "failed"), ([*first, 0], "deferred")):
        seen = [jobs[job].refusal_streak("a") for job in seen_by]
        with duckdb.connect() as connection:
            connection.execute(
                "CREATE VIEW attempts AS SELECT uuid::VARCHAR AS uuid, 1 AS pass_number, 1 AS requests, "
                "'failed' AS status, 'http_error: 403' AS error, false AS transient, refusals "
                f"FROM unnest({seen}) WITH ORDINALITY AS rows (refusals, uuid)"
            )
            judge(connection, jobs[0].limits)
            found = connection.execute("SELECT DISTINCT status, error FROM outcomes").fetchall()
        assert [row[0] for row in found] == [status]
        assert ("temporary ban" in found[0][1]) == (status == "deferred")


def test_slow_hosts_are_postponed_only_while_others_wait() -> None:
    slow = HostLimits(connections=1, rate=0.01)
    for others, fault in ((True, "other: left to a later pass"), (False, None)):
        policies = hosts(hosts={"slow": slow, "fast": HostLimits(connections=3, rate=1000)}, patience=0.2)
        plan = schedule(policies, rows(slow=2, fast=3), others_wait=lambda hosts, others=others: others)
        first = [plan.take() for _ in range(4)]
        assert all(task.fault is None for task in first)
        for _ in range(3):
            plan.done("fast")
        found: list[Any] = []
        thread = threading.Thread(target=lambda plan=plan, found=found: found.append(plan.take()), daemon=True)
        thread.start()
        thread.join(3 if others else 0.6)
        assert [str(task.fault) for task in found] == ([fault] if fault else [])


def test_a_redirect_to_another_host_keeps_that_hosts_policy() -> None:
    limits = DownloadLimits(default_host=HostLimits(connections=1, rate=1000))
    policies = of_job(limits, parts=3, turn=1)
    with pytest.raises(Fault, match="left to other parts"), policies.visit("b", "a", time.monotonic() + 1):
        pass
    policies = of_job(limits)
    with (
        policies.visit("b", "a", time.monotonic() + 1),
        pytest.raises(Fault, match=r"redirect to b .*rate limit"),
        policies.visit("b", "c", time.monotonic() - 1),
    ):
        pass
    with policies.visit("b", "c", time.monotonic() + 1):
        pass
