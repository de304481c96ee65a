"""Assignment of hosts to download parts, so that jobs keep a host's limits without communicating.

A host is given to at most as many parts as it takes connections at once. Each row says over how many parts its host is
spread (`host_parts`) and which of them this one is (`host_turn`, from 0): a job takes that share of the policy, and the
shares of all jobs never add up to more than the policy.
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

# Hosts with fewer rows than this share of a part are dealt by their name alone, so that few are ever held.
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
    """Make the view `dealt`: `rows` with the columns host_parts, host_turn and part (from 0).

    Args:
        rows: a table or view with the columns uuid, host and source_url; host is "" for a local file.
        parts: how many parts there are.
        limits: the policies.
        dealt: the folder where `keep_dealt` keeps parts that were dealt before: their images stay where they are, and
            what is new at their hosts is spread like them.
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
        # Files on this machine have no policy.
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
    """Fill `dealt_rows` and `host_pieces` with what was dealt before; how many given images each part has of it."""
    connection.execute("CREATE OR REPLACE TEMP TABLE host_pieces (host VARCHAR, pieces BIGINT[], turns BIGINT[])")
    files = sorted(folder.glob(PARTS)) if folder is not None else []
    # Parts are numbered through all generations; those of one follow each other.
    first = int(files[0].stem.removeprefix("part-")) if files else 0
    columns = f"uuid, host, host_parts, host_turn, part - {first} AS part"
    nothing = (
        "(SELECT '' AS uuid, '' AS host, 0::BIGINT AS host_parts, 0::BIGINT AS host_turn, 0::BIGINT AS part LIMIT 0)"
    )
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE dealt_rows AS SELECT {columns} FROM {tables.scan(files) if files else nothing} "
        f"SEMI JOIN given USING (uuid, host) WHERE part - {first} < getvariable('parts')"
    )
    # A turn that has no image left is taken by the host's first one.
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
    """Keep parts as they were dealt, by links, where no rule deletes them.

    Args:
        parts: all parts of a generation, whole.
        folder: where they are kept in place of the earlier ones.
    """
    new = folder.with_name(f".{folder.name}.new")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    for part in parts:
        link(part, new / part.name)
    # A kill leaves the earlier ones whole, the new ones, or none; never some, whose numbers would be taken for all.
    old = folder.with_name(f".{folder.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        folder.replace(old)
    new.replace(folder)
    shutil.rmtree(old, ignore_errors=True)


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
