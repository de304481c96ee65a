"""A run stops before its downloads if a source loses too many rows."""

from pathlib import Path
from typing import Any

import pytest

from tests.messages import says
from workflow_scripts.catalog.loss import check_loss
from workflow_scripts.catalog.merge import merge
from workflow_scripts.catalog.table import read_table
from workflow_scripts.common.config.catalog import Table
from workflow_scripts.common.config.loss import LossSettings
from workflow_scripts.common.errors import InputError


def check(folder: Path, table: str, **settings: Any) -> None:
    """Read a table, merge it and check what was lost."""
    (folder / "mine.csv").write_text(table)
    records, account = folder / "sources/mine.parquet", folder / "sources/mine.account.json"
    read_table(
        table=folder / "mine.csv",
        settings=Table.model_validate({"name": "mine", "reader": "table", "table": "mine.csv"} | settings),
        out=records,
        account=account,
        memory_mb=512,
        threads=1,
    )
    merge(sources=(records,), out_dir=folder, generation=0, parts=1, first_part=0, memory_mb=512, threads=1)
    check_loss(
        accounts=(account,),
        records=(records,),
        account=folder / "account.json",
        max_loss=LossSettings(),
        out=folder / "loss.json",
    )


ROWS = ["species,url,photo", *(f"Pica pica,,{number}.jpg" for number in range(7)), "Pica pica,https://a.org/1.jpg,"]


def test_rows_without_an_image_stop_the_run_until_the_source_is_corrected(tmp_path: Path) -> None:
    table = "\n".join(ROWS) + "\n"
    with pytest.raises(InputError) as caught:
        check(tmp_path, table)
    assert says(str(caught.value), "catalog", "source mine", "7 of 8", "no_url 7", "columns", "mine", "generations")
    check(tmp_path, table, columns={"path": "photo"})
    assert (tmp_path / "loss.json").exists()


def test_a_catalog_without_rows_stops_the_run(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        check(tmp_path, "species,url\nPica pica,https://a.org/1.jpg\n", select="species = 'Corvus corax'")
    assert says(str(caught.value), "no images", "not_selected 1", "generations")
