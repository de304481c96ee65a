"""Assign hosts to download parts, so that jobs respect a host's limits without communicating.

A host is spread over at most as many parts as it allows connections. Each row has the number of parts of its host
(`host_parts`) and the index of its own part among them (`host_turn`, from 0). A job uses that share of the host's
policy, so that all jobs together never exceed it.
"""

import heapq
import math
import shutil
from collections.abc import Sequence
from pathlib import Path

import duckdb

from workflow_scripts.common import tables
from workflow_scripts.common.config.download import DownloadLimits, HostLimits
from workflow_scripts.common.files import link
from workflow_scripts.contracts import NAMED_HOSTS

# Hosts with fewer rows than this share of a part are assigned by a hash of their name, to bound memory.
SMALL_SHARE = 1 / 64
PARTS = "part-*.parquet"


def deal_hosts(
    connection: duckdb.DuckDBPyConnection,
    rows: str,
    parts: int,
    limits: DownloadLimits,
    *,
    dealt: Path | None = None,
) -> None:
    """Create the view `dealt`: `rows` with the columns host_parts, host_turn and part (from 0).

    Args:
        connection: connection that has `rows`.
        rows: a table or view with the columns uuid, host and source_url; host is "" for a local file.
        parts: number of parts.
        limits: the hosts' policies.
        dealt: the folder of `keep_dealt` with earlier parts: their images keep their part, and new images of their
            hosts are spread in the same way.
    """
    connection.execute(f"CREATE OR REPLACE TEMP VIEW given AS SELECT * FROM {rows}")
    connection.execute(f"SET VARIABLE parts = {int(parts)}")
    fair = max(1.0, tables.scalar(connection, "SELECT count(*) FROM given") / parts)
    loads = dict.fromkeys(range(parts), 0.0)
    loads |= {part: float(images) for part, images in _read_dealt(connection, dealt)}
    large = connection.execute(
        "SELECT host, count(*) AS images FROM given ANTI JOIN host_pieces USING (host) GROUP BY host "
        f"HAVING count(*) > {fair * SMALL_SHARE} ORDER BY images DESC, host"
    ).fetchall()
    heap = [(load, part) for part, load in loads.items()]
    heapq.heapify(heap)
    for host, images in large:
        # Local files have no policy.
        most = parts if host == "" else limits.of_host(host).connections
        pieces = min(most, parts, math.ceil(images / fair))
        chosen = [heapq.heappop(heap) for _ in range(pieces)]
        for load, part in chosen:
            heapq.heappush(heap, (load + images / pieces, part))
        turns = list(range(pieces))
        connection.execute(
            "INSERT INTO host_pieces VALUES (?, ?, ?)", [host, sorted(part for _, part in chosen), turns]
        )
    connection.execute(Path(__file__).with_name("host_parts.sql").read_text(encoding="utf-8"))


def _read_dealt(connection: duckdb.DuckDBPyConnection, folder: Path | None) -> list[tuple[int, int]]:
    """Fill `dealt_rows` and `host_pieces` from earlier parts; return the number of given images in each part."""
    connection.execute("CREATE OR REPLACE TEMP TABLE host_pieces (host VARCHAR, pieces BIGINT[], turns BIGINT[])")
    files = sorted(folder.glob(PARTS)) if folder is not None else []
    # Parts are numbered through all generations; those of a generation are consecutive.
    first = int(files[0].stem.removeprefix("part-")) if files else 0
    columns = f"uuid, host, host_parts, host_turn, part - {first} AS part"
    nothing = (
        "(SELECT '' AS uuid, '' AS host, 0::BIGINT AS host_parts, 0::BIGINT AS host_turn, 0::BIGINT AS part LIMIT 0)"
    )
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE dealt_rows AS SELECT {columns} FROM {tables.scan(files) if files else nothing} "
        f"SEMI JOIN given USING (uuid, host) WHERE part - {first} < getvariable('parts')"
    )
    # A turn without images is replaced by the first turn of its host.
    connection.execute(
        """
        INSERT INTO host_pieces
        WITH turns AS (
            SELECT host, host_turn, max(host_parts) AS host_parts, min(part) AS part
            FROM dealt_rows GROUP BY host, host_turn
        ),
        spread AS (
            SELECT host, unnest(range(max(host_parts))) AS turn, arg_min(part, host_turn) AS first_part,
                min(host_turn) AS first_turn
            FROM turns GROUP BY host
        )
        SELECT spread.host, list(coalesce(turns.part, first_part) ORDER BY turn),
            list(coalesce(turns.host_turn, first_turn) ORDER BY turn)
        FROM spread LEFT JOIN turns ON turns.host = spread.host AND turns.host_turn = spread.turn
        GROUP BY spread.host
        """
    )
    return connection.execute("SELECT part, count(*) FROM dealt_rows GROUP BY part").fetchall()


def keep_dealt(parts: Sequence[Path], folder: Path) -> None:
    """Keep hard links to a generation's parts in a folder that no rule deletes.

    Args:
        parts: all parts of the generation.
        folder: the folder, whose earlier parts are replaced.
    """
    new = folder.with_name(f".{folder.name}.new")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    for part in parts:
        link(part, new / part.name)
    # If killed, the folder has all earlier parts, all new ones, or none, but never some of them.
    old = folder.with_name(f".{folder.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        folder.replace(old)
    new.replace(folder)
    shutil.rmtree(old, ignore_errors=True)


def write_hosts(connection: duckdb.DuckDBPyConnection, rows: str, path: Path) -> None:
    """Write the hosts of `rows` with their numbers of images (contract NAMED_HOSTS)."""
    query = f"SELECT host, count(*) AS images FROM {rows} WHERE host <> '' GROUP BY host"
    tables.write(connection, query, NAMED_HOSTS, path)


def share_of(policy: HostLimits, parts: int, turn: int) -> tuple[int, float]:
    """Connections, and requests per second, of job `turn` among `parts` jobs that share a host.

    Over all turns they add up to the policy. With fewer connections than parts, some jobs get (0, 0.0).
    """
    connections = policy.connections // parts + (turn < policy.connections % parts)
    return connections, policy.rate * connections / policy.connections
