"""JSON files between stages have the keys of their contract."""

import json
from pathlib import Path
from typing import Any

import pytest

from workflow_scripts.common.documents import read_document, write_document
from workflow_scripts.common.errors import InputError
from workflow_scripts.contracts import Document

WEATHER = Document("what the weather was", ("place", "wind.speed", "wind.from"))
WHOLE: dict[str, Any] = {"wind": {"speed": 3.5, "from": None}, "place": "Möja", "rain": False}


def test_what_is_written_is_read(tmp_path: Path) -> None:
    write_document(tmp_path / "weather.json", WHOLE, WEATHER)
    assert read_document(tmp_path / "weather.json", WEATHER) == WHOLE


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "cannot be read as JSON"),
        ("[]", r"no place, wind\.speed, wind\.from \(what the weather was\); rerun"),
        (json.dumps({"place": 1, "wind": "west"}), r"no wind\.speed, wind\.from"),
        (json.dumps({"place": 1, "wind": {"speed": 1}}), r"no wind\.from \("),
    ],
)
def test_what_is_missing_is_named(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "weather.json").write_text(text)
    with pytest.raises(InputError, match=rf"weather\.json: {message}"):
        read_document(tmp_path / "weather.json", WEATHER)
    with pytest.raises(InputError, match="No such file"):
        read_document(tmp_path / "none.json", WEATHER)


def test_what_breaks_its_contract_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no wind\.speed, wind\.from"):
        write_document(tmp_path / "weather.json", {"place": "Möja"}, WEATHER)
    assert not list(tmp_path.iterdir())
