"""A job's share of each host's limits, so that all jobs together keep them without communicating."""

from collections.abc import Sequence
from pathlib import Path

from workflow_scripts.common import tables
from workflow_scripts.common.config.download import DownloadLimits
from workflow_scripts.common.host_parts import share_of
from workflow_scripts.contracts import NAMED_HOSTS, TO_FETCH
from workflow_scripts.download.part_files import MEMORY_MB

NOTHING = (0, 0.0)


class Budget:
    """A job's budget.

    The rows of its part say what share of their hosts' policies is this part's. Of a host that the rows of other parts
    name nothing is left for this one, when a redirect leads there. A host that no row names is shared among all parts.

    Args:
        limits: the policies.
        part: the part's table of images, or None: all hosts are wholly this job's.
        others: tables of the hosts that the rows of all parts name (contract NAMED_HOSTS).
        parts: how many parts there are.
        turn: this part's place among them, from 0.

    Raises:
        InputError: a table is missing or breaks its contract.
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
                    self._own = {host: (spread, place) for host, spread, place in found.fetchall()}

    def of(self, host: str) -> tuple[int, float]:
        """Connections at once, and requests a second, that are this job's."""
        if host in self._own:
            return share_of(self._limits.of_host(host), *self._own[host])
        if self._others and self._is_named(host):
            return NOTHING
        return share_of(self._limits.of_host(host), *self._among_all)

    def _is_named(self, host: str) -> bool:
        with tables.connect(MEMORY_MB) as connection:
            query = f"SELECT 1 FROM {tables.scan(self._others)} WHERE host = {tables.literal(host)} LIMIT 1"
            return connection.execute(query).fetchone() is not None
