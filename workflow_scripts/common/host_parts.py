"""Hosts are dealt out to download parts, so that no two jobs need to agree on a host's policy while they run.

A host is given to at most as many parts as it takes connections at once. Each row says over how many parts its host is
spread (`host_parts`) and which of them this one is (`host_turn`, from 0): a job takes that share of the policy, and the
shares of all jobs never add up to more than the policy.
"""

import heapq
import math
from pathlib import Path

import duckdb

from workflow_scripts.common.config.download import DownloadLimits, HostLimits

# Hosts with fewer rows than this share of a part are dealt by their name alone, so that few are ever held.
SMALL_SHARE = 1 / 64


def deal_hosts(connection: duckdb.DuckDBPyConnection, rows: str, parts: int, limits: DownloadLimits) -> None:
    """Make the view `dealt`: `rows` with the columns host_parts, host_turn and part (from 0).

    Args:
        rows: a table or view with the columns host and source_url; host is "" for a local file.
        parts: how many parts there are.
        limits: the policies.
    """
    connection.execute(f"CREATE OR REPLACE TEMP VIEW given AS SELECT * FROM {rows}")
    connection.execute(f"SET VARIABLE parts = {int(parts)}")
    counted = connection.execute("SELECT count(*) FROM given").fetchone()
    assert counted is not None
    fair = max(1.0, counted[0] / parts)
    large = connection.execute(
        f"SELECT host, count(*) AS images FROM given GROUP BY host HAVING count(*) > {fair * SMALL_SHARE} "
        "ORDER BY images DESC, host"
    ).fetchall()
    connection.execute("CREATE OR REPLACE TEMP TABLE host_pieces (host VARCHAR, pieces BIGINT[])")
    loads = [(0.0, part) for part in range(parts)]
    for host, images in large:
        # Files on this machine have no policy.
        most = parts if host == "" else limits.of_host(host).connections
        pieces = min(most, parts, math.ceil(images / fair))
        chosen = [heapq.heappop(loads) for _ in range(pieces)]
        for load, part in chosen:
            heapq.heappush(loads, (load + images / pieces, part))
        connection.execute("INSERT INTO host_pieces VALUES (?, ?)", [host, sorted(part for _, part in chosen)])
    connection.execute(Path(__file__).with_name("host_parts.sql").read_text(encoding="utf-8"))


def share_of(policy: HostLimits, parts: int, turn: int) -> tuple[int, float]:
    """Connections at once, and requests a second, of the job with `turn` among `parts` jobs that share a host.

    Over all turns they add up to the policy. A policy of fewer connections than parts leaves some with (0, 0.0).
    """
    connections = policy.connections // parts + (turn < policy.connections % parts)
    return connections, policy.rate * connections / policy.connections
