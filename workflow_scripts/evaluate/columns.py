"""The columns that only some benchmarks' tables have."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from workflow_scripts.common.errors import InputError

if TYPE_CHECKING:
    import polars as pl


def texts(table: "pl.DataFrame", column: str) -> list[str]:
    """A column without empty cells.

    Raises:
        InputError: it is not there, or a cell is empty.
    """
    if column not in table.columns:
        raise InputError(
            f"the benchmark's table of images has no column {column}; delete it and run its `index` step again"
        )
    values = table[column]
    if values.has_nulls():
        position = table.filter(values.is_null())["position"][0]
        raise InputError(
            f"image at position {position}: {column} is empty; delete the benchmark's table, which is made again"
        )
    return values.to_list()


def rows_of(table: "pl.DataFrame", split: str) -> NDArray[np.int64]:
    """The rows of a split.

    Raises:
        InputError: it has none.
    """
    rows = np.flatnonzero(np.array(texts(table, "split")) == split)
    if not len(rows):
        raise InputError(f"the benchmark has no usable image in its split {split!r}; see its account for the reasons")
    return rows


def targets(table: "pl.DataFrame", labels: Sequence[str] | int) -> NDArray[np.bool_]:
    """Which labels each image has [N, L], from strings of L zeros and ones.

    Raises:
        InputError: a string is another one.
    """
    count = labels if isinstance(labels, int) else len(labels)
    given = texts(table, "targets")
    for position, text in zip(table["position"], given, strict=True):
        if len(text) != count or set(text) - {"0", "1"}:
            raise InputError(f"image at position {position}: targets are {text!r}, not {count} zeros and ones")
    return np.array([list(text) for text in given]) == "1"
