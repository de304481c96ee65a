"""Read and write contract tables that fit in memory, as polars frames."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from workflow_scripts.common import tables
from workflow_scripts.contracts import Contract

if TYPE_CHECKING:
    import polars as pl


def read_frame(paths: Path | Sequence[Path], contract: Contract) -> "pl.DataFrame":
    """Read complete files, in the order of the contract's key.

    Raises:
        InputError: a file does not exist or violates the contract.
    """
    import polars as pl

    return pl.DataFrame(tables.read_rows(paths, contract))


def write_frame(frame: "pl.DataFrame", contract: Contract, path: Path) -> int:
    """Write a frame with the contract's columns, in the order of its key; return the number of rows."""
    return tables.write_table(frame.to_arrow(), contract, path)
