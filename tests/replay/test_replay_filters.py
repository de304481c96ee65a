"""Pairs are filtered by licence and language if the config says so; a digest identifies the selected rows."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from workflow_scripts.common import tables
from workflow_scripts.common.accounts import read_account
from workflow_scripts.common.config.replay import ReplaySettings
from workflow_scripts.contracts import REPLAY_SELECTION
from workflow_scripts.replay.select import select

COLUMNS = {"license": "LICENSE", "language": "LANGUAGE"}
ROWS = [
    {"LICENSE": "cc-by", "LANGUAGE": "en"},
    {"LICENSE": "cc-by", "LANGUAGE": "de"},
    {"LICENSE": "?", "LANGUAGE": "en"},
    {"LICENSE": None, "LANGUAGE": None},
]


@pytest.mark.parametrize(
    "case",
    [
        ({}, {0, 1, 2, 3}, {}),
        ({"licenses": ["cc-by"]}, {0, 1}, {"licence": 2}),
        ({"languages": ["en"]}, {0, 2}, {"language": 2}),
        ({"licenses": ["cc-by"], "languages": ["en", "fr"]}, {0}, {"licence": 2, "language": 1}),
    ],
)
def test_only_pairs_with_a_wanted_licence_and_language_are_chosen(
    make_metadata: Any, make_settings: Any, tmp_path: Path, case: tuple[dict[str, Any], set[int], dict[str, int]]
) -> None:
    filters, kept, dropped = case
    metadata = make_metadata(ROWS)
    select(metadata=(metadata,), settings=make_settings(columns=COLUMNS, parts=1, **filters), out_dir=tmp_path / "out")
    rows = tables.read_rows(tmp_path / "out/part-0000.parquet", REPLAY_SELECTION).to_pylist()
    assert {int(row["source_url"].rsplit("/")[-1][:-4]) for row in rows} == kept
    assert read_account(tmp_path / "out/account.json").dropped == dropped


def test_a_filter_without_its_column_is_refused() -> None:
    with pytest.raises(ValueError, match=r"replay\.languages.*replay\.columns\.language"):
        ReplaySettings(metadata=["a.parquet"], languages=["en"])


def test_the_digest_changes_with_the_rows_and_with_nothing_else(
    make_metadata: Any, make_settings: Callable[..., ReplaySettings], tmp_path: Path
) -> None:
    def digest(rows: list[dict[str, Any]], name: str, **settings: Any) -> dict[str, Any]:
        select(
            metadata=(make_metadata(rows, name),), settings=make_settings(columns=COLUMNS, **settings),
            out_dir=tmp_path / name,
        )  # fmt: skip
        return dict(json.loads((tmp_path / name / "selection.json").read_text()))

    numbered = [{"URL": f"https://images.example/{n}.jpg", "TEXT": f"thing {n}"} | row for n, row in enumerate(ROWS)]
    first = digest(numbered, "first", parts=1)
    assert first["rows"] == 4
    assert digest(numbered[::-1], "again", parts=3) == first
    assert digest(numbered, "other", parts=1, licenses=["cc-by"])["sha256"] != first["sha256"]
