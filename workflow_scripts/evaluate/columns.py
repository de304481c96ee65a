"""The columns that only some benchmarks' tables have."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from workflow_scripts.common.errors import InputError


def texts(table: pa.Table, column: str) -> list[str]:
    """A column without empty cells.

    Raises:
        InputError: it is not there, or a cell is empty.
    """
    if column not in table.column_names:
        raise InputError(f"the benchmark's images have no column {column}; have them listed again by their own reader")
    values = table[column].to_pylist()
    if None in values:
        position = table["position"][values.index(None)]
        raise InputError(f"image at position {position}: {column} is empty; have the benchmark's images listed again")
    return list(values)


def rows_of(table: pa.Table, split: str) -> NDArray[np.int64]:
    """The rows of a split.

    Raises:
        InputError: it has none.
    """
    rows = np.flatnonzero(np.array(texts(table, "split")) == split)
    if not len(rows):
        raise InputError(f"the benchmark has no usable image in its split {split!r}; see its account for the reasons")
    return rows


def targets(table: pa.Table, labels: Sequence[str] | int) -> NDArray[np.bool_]:
    """Which labels each image has [N, L], from strings of L zeros and ones.

    Raises:
        InputError: a string is another one.
    """
    count = labels if isinstance(labels, int) else len(labels)
    given = texts(table, "targets")
    for position, text in zip(table["position"].to_pylist(), given, strict=True):
        if len(text) != count or set(text) - {"0", "1"}:
            raise InputError(f"image at position {position}: targets are {text!r}, not {count} zeros and ones")
    return np.array([list(text) for text in given]) == "1"
