"""Merging sources into a generation."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from workflow_scripts.catalog.merge import merge
from workflow_scripts.catalog.table import read_table
from workflow_scripts.common import tables
from workflow_scripts.common.config.catalog import Table
from workflow_scripts.common.config.download import DownloadLimits, HostLimits
from workflow_scripts.common.errors import InputError
from workflow_scripts.contracts import CATALOG, PROVIDER_LABELS, SOURCE_RECORDS

Merged = tuple[list[dict[str, Any]], list[dict[str, Any]], dict[str, Any]]


@pytest.fixture
def source(tmp_path: Path) -> Callable[..., Path]:
    """Records of a table with the given URL numbers."""

    def make(name: str, numbers: range, common: str = "") -> Path:
        lines = "".join(f"https://h{n % 3}.org/{n}.jpg,Aus,s{n % 5},{common}\n" for n in numbers)
        table = tmp_path / f"{name}.csv"
        table.write_text("url,genus,species,common\n" + lines)
        out = tmp_path / f"{name}.parquet"
        read_table(
            table=table,
            settings=Table(name="shared", reader="table", table=str(table)),
            out=out,
            account=tmp_path / "account.json",
            memory_mb=500,
            threads=1,
        )
        return out

    return make


def run(
    out_dir: Path, sources: list[Path], older: list[Path] | None = None, first_part: int = 0, threads: int = 1
) -> Merged:
    merge(
        sources=tuple(sources),
        older=tuple(older or []),
        generation=1 if older else 0,
        parts=4,
        first_part=first_part,
        out_dir=out_dir,
        memory_mb=500,
        threads=threads,
    )
    parts = sorted(out_dir.glob("part-*.parquet"))
    assert [part.name for part in parts] == [f"part-{n:04d}.parquet" for n in range(first_part, first_part + 4)]
    rows = [row for part in parts for row in pq.read_table(part).to_pylist()]
    labels = tables.read_rows(out_dir / "labels.parquet", PROVIDER_LABELS).to_pylist()
    return rows, labels, json.loads((out_dir / "account.json").read_text())


def test_parts_contain_every_image_once_and_labels_count_them(tmp_path: Path, source: Callable[..., Path]) -> None:
    rows, labels, account = run(tmp_path / "g000", [source("a", range(60))])
    assert len({row["uuid"] for row in rows}) == len(rows) == account["kept"] == 60
    assert {row["part"] for row in rows} == {0, 1, 2, 3}
    for number in range(4):
        part = tables.read_rows(tmp_path / f"g000/part-{number:04d}.parquet", CATALOG).to_pylist()
        assert {row["part"] for row in part} == {number}
    assert len(labels) == 5
    assert sum(label["images"] for label in labels) == 60
    assert {label["label_id"] for label in labels} == {row["label_id"] for row in rows}


def test_an_earlier_source_wins_and_the_later_is_counted(tmp_path: Path, source: Callable[..., Path]) -> None:
    first, second = source("a", range(10), "first"), source("b", range(5, 20), "second")
    rows, _, account = run(tmp_path / "g000", [first, second])
    assert account["dropped"] == {"repeated": 5}
    assert (account["rows_in"], account["kept"]) == (25, 20)
    assert sum(row["common"] == "first" for row in rows) == 10
    assert account["notes"]["kept of b"] == 10


def test_a_new_generation_contains_only_new_images(tmp_path: Path, source: Callable[..., Path]) -> None:
    run(tmp_path / "g000", [source("a", range(10))])
    older = sorted((tmp_path / "g000").glob("part-*.parquet"))
    before = [path.read_bytes() for path in older]
    rows, labels, account = run(tmp_path / "g001", [source("b", range(15)), source("c", range(12, 16))], older, 4)
    assert account["dropped"] == {"in_older_generation": 10, "repeated": 3}
    assert {row["source_url"].rsplit("/", 1)[1] for row in rows} == {f"{n}.jpg" for n in range(10, 16)}
    assert {row["generation"] for row in rows} == {1}
    assert sum(label["images"] for label in labels) == 6
    assert [path.read_bytes() for path in older] == before


def test_parts_of_an_earlier_plan_are_removed(tmp_path: Path, source: Callable[..., Path]) -> None:
    (tmp_path / "g000").mkdir()
    (tmp_path / "g000/part-0007.parquet").touch()
    run(tmp_path / "g000", [source("a", range(10))])
    assert len(list((tmp_path / "g000").iterdir())) == 7


def test_kept_columns_of_one_source_are_empty_in_another(tmp_path: Path, source: Callable[..., Path]) -> None:
    first = source("a", range(3))
    with tables.connect() as connection:
        more = f"SELECT * REPLACE ('other ' || uuid AS uuid), 'adult' AS \"lifeStage\" FROM {tables.scan(first)}"
        tables.write(connection, more, SOURCE_RECORDS, tmp_path / "b.parquet")
    rows, _, _ = run(tmp_path / "g000", [first, tmp_path / "b.parquet"])
    assert sorted((row["uuid"].startswith("other"), row["lifeStage"]) for row in rows) == [
        *[(False, None)] * 3,
        *[(True, "adult")] * 3,
    ]


def test_an_empty_generation_has_empty_parts(tmp_path: Path, source: Callable[..., Path]) -> None:
    run(tmp_path / "g000", [source("a", range(3))])
    rows, labels, account = run(
        tmp_path / "g001", [source("b", range(3))], sorted((tmp_path / "g000").glob("part*")), 4
    )
    assert (rows, labels, account["kept"]) == ([], [], 0)


def test_a_label_gets_its_most_frequent_common_name(tmp_path: Path, source: Callable[..., Path]) -> None:
    sources = [source("a", range(0, 5), "zebra"), source("b", range(5, 15), "ant"), source("c", range(15, 25), "bee")]
    _, labels, _ = run(tmp_path / "g000", sources)
    assert {label["common"] for label in labels} == {"ant"}


def test_a_label_gets_the_taxon_that_all_its_records_agree_on(tmp_path: Path, source: Callable[..., Path]) -> None:
    keyed = tmp_path / "keyed.parquet"
    rows = tables.read_rows(source("a", range(6)), SOURCE_RECORDS).to_pylist()
    # s0 has the records 0 and 5, which name two taxa; s1 has one record, which names one.
    named = {"0": "gbif:1", "5": "gbif:2", "1": "gbif:3"}
    tables.write_rows([row | {"taxon_key": named.get(row["source_url"][-5])} for row in rows], SOURCE_RECORDS, keyed)
    _, labels, _ = run(tmp_path / "g000", [keyed])
    assert {label["species"]: label["taxon_key"] for label in labels if label["species"] in ("s0", "s1", "s2")} == {
        "s0": None,
        "s1": "gbif:3",
        "s2": None,
    }


def test_threads_change_no_byte(tmp_path: Path, source: Callable[..., Path]) -> None:
    sources = [source("a", range(40)), source("b", range(20, 70))]
    run(tmp_path / "one", sources, threads=1)
    run(tmp_path / "two", sources, threads=2)
    for file in sorted((tmp_path / "one").iterdir()):
        assert file.read_bytes() == (tmp_path / "two" / file.name).read_bytes(), file.name


def test_an_invalid_source_table_is_named(tmp_path: Path, source: Callable[..., Path]) -> None:
    with pytest.raises(InputError, match="missing"):
        run(tmp_path / "g000", [tmp_path / "nowhere.parquet"])
    run(tmp_path / "g000", [source("a", range(3))])
    with pytest.raises(InputError, match="no column uuid"):
        run(tmp_path / "g001", [tmp_path / "g000/labels.parquet"])


def dealt(rows: list[dict[str, Any]]) -> dict[str, tuple[int, int, int]]:
    """Each image's part, and the part's share of its host."""
    return {row["uuid"]: (row["part"], row["host_parts"], row["host_turn"]) for row in rows}


@pytest.mark.parametrize("change", ["limits", "merge", "fewer images"])
def test_a_rerun_moves_no_known_image_to_another_part(
    tmp_path: Path, source: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    """Snakemake deletes the parts before the rule runs again."""
    few = DownloadLimits(default_host=HostLimits(connections=1))
    many = DownloadLimits(default_host=HostLimits(connections=4))

    def deal(name: str, images: range, limits: DownloadLimits, kept: Path | None) -> dict[str, tuple[int, int, int]]:
        out_dir = tmp_path / name
        merge(
            sources=(source(f"{name}-source", images),),
            generation=0,
            parts=4,
            first_part=3,
            out_dir=out_dir,
            memory_mb=500,
            threads=1,
            limits=limits,
            dealt=kept,
        )
        return dealt(
            [row for part in sorted(out_dir.glob("part-*.parquet")) for row in pq.read_table(part).to_pylist()]
        )

    kept = tmp_path / "dealt"
    first = deal("first", range(300), few, kept)
    assert first == deal("alone", range(300), few, None)
    assert first != deal("anew", range(300), many, None), "the limits would deal these images otherwise"
    if change == "merge":
        monkeypatch.setattr("workflow_scripts.common.host_parts.SMALL_SHARE", 1e9)
    images = range(0, 400) if change != "fewer images" else range(150, 400)
    again = deal("again", images, few if change == "merge" else many, kept)
    known = first.keys() & again.keys()
    assert len(known) == len(images) - 100
    assert {uuid: again[uuid] for uuid in known} == {uuid: first[uuid] for uuid in known}
    assert len(again) == len(images)
    # What is new at a known host has the share of the host that its part has.
    for part in range(3, 7):
        rows = pq.read_table(tmp_path / f"again/part-{part:04d}.parquet").to_pylist()
        shares = {(row["host"], row["host_parts"], row["host_turn"]) for row in rows}
        assert len({host for host, *_ in shares}) == len(shares)
    assert deal("once more", images, few, kept) == again


def test_with_fewer_parts_only_images_of_removed_parts_move(tmp_path: Path, source: Callable[..., Path]) -> None:
    records, kept = source("a", range(300)), tmp_path / "dealt"
    shown = {}
    for parts in (4, 3):
        merge(
            sources=(records,),
            generation=0,
            parts=parts,
            first_part=0,
            out_dir=tmp_path / "g000",
            memory_mb=500,
            threads=1,
            dealt=kept,
        )
        found = sorted((tmp_path / "g000").glob("part-*.parquet"))
        shown[parts] = dealt([row for part in found for row in pq.read_table(part).to_pylist()])
    assert {part for part, *_ in shown[3].values()} == {0, 1, 2}
    assert all(shown[3][uuid] == place for uuid, place in shown[4].items() if place[0] < 3)
