"""Estimates of time, memory and disk from a table of unit costs."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.messages import says
from workflow_scripts.common.config.root import load_config, read_yaml
from workflow_scripts.common.config.site import SiteSettings
from workflow_scripts.common.errors import InputError
from workflow_scripts.common.tables import write_rows
from workflow_scripts.common.unit_costs import COSTS, read_costs
from workflow_scripts.contracts import CATALOG
from workflow_scripts.report.scale import scale

ROOT = Path(__file__).resolve().parents[2]
HEADER = "step,unit,seconds,on,jobs,memory_mb,kept_bytes,files,source\n"


def printed(tmp_path: Path, capsys: pytest.CaptureFixture[str], rows: str, **counts: Any) -> list[list[str]]:
    table = tmp_path / "costs.csv"
    table.write_text(HEADER + rows)
    scale(costs=table, **counts)
    lines = capsys.readouterr().out.splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_hours_are_divided_by_parallel_jobs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = "a,images,7200,core,parts,2048,150000,700,bench\nb,images,3600,core,1,0,0,0,bench\n"
    wide, single = printed(tmp_path, capsys, rows, images=10_000_000, parts=4, cores=64)
    assert wide == ["a", "10,000,000 images", "20.0 h", "5.0 h", "2.0 GiB", "1,500.0 GB", "7,000", "bench"]
    assert single[2:4] == ["10.0 h", "10.0 h"]
    (narrow, _) = printed(tmp_path, capsys, rows, images=10_000_000, parts=4, cores=2)
    assert narrow[3] == "10.0 h"


def test_training_counts_samples_of_all_epochs_on_gpus(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = "train ViT-L-14,samples,3600,gpu,1000,0,0,0,paper\nreplay,pairs,1,core,1,0,0,0,bench\n"
    (train,) = printed(tmp_path, capsys, rows, images=2_000_000, epochs=3, gpus=2, cores=64)
    assert train[1:4] == ["6,000,000 samples", "6.0 h (GPU)", "3.0 h"]
    scale(costs=tmp_path / "costs.csv", images=2_000_000, epochs=3, gpus=2, cores=64, json_lines=True)
    (printed_row,) = map(json.loads, capsys.readouterr().out.splitlines())
    assert {key: printed_row[key] for key in ("step", "units", "on", "hours", "hours_here")} == {
        "step": "train ViT-L-14", "units": 6_000_000, "on": "gpu", "hours": 6.0, "hours_here": 3.0,
    }  # fmt: skip


def test_each_judge_counts_its_own_images(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    types = ["Camera-trap"] * 5 + ["Citizen Science"] * 2
    row = {"label_id": "l", "data_source": "t", "source_url": "http://a/", "host": "a", "generation": 0, "part": 0}
    images = [row | {"uuid": f"u{number}", "img_type": kind} for number, kind in enumerate(types)]
    write_rows(images, CATALOG, tmp_path / "part-0000.parquet")
    judges = {
        "traps": {"judge": "animals", "of": "img_type = 'Camera-trap'", "weights": "d.onnx"},
        "people": {"judge": "faces", "of": "img_type != 'Camera-trap'"},
        "labels": {"judge": "clip", "model": "ViT-B-32-quickgelu:openai", "prompts": {"a": ["a"], "b": ["b"]}},
    }
    values = read_yaml(ROOT / "config/config.yaml") | {"screen": judges, "screen_jobs": 2}
    screening = load_config(values, "c.yaml", SiteSettings()).screening
    rows = "download,images,0,core,1,0,0,0,bench\nscreen animals,images,3600e6,gpu,screen,0,0,0,bench\n"
    rows += "screen faces,images,3600e6,core,screen,0,0,0,bench\nshards,images,0,core,1,0,0,0,bench\n"
    printed_rows = printed(tmp_path, capsys, rows, catalog=(tmp_path / "part-0000.parquet",), screening=screening)
    assert [cells[:4] for cells in printed_rows[1:3]] == [
        ["screen people", "2 images", "2.0 h", "1.0 h"],
        ["screen traps", "5 images", "5.0 h (GPU)", "2.5 h"],
    ]
    assert [cells[0] for cells in printed_rows] == ["download", "screen people", "screen traps", "shards"]
    scale(catalog=(tmp_path / "part-0000.parquet",), screening=screening)
    assert says(capsys.readouterr().err, "screen clip ViT-B-32", "unit cost")


def test_a_model_without_a_unit_cost_is_named_on_stderr(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = "train ViT-L-14,samples,3600,gpu,1000,0,0,0,paper\n"
    assert printed(tmp_path, capsys, rows, images=2_000_000, model="tiny") == []
    scale(images=2_000_000, model="tiny")
    assert says(capsys.readouterr().err, "training", "tiny")


def test_the_shipped_costs_can_be_read() -> None:
    costs = read_costs(COSTS)
    assert {cost.step.split()[0] for cost in costs} >= {"catalog", "download", "taxonomy", "curate", "shards", "train"}
    assert all(cost.source for cost in costs)


def test_a_wrong_table_is_named(tmp_path: Path) -> None:
    table = tmp_path / "costs.csv"
    table.write_text(HEADER + "a,images,many,core,1,0,0,0,bench\n")
    with pytest.raises(InputError, match=r"costs\.csv: .*table of costs"):
        read_costs(table)
