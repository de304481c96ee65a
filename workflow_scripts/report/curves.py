"""Training curves from metrics.jsonl, thinned so that a long run makes no larger page than a short one."""

from pathlib import Path

import duckdb

from workflow_scripts.common.errors import InputError
from workflow_scripts.common.tables import connect, literal, quoted

POINTS = 1000
NUMBERS = ("DOUBLE", "FLOAT", "BIGINT", "UBIGINT", "INTEGER", "HUGEINT")

Curves = dict[str, list[float | None]]


def read_curves(path: Path) -> Curves:
    """The numeric columns of a metrics.jsonl, `step` first, at most `POINTS` values each.

    Raises:
        InputError: the file is missing, is no JSON lines, or has no steps.
    """
    query = Path(__file__).with_name("curves.sql").read_text(encoding="utf-8")
    # All lines are looked at for columns: some values are not taken at every step.
    source = f"read_json({literal(path)}, format = 'newline_delimited', sample_size = -1)"
    with connect() as connection:
        try:
            lines = connection.sql(f"SELECT * FROM {source}")
        except duckdb.Error as error:
            raise InputError(f"{path}: no readable metrics: {str(error).splitlines()[0]}") from None
        types = dict(zip(lines.columns, map(str, lines.types), strict=True))
        columns = [name for name, kind in types.items() if kind in NUMBERS]
        if "step" not in columns:
            raise InputError(f"{path}: no metrics of a training run, it has no column step")
        chosen = ", ".join(quoted(name) for name in ["step", *(name for name in columns if name != "step")])
        connection.execute(f"CREATE TEMP VIEW numbers AS SELECT {chosen} FROM {source}")
        connection.execute("SET VARIABLE points = ?", [POINTS])
        return connection.sql(query).pl().to_dict(as_series=False)
