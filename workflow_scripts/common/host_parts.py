"""Hosts are dealt out to download parts, so that no two jobs need to agree on a host's policy while they run.

A host is given to at most as many parts as it takes connections at once. Each row says over how many parts its host is
spread (`host_parts`) and which of them this one is (`host_turn`, from 0): a job takes that share of the policy, and the
shares of all jobs never add up to more than the policy. Replay's parts are fetched beside the corpus's: what is at a
host of both goes into its last part, which waits for the corpus.
"""

import heapq
import math
from pathlib import Path

import duckdb

from workflow_scripts.common import tables
from workflow_scripts.common.config.download import DownloadLimits, HostLimits
from workflow_scripts.contracts import NAMED_HOSTS

# Hosts with fewer rows than this share of a part are dealt by their name alone, so that few are ever held.
SMALL_SHARE = 1 / 64


def deal_hosts(
    connection: duckdb.DuckDBPyConnection, rows: str, parts: int, limits: DownloadLimits, beside: Path | None = None
) -> None:
    """Make the view `dealt`: `rows` with the columns host_parts, host_turn and part (from 0).

    Args:
        rows: a table or view with the columns host and source_url; host is "" for a local file.
        parts: how many parts there are.
        limits: the policies.
        beside: the hosts of other parts that are fetched at the same time (contract NAMED_HOSTS). What is at one of
            these goes whole into the last part, which must wait for the others.
    """
    connection.execute(f"CREATE OR REPLACE TEMP VIEW given AS SELECT * FROM {rows}")
    connection.execute(f"SET VARIABLE parts = {int(parts)}")
    fair = max(1.0, tables.scalar(connection, "SELECT count(*) FROM given") / parts)
    tables.read(connection, [beside] if beside else [], NAMED_HOSTS, "beside")
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE host_pieces AS SELECT DISTINCT host, [getvariable('parts') - 1]::BIGINT[] "
        "AS pieces FROM given SEMI JOIN beside USING (host)"
    )
    waiting = tables.scalar(connection, "SELECT count(*) FROM given SEMI JOIN host_pieces USING (host)")
    large = connection.execute(
        "SELECT host, count(*) AS images FROM given ANTI JOIN host_pieces USING (host) GROUP BY host "
        f"HAVING count(*) > {fair * SMALL_SHARE} ORDER BY images DESC, host"
    ).fetchall()
    loads = [*((0.0, part) for part in range(parts - 1)), (float(waiting), parts - 1)]
    for host, images in large:
        # Files on this machine have no policy.
        most = parts if host == "" else limits.of_host(host).connections
        pieces = min(most, parts, math.ceil(images / fair))
        chosen = [heapq.heappop(loads) for _ in range(pieces)]
        for load, part in chosen:
            heapq.heappush(loads, (load + images / pieces, part))
        connection.execute("INSERT INTO host_pieces VALUES (?, ?)", [host, sorted(part for _, part in chosen)])
    connection.execute(Path(__file__).with_name("host_parts.sql").read_text(encoding="utf-8"))


def write_hosts(connection: duckdb.DuckDBPyConnection, rows: str, path: Path) -> None:
    """Write the hosts of `rows` (contract NAMED_HOSTS)."""
    query = f"SELECT host, count(*) AS images FROM {rows} WHERE host <> '' GROUP BY host"
    tables.write(connection, query, NAMED_HOSTS, path)


def share_of(policy: HostLimits, parts: int, turn: int) -> tuple[int, float]:
    """Connections at once, and requests a second, of the job with `turn` among `parts` jobs that share a host.

    Over all turns they add up to the policy. A policy of fewer connections than parts leaves some with (0, 0.0).
    """
    connections = policy.connections // parts + (turn < policy.connections % parts)
    return connections, policy.rate * connections / policy.connections
