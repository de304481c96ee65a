"""The world's miniature of every benchmark goes through its reader, the embedding and its protocol."""

import importlib
import json
from pathlib import Path
from typing import Any

import pytest

from tests.evaluate.scoring import score_layout
from workflow_scripts.common.accounts import read_account
from workflow_scripts.common.config.benchmark_sources import benchmark_sources
from workflow_scripts.common.config.evaluate import BenchmarkSettings, EmbedLimits
from workflow_scripts.common.config.root import read_yaml
from workflow_scripts.common.config.world import WorldSettings
from workflow_scripts.common.tables import read_rows
from workflow_scripts.contracts import BENCHMARK_IMAGES
from workflow_scripts.evaluate.embed import embed
from workflow_scripts.evaluate.label_files import DIFFERING
from workflow_scripts.evaluate.newt.search import search_newt
from workflow_scripts.world.make import make_world
from workflow_scripts.world.table import SHIPPED

ROOT = Path(__file__).resolve().parents[2]
SMALL = WorldSettings(images_per_species=2, unseen_species=2, benchmark_images_per_species=6, replay_pairs=50)
CLASSIFIED = {"zero_shot/top1", "few_shot/1", "few_shot/5", "zero_shot/ece"}
# Rows, usable ones, and a metric that must be there.
EXPECTED: dict[str, tuple[int, int, set[str]]] = {
    "nabirds": (21, 21, CLASSIFIED),
    "plankton": (21, 20, CLASSIFIED),
    "insects2": (21, 21, CLASSIFIED),
    "plantnet": (21, 21, CLASSIFIED),
    "fungi": (21, 20, CLASSIFIED),
    "plantvillage": (21, 21, CLASSIFIED),
    "med_leaf": (21, 21, CLASSIFIED),
    "plantdoc_meta": (21, 21, CLASSIFIED),
    "birds525": (21, 21, CLASSIFIED),
    "camera_trap": (70, 70, CLASSIFIED | {"subset/ENA24/zero_shot/top1"}),
    "newt": (36, 36, {"svm/micro", "v1.0.1/svm/micro"}),
    "fishnet": (18, 16, {"traits/all_right", "v1.0.1/traits/all_right", "v2.0.0/traits/all_right"}),
    "awa2": (16, 16, {"attributes/macro_f1", "v1.0.1/attributes/macro_f1"}),
    "herbarium19": (
        32,
        32,
        {"clustering/all", "clustering/old", "v2.0.0/clustering/new", "main-49e1cf5/clustering/all"},
    ),
    "plantdoc": (15, 15, {"few_shot/1", "v1.0.1/few_shot/1"}),
}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    lines = SHIPPED.read_text(encoding="utf-8").splitlines()
    folder = tmp_path_factory.mktemp("miniatures")
    table = folder / "species.csv"
    table.write_text("\n".join([lines[0], *[line for row, line in enumerate(lines[1:]) if row // 2 % 10 == 0]]) + "\n")
    make_world(settings=SMALL, out=folder / "world", species=table, jobs=2)
    return folder / "world"


def settings_of(name: str, world: Path) -> BenchmarkSettings:
    text = json.dumps(read_yaml(ROOT / "config/miniatures.yaml")["benchmarks"][name])
    return BenchmarkSettings.model_validate_json(text.replace("{world}", str(world)))


def test_all_of_the_papers_benchmarks_have_a_miniature() -> None:
    own = {"rare_species", "insects", "replay"}
    assert set(EXPECTED) | own == set(benchmark_sources())
    assert set(EXPECTED) == set(read_yaml(ROOT / "config/miniatures.yaml")["benchmarks"])


@pytest.mark.parametrize("name", EXPECTED)
def test_a_miniature_is_read_embedded_and_scored(
    name: str, models: dict[str, str], world: Path, tmp_path: Path
) -> None:
    settings = settings_of(name, world)
    reader: Any = importlib.import_module(f"workflow_scripts.evaluate.{settings.spec.layout}.index")
    images, account = tmp_path / "images.parquet", tmp_path / "account.json"
    getattr(reader, f"index_{settings.spec.layout}")(name=name, settings=settings.spec, out=images, account=account)
    rows, usable, metrics = EXPECTED[name]
    counted = read_account(account)
    assert (counted.rows_in, counted.kept) == (rows, usable)
    features = {"ours": tmp_path / f"{name}.safetensors"}
    limits = EmbedLimits(batch=64, workers=0)
    embed(work=tmp_path / "work", model=models["ours"], images=images, out=features["ours"], limits=limits)
    searches = {}
    if name == "newt":
        searches = {"ours": tmp_path / "searches"}
        for part in range(2):
            out = searches["ours"] / f"part-{part:04d}.parquet"
            search_newt(images=images, features=features["ours"], part=part, parts=2, out=out, draws=2)
    score_layout(
        benchmark=name,
        settings=settings,
        images=images,
        models={"ours": models["ours"]},
        features=features,
        searches=searches,
        out_dir=tmp_path,
    )
    found = json.loads((tmp_path / "ours" / f"{name}.json").read_text())["metrics"]
    assert metrics <= set(found)
    assert all(0 <= found[metric] <= 1 for metric in metrics)


def test_what_is_missing_or_broken_is_named_and_shifts_no_other(world: Path, tmp_path: Path) -> None:
    for name, reason in (("fungi", "missing"), ("plankton", "unreadable")):
        spec: Any = settings_of(name, world).spec
        images, account = tmp_path / f"{name}.parquet", tmp_path / f"{name}.json"
        reader: Any = importlib.import_module("workflow_scripts.evaluate.csv.index")
        reader.index_csv(name=name, settings=spec, out=images, account=account)
        notes = read_account(account).notes.items()
        [(note, position)] = [(key, row) for key, row in notes if key not in ("classes", DIFFERING)]
        assert note.startswith(f"{reason} ")
        assert position == 9
        table = read_rows(images, BENCHMARK_IMAGES).to_pylist()
        assert [row["position"] for row in table] == [*range(9), *range(10, 21)]
        assert all(row["class"].split()[0].split("_")[0].lower() in row["image"].lower() for row in table)
