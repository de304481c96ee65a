"""Replay pairs are selected with a count for every reason, and assigned to parts by hashes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from workflow_scripts.common import tables
from workflow_scripts.common.accounts import read_account
from workflow_scripts.common.config.replay import ReplayColumns, ReplaySettings
from workflow_scripts.common.errors import InputError
from workflow_scripts.contracts import REPLAY_SELECTION, TO_FETCH
from workflow_scripts.replay.select import select

MakeSettings = Callable[..., ReplaySettings]


def selected(folder: Path) -> list[dict[str, Any]]:
    return list(tables.read_rows(sorted(folder.glob("part-*.parquet")), REPLAY_SELECTION).to_pylist())


def test_each_filter_drops_its_rows_and_counts_them(
    tmp_path: Path, make_metadata: Callable[..., Path], make_settings: MakeSettings
) -> None:
    metadata = make_metadata(
        [
            {},
            {"TEXT": " good &amp; plain\n"},
            {"URL": "ftp://images.example/a.jpg"},
            {"URL": "/etc/passwd"},
            {"URL": "https://"},
            {"URL": None},
            {"WIDTH": 99},
            {"HEIGHT": 99},
            {"similarity": 0.2},
            {"similarity": None},
            {"punsafe": 0.9},
            {"pwatermark": 0.9},
            {"punsafe": None, "pwatermark": None, "WIDTH": None},
            {"TEXT": " \x00 "},
            {"TEXT": None},
            {"URL": "https://images.example/0.jpg", "TEXT": "a picture  of thing 0"},
            {"URL": "https://images.example:443/0.jpg", "TEXT": "another caption"},
        ]
    )
    settings = make_settings(min_size=100, min_similarity=0.28, parts=3)
    select(metadata=(metadata,), settings=settings, out_dir=tmp_path / "out")
    account = read_account(tmp_path / "out" / "account.json")
    assert account.rows_in == 17
    assert account.dropped == {
        "bad_url": 4,
        "too_small": 2,
        "low_similarity": 2,
        "unsafe": 1,
        "watermark": 1,
        "empty_caption": 2,
        "duplicate": 1,
    }
    rows = selected(tmp_path / "out")
    assert account.kept == len(rows) == 4
    assert {row["caption"] for row in rows} == {
        "a picture of thing 0",
        "good & plain",
        "a picture of thing 12",
        "another caption",
    }
    assert {row["host"] for row in rows} == {"images.example"}


def test_every_part_is_a_table_that_the_download_step_takes(
    tmp_path: Path, make_metadata: Callable[..., Path], make_settings: MakeSettings
) -> None:
    select(metadata=(make_metadata([{}]),), settings=make_settings(parts=3), out_dir=tmp_path)
    parts = sorted(tmp_path.glob("part-*.parquet"))
    assert [part.name for part in parts] == ["part-0000.parquet", "part-0001.parquet", "part-0002.parquet"]
    assert tables.read_rows(parts, TO_FETCH).num_rows == 1


def test_identity_split_and_part_depend_on_the_pair_alone(
    tmp_path: Path, make_metadata: Callable[..., Path], make_settings: MakeSettings
) -> None:
    rows: list[dict[str, Any]] = [
        {"URL": f"http://h{n % 7}.example:8080/{n // 2}", "TEXT": f"text {n}"} for n in range(400)
    ]
    settings = make_settings(parts=4, val_share=0.25)
    one = make_metadata(rows, "one")
    select(metadata=(one,), settings=settings, out_dir=tmp_path / "a")
    halves = (make_metadata(rows[:130:-1], "two"), make_metadata(rows[:131], "three"))
    select(metadata=halves, settings=settings, out_dir=tmp_path / "b", threads=2)
    for part in sorted((tmp_path / "a").glob("part-*.parquet")):
        assert part.read_bytes() == (tmp_path / "b" / part.name).read_bytes()
    chosen = selected(tmp_path / "a")
    assert len({row["uuid"] for row in chosen}) == len(chosen) == 400
    splits = {(row["source_url"], row["split"]) for row in chosen}
    assert len(splits) == len({url for url, _ in splits}), "one picture stands in both splits"
    assert 0.15 < sum(row["split"] == "val" for row in chosen) / 400 < 0.35
    assert {row["part"] for row in chosen} == {0, 1, 2, 3}
    assert all(row["host"].endswith(".example:8080") for row in chosen)


def test_columns_are_mapped_in_every_file(tmp_path: Path, make_settings: MakeSettings) -> None:
    files = []
    for number in range(3):
        files.append(tmp_path / f"{number}.parquet")
        pq.write_table(pa.table({"url": [f"http://a.example/{number}"], "caption": [f"text {number}"]}), files[-1])
    columns = ReplayColumns(
        url="url", caption="caption", width=None, height=None, similarity=None, punsafe=None, pwatermark=None
    )
    settings = make_settings(columns=columns)
    select(metadata=tuple(files), settings=settings, out_dir=tmp_path / "out")
    assert sorted(row["caption"] for row in selected(tmp_path / "out")) == ["text 0", "text 1", "text 2"]


@pytest.mark.parametrize(
    ("limits", "kept"),
    [
        ({}, {0.0, 0.5}),
        ({"max_punsafe": 0.1, "max_pwatermark": None}, {0.0}),
        ({"max_punsafe": None, "max_pwatermark": 0.8}, {0.0, 0.5, 0.51, 1.0}),
        ({"max_punsafe": None, "max_pwatermark": 0.05}, set()),
    ],
)
def test_the_limits_on_unsafe_and_watermarked_images_are_the_config_s(
    tmp_path: Path,
    make_metadata: Callable[..., Path],
    make_settings: MakeSettings,
    limits: dict[str, float | None],
    kept: set[float],
) -> None:
    """The limit itself passes; by default it is 0.5, and 0.8 for watermarks."""
    values = (0.0, 0.5, 0.51, 1.0)
    metadata = make_metadata([{"punsafe": value} for value in values] + [{"pwatermark": 0.81, "punsafe": 0.0}])
    select(metadata=(metadata,), settings=make_settings(**limits), out_dir=tmp_path / "out")
    captions = {row["caption"] for row in selected(tmp_path / "out")}
    watermarked = "a picture of thing 4" in captions
    assert {values[int(caption[-1])] for caption in captions - {"a picture of thing 4"}} == kept
    assert watermarked == (limits.get("max_pwatermark", 0.8) is None)


@pytest.mark.parametrize("value", [None, "unlikely"])
def test_a_set_without_safety_scores_is_refused_unless_configured(
    make_metadata: Any, make_settings: Any, tmp_path: Path, value: str | None
) -> None:
    metadata = make_metadata([{"punsafe": 0.1}], "good"), make_metadata([{"punsafe": value}], "unsafe")
    with pytest.raises(InputError, match=r"unsafe\.parquet: .*replay\.columns\.punsafe: null"):
        select(metadata=metadata, settings=make_settings(), out_dir=tmp_path / "out")
    columns = ReplayColumns(punsafe=None)
    select(metadata=metadata, settings=make_settings(columns=columns), out_dir=tmp_path / "out")
    assert read_account(tmp_path / "out/account.json").rows_in == 2


def test_a_missing_column_is_named_with_its_file(
    tmp_path: Path, make_metadata: Callable[..., Path], make_settings: MakeSettings
) -> None:
    settings = make_settings(columns=ReplayColumns(punsafe="p_unsafe"))
    with pytest.raises(InputError, match=r"metadata\.parquet: .*p_unsafe.*replay\.columns\.punsafe"):
        select(metadata=(make_metadata([{}]),), settings=settings, out_dir=tmp_path / "out")


def test_a_file_that_is_not_parquet_is_named(tmp_path: Path, make_settings: MakeSettings) -> None:
    (tmp_path / "broken.parquet").write_bytes(b"not parquet")
    with pytest.raises(InputError, match=r"broken\.parquet: .*parquet"):
        select(metadata=(tmp_path / "broken.parquet",), settings=make_settings(), out_dir=tmp_path / "out")
