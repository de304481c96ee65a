"""Training curves from metrics.jsonl, thinned so that the page of a long run stays small."""

from pathlib import Path

import duckdb

from workflow_scripts.common.errors import InputError, first_line
from workflow_scripts.common.tables import connect, literal, quoted

POINTS = 1000
NUMBERS = ("DOUBLE", "FLOAT", "BIGINT", "UBIGINT", "INTEGER", "HUGEINT")

Curves = dict[str, list[float | None]]


def read_curves(path: Path) -> Curves:
    """The numeric columns of a metrics.jsonl, `step` first, at most `POINTS` values each.

    Raises:
        InputError: the file is missing, is not JSON lines, or has no column `step`.
    """
    query = Path(__file__).with_name("curves.sql").read_text(encoding="utf-8")
    # The schema needs all lines: some values are not recorded at every step.
    source = f"read_json({literal(path)}, format = 'newline_delimited', sample_size = -1)"
    with connect() as connection:
        try:
            lines = connection.sql(f"SELECT * FROM {source}")
        except duckdb.Error as error:
            raise InputError(f"{path}: could not read metrics: {first_line(error)}") from None
        types = dict(zip(lines.columns, map(str, lines.types), strict=True))
        columns = [name for name, kind in types.items() if kind in NUMBERS]
        if "step" not in columns:
            raise InputError(f"{path}: not the metrics of a training: no column step")
        chosen = ", ".join(quoted(name) for name in ["step", *(name for name in columns if name != "step")])
        connection.execute(f"CREATE TEMP VIEW numbers AS SELECT {chosen} FROM {source}")
        connection.execute("SET VARIABLE points = ?", [POINTS])
        return connection.sql(query).pl().to_dict(as_series=False)
