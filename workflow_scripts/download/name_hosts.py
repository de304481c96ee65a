"""List the hosts of all download parts that run side by side, so that no redirect makes one press another's host."""

from pathlib import Path

from workflow_scripts.common import tables
from workflow_scripts.common.cli import run
from workflow_scripts.contracts import NAMED_HOSTS


def name_hosts(*, hosts: tuple[Path, ...], out: Path, memory_mb: int = 2048, threads: int = 1) -> None:
    """List the hosts of several tables of images once.

    Args:
        hosts: the hosts of a generation, and of the replay pairs that are fetched beside it (contract NAMED_HOSTS).
        out: all of them (contract NAMED_HOSTS).
        memory_mb: DuckDB's memory limit, MiB.
        threads: DuckDB's threads.

    Raises:
        InputError: a table is missing or breaks its contract.
    """
    with tables.connect(memory_mb, threads) as connection:
        for table in hosts:
            tables.read(connection, table, NAMED_HOSTS, "given")
        query = f"SELECT host, sum(images)::BIGINT AS images FROM {tables.scan(hosts)} GROUP BY host"
        tables.write(connection, query, NAMED_HOSTS, out)


if __name__ == "__main__":
    run(name_hosts)
