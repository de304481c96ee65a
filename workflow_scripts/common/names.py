"""DuckDB macros that parse scientific names (`names.sql`)."""

from pathlib import Path

import duckdb

MACROS = Path(__file__).with_name("names.sql").read_text(encoding="utf-8")


def define_names(connection: duckdb.DuckDBPyConnection) -> None:
    """Define the macros, such as `name_parts` and `kind_of_name`, for the lifetime of the connection."""
    connection.execute(MACROS)
