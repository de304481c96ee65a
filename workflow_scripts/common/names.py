"""How scientific names are read, as macros of DuckDB: `names.sql`."""

from pathlib import Path

import duckdb

MACROS = Path(__file__).with_name("names.sql").read_text(encoding="utf-8")


def define_names(connection: duckdb.DuckDBPyConnection) -> None:
    """Define the macros, `name_parts` and `kind_of_name` among them, for as long as the connection lasts."""
    connection.execute(MACROS)
