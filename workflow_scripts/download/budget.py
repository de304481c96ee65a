"""A job's share of each host's limits. The shares of all jobs add up to the limits, so jobs need not communicate."""

from collections.abc import Sequence
from pathlib import Path

from workflow_scripts.common import tables
from workflow_scripts.common.config.download import DownloadLimits
from workflow_scripts.common.host_parts import share_of
from workflow_scripts.contracts import NAMED_HOSTS, TO_FETCH
from workflow_scripts.download.part_files import MEMORY_MB

NO_SHARE = (0, 0.0)


class Budget:
    """A job's share of each host's connections and rate.

    For hosts in the part's own table, the table gives the share. A host that is only in other parts' tables, and is
    reached by a redirect, has no share here. A host in no table is shared equally by all parts.

    Args:
        limits: the hosts' policies.
        part: the part's table of images, or None if this job has all hosts to itself.
        others: tables of the hosts in the tables of all parts (contract NAMED_HOSTS).
        parts: number of parts.
        turn: this part's index among them, from 0.

    Raises:
        InputError: a table is missing or violates its contract.
    """

    def __init__(
        self,
        limits: DownloadLimits,
        part: Path | None = None,
        *,
        others: Sequence[Path] = (),
        parts: int = 1,
        turn: int = 0,
    ) -> None:
        self._limits = limits
        self._others = others
        self._among_all = (parts, turn)
        self._own: dict[str, tuple[int, int]] = {}
        with tables.connect(MEMORY_MB) as connection:
            for table in others:
                tables.read(connection, table, NAMED_HOSTS, "others")
            if part is not None:
                rows = tables.read(connection, part, TO_FETCH, "part")
                if "host_parts" in rows.columns:
                    found = connection.execute(
                        "SELECT DISTINCT host, host_parts, host_turn FROM part WHERE host_parts IS NOT NULL"
                    )
                    self._own = {host: (parts, turn) for host, parts, turn in found.fetchall()}

    def of(self, host: str) -> tuple[int, float]:
        """This job's number of simultaneous connections and requests per second."""
        if host in self._own:
            return share_of(self._limits.of_host(host), *self._own[host])
        if self._others and self._is_named(host):
            return NO_SHARE
        return share_of(self._limits.of_host(host), *self._among_all)

    def _is_named(self, host: str) -> bool:
        with tables.connect(MEMORY_MB) as connection:
            query = f"SELECT 1 FROM {tables.scan(self._others)} WHERE host = {tables.literal(host)} LIMIT 1"
            return connection.execute(query).fetchone() is not None
