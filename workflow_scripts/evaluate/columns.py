"""Read columns that only some benchmarks' images tables have."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from workflow_scripts.common.errors import InputError

if TYPE_CHECKING:
    import polars as pl


def column_values(table: "pl.DataFrame", column: str) -> list[str]:
    """The values of a column that must be complete.

    Raises:
        InputError: the column is missing or has an empty cell.
    """
    if column not in table.columns:
        raise InputError(
            f"the benchmark's images table has no column {column}; delete the table and run its `index` step again"
        )
    values = table[column]
    if values.has_nulls():
        position = table.filter(values.is_null())["position"][0]
        raise InputError(
            f"image at position {position}: {column} is empty; delete the benchmark's images table and run its `index` "
            "step again"
        )
    return values.to_list()


def rows_of(table: "pl.DataFrame", split: str) -> NDArray[np.int64]:
    """The row indices of a split.

    Raises:
        InputError: the split has no rows.
    """
    rows = np.flatnonzero(np.array(column_values(table, "split")) == split)
    if not len(rows):
        raise InputError(f"the benchmark has no usable image in split {split!r}; see its account for the reasons")
    return rows


def targets(table: "pl.DataFrame", labels: Sequence[str] | int) -> NDArray[np.bool_]:
    """The labels of each image [N, L], from strings of L zeros and ones.

    Raises:
        InputError: a value is not such a string.
    """
    count = labels if isinstance(labels, int) else len(labels)
    given = column_values(table, "targets")
    for position, text in zip(table["position"], given, strict=True):
        if len(text) != count or set(text) - {"0", "1"}:
            raise InputError(f"image at position {position}: targets: expected {count} zeros and ones, found {text!r}")
    return np.array([list(text) for text in given]) == "1"
