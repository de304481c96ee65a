"""A takedown reaches replay pairs, and lists every model that was trained on the removed images."""

import base64
import hashlib
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest

from tests.curate.pipeline import Pipeline
from tests.digests import digests
from tests.messages import says
from workflow_scripts.common import tables
from workflow_scripts.common.accounts import read_account
from workflow_scripts.common.config.screen import Refusal, Refusals
from workflow_scripts.common.files import sha256_file
from workflow_scripts.common.layout import Corpus
from workflow_scripts.contracts import BENCHMARK_IMAGES, DOWNLOADS, FINDINGS, GATHERED_DOWNLOADS, LEDGER, REPLAY_INDEX
from workflow_scripts.curate.takedown import takedown
from workflow_scripts.report.screening import read_screening
from workflow_scripts.screen.sample import sample

SPLITS = ("train", "val")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    """Images of photos 0 to 29; pairs of photos 20 to 79, of which ten are images too."""
    pipeline = Pipeline(tmp_path_factory.mktemp("built"))
    pipeline.catalog(0, range(30))
    pipeline.build(0)
    pipeline.replay(range(20, 80))
    return pipeline


@pytest.fixture
def pipeline(built: Pipeline, tmp_path: Path) -> Pipeline:
    shutil.copytree(built.results, tmp_path / "results")
    return Pipeline(tmp_path / "results")


@pytest.fixture
def url(built: Pipeline) -> Callable[[int], str]:
    """The URL of a photo in the catalog and the selection."""
    return lambda number: str(built.photo(number))


def take_down(pipeline: Pipeline, **choice: Any) -> None:
    takedown(corpus="small", results=pipeline.results, **choice)


def pairs(pipeline: Pipeline) -> dict[str, bytes]:
    """The bytes of every pair in a shard."""
    found = {}
    for split in SPLITS:
        folder = pipeline.corpus / "replay" / split
        for row in tables.read_rows(folder / "index.parquet", REPLAY_INDEX).to_pylist():
            data = (folder / row["shard"]).read_bytes()
            found[row["uuid"]] = data[row["offset"] : row["offset"] + row["size"]]
    return found


def sums(pipeline: Pipeline) -> dict[str, str]:
    return digests(pipeline.corpus / "replay", "train/*", "val/*")


def test_a_pair_is_gone_by_its_url_and_stays_gone_and_no_other_pair_moves(
    pipeline: Pipeline, url: Callable[[int], str]
) -> None:
    before, all_pairs = sums(pipeline), pairs(pipeline)
    take_down(pipeline, url=url(41))
    left = pairs(pipeline)
    assert left == {uuid: data for uuid, data in all_pairs.items() if uuid != "pair-0041"}
    for path in pipeline.corpus.rglob("*"):
        assert not path.is_file() or all_pairs["pair-0041"] not in path.read_bytes(), path
    after = sums(pipeline)
    changed = {name for name in before if before[name] != after[name]}
    assert {name.partition("/")[0] for name in changed} == {"train"}
    assert len([name for name in changed if name.endswith(".tar")]) == 1
    (row,) = tables.read_rows(pipeline.ledger, LEDGER).to_pylist()
    assert (row["uuid"], row["generation"], row["split"]) == ("pair-0041", None, "train")

    made = {path: path.stat().st_mtime_ns for path in (pipeline.corpus / ".work/replay").rglob("shard.tar")}
    pipeline.build_replay()
    assert sums(pipeline) == after
    assert made.items() <= {path: path.stat().st_mtime_ns for path in made}.items(), "another shard was written again"
    for folder in ("replay/train", "replay/val", "replay/download", ".work"):
        shutil.rmtree(pipeline.corpus / folder)
    pipeline.build_replay()
    assert sums(pipeline) == after
    assert read_account(pipeline.corpus / "replay/account.json").dropped == {"taken_down": 1}


def test_the_same_bytes_go_from_the_images_and_from_the_pairs(
    pipeline: Pipeline, url: Callable[[int], str], tmp_path: Path
) -> None:
    take_down(pipeline, url=url(25))
    ledger = {row["uuid"]: row["generation"] for row in tables.read_rows(pipeline.ledger, LEDGER).to_pylist()}
    assert ledger == {"g0-0025": 0, "pair-0025": None}
    assert "pair-0025" not in pairs(pipeline)
    (tmp_path / "uuids.txt").write_text("pair-0026\n")
    take_down(pipeline, uuid=tmp_path / "uuids.txt")
    assert "g0-0026" in tables.read_rows(pipeline.ledger, LEDGER)["uuid"].to_pylist()


def test_a_published_dataset_that_holds_an_image_goes_and_another_stays(
    pipeline: Pipeline, url: Callable[[int], str], capsys: pytest.CaptureFixture[str]
) -> None:
    for run, uuid in (("one", "g0-0003"), ("other", "g0-9999")):
        dataset = pipeline.results / f"runs/{run}/publish/dataset"
        (pipeline.results / f"runs/{run}/.work/publish/key").mkdir(parents=True)
        dataset.mkdir(parents=True)
        duckdb.sql(f"COPY (SELECT '{uuid}' AS uuid) TO '{dataset}/catalog.parquet'")
    take_down(pipeline, url=url(3), dry_run=True)
    assert "1 published datasets\n" in capsys.readouterr().out
    assert (pipeline.results / "runs/one/publish/dataset").exists()
    take_down(pipeline, url=url(3))
    left = [path.parent.name for path in pipeline.results.glob("runs/*/publish") if any(path.iterdir())]
    assert left == ["other"]
    assert [path.parents[1].name for path in pipeline.results.glob("runs/*/.work/publish")] == ["other"]


def test_findings_and_the_pages_that_show_an_image_go_with_it(
    pipeline: Pipeline, url: Callable[[int], str], capsys: pytest.CaptureFixture[str]
) -> None:
    files = Corpus(str(pipeline.corpus))
    images = tables.read_rows(Path(files.download_part(part="0000")), DOWNLOADS).to_pylist()
    taken, downloads = images[0], Path(files.downloads())
    gathered, sampled = Path(files.gathered(generation="g000")), Path(files.sample(judge="museum"))
    findings = [
        Path(files.findings(judge="museum", part="0000")),
        Path(files.gathered_findings(judge="museum", generation="g000")),
    ]
    scores = [{"uuid": row["uuid"], "score": 0.5 + place / 100} for place, row in enumerate(images)]
    for table in findings:
        tables.write_rows(
            [row | {"judge": "museum", "label": "page", "data_source": "test"} for row in scores], FINDINGS, table
        )
    report = pipeline.results / "runs/a/report/index.html"

    def make_pages() -> list[str]:
        sample(name="museum", findings=(findings[1],), gathered=(gathered,), downloads=downloads, out=sampled)
        rules = Refusals(rules=[Refusal(judge="museum", label="page", reason="page", at_least=0.51)])
        (judge,) = read_screening([findings[1]], [gathered], rules, downloads)
        near = [*judge.thresholds[0].refused, *judge.thresholds[0].kept]
        report.parent.mkdir(parents=True, exist_ok=True)
        report.write_text("".join(f'<figure><img src="{one.thumbnail}">{one.uuid}</figure>' for one in near))
        return [figure for page in (sampled, report) for figure in page.read_text().split("<figure>")[1:]]

    pictures = [re.findall(r'base64,([^"]+)', figure)[0] for figure in make_pages() if taken["uuid"] in figure]
    assert len(pictures) == 2
    content = (downloads / "part-0000" / taken["tar"]).read_bytes()[taken["offset"] :][: taken["size"]]
    hidden = [content, base64.b64encode(content), *(picture.encode() for picture in pictures)]

    def holders() -> list[Path]:
        every = [path for path in pipeline.results.rglob("*") if path.is_file()]
        return [path for path in every if any(shown in path.read_bytes() for shown in hidden)]

    assert len(holders()) >= 3
    take_down(pipeline, url=url(int(taken["uuid"][-4:])))
    said = capsys.readouterr().out
    assert listed(said, "findings of judges") == list(map(str, findings))
    assert (listed(said, "sample pages of judges"), listed(said, "report pages")) == ([str(sampled)], [str(report)])
    assert not sampled.exists() and not report.exists()
    for table in findings:
        left = tables.read_rows(table, FINDINGS).to_pylist()
        assert [row["uuid"] for row in left] == [row["uuid"] for row in images[1:]]
    assert not holders()
    downloaded = tables.read_rows(Path(files.download_part(part="0000")), DOWNLOADS).to_pylist()
    tables.write_rows([row | {"part": 0} for row in downloaded], GATHERED_DOWNLOADS, gathered)
    assert not [figure for figure in make_pages() if taken["uuid"] in figure] and not holders()


def training(pipeline: Pipeline, name: str, *, read: tuple[str, ...] = (), start: str = "random") -> Path:
    """Write a training's summary and weights, trained on folders of the corpus or on none."""
    folder = pipeline.results / name
    (folder / "train").mkdir(parents=True)
    data = {
        path: [sha256_file(pipeline.corpus / path / f"{kind}.parquet") for kind in ("manifest", "index")]
        for path in read
    }
    (folder / "train/summary.json").write_text(json.dumps({"digests": {"data": data, "start": [start]}}))
    weights = folder / "train/model.safetensors"
    weights.write_text(f"weights of {name}")
    return weights


def listed(said: str, kind: str) -> list[str]:
    """The names below the line that counts a kind."""
    lines = said.splitlines()
    place = next(number for number, line in enumerate(lines) if line.endswith(f" {kind}"))
    return [line.strip() for line in lines[place + 1 : place + 1 + int(lines[place].split()[0])]]


def test_every_model_that_learnt_from_an_image_is_named_also_by_a_later_takedown(
    pipeline: Pipeline, url: Callable[[int], str], capsys: pytest.CaptureFixture[str]
) -> None:
    first = training(pipeline, "runs/first", read=("shards/g000/train",))
    training(pipeline, "runs/tuned", start=sha256_file(first))
    training(pipeline, "runs/other", start="elsewhere")
    pretrained = training(pipeline, "shared/models/pretrained-1", read=("replay/train",))
    training(pipeline, "runs/second", start=sha256_file(pretrained))
    on_images = [str(pipeline.results / "runs" / name) for name in ("first", "tuned")]
    on_pairs = [str(pipeline.results / name) for name in ("runs/second", "shared/models/pretrained-1")]

    take_down(pipeline, url=url(1))
    assert listed(capsys.readouterr().out, "models") == on_images
    # The tables have changed since the training read them.
    take_down(pipeline, url=url(2))
    assert listed(capsys.readouterr().out, "models") == on_images
    take_down(pipeline, url=url(61))
    assert listed(capsys.readouterr().out, "models") == on_pairs
    take_down(pipeline, url=url(22), dry_run=True)
    assert listed(capsys.readouterr().out, "models") == sorted(on_images + on_pairs)


def test_features_and_pages_of_a_benchmark_that_shows_the_image_go_with_it(
    pipeline: Pipeline, url: Callable[[int], str], capsys: pytest.CaptureFixture[str]
) -> None:
    copy = pipeline.results / "birds.jpg"
    copy.write_bytes(pipeline.photo(3).read_bytes())
    md5 = hashlib.md5(copy.read_bytes()).hexdigest()
    rows = [{"position": 0, "image": "1.jpg", "path": str(copy), "md5": md5, "class": "magpie"}]
    tables.write_rows(rows, BENCHMARK_IMAGES, pipeline.results / "shared/benchmarks/birds-0a1b2c3d/images.parquet")
    files = {}
    for run in ("a", "b"):
        for name in ("features/m/birds.safetensors", "features/m/plants.safetensors", "report/index.html"):
            files[f"{run} {name}"] = pipeline.results / "runs" / run / name
    for run, key in (("a", "0a"), ("b", "0b")):
        # The features are shared with other runs that score the same model, by hard links.
        for name in ("birds", "plants"):
            files[f"{run} {name} work"] = pipeline.results / f"shared/.work/features/{key}{name}/{name}.safetensors"
            files[f"{run} {name} key"] = files[f"{run} {name} work"].with_name("key.json")
    files["c page"] = pipeline.results / "runs/c/report/index.html"
    for file in files.values():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("<html>g0-0004</html>")
        if file.name == "key.json":
            file.write_text(json.dumps({"name": f"{file.parent.name[2:]}.safetensors"}))
    take_down(pipeline, url=url(3))
    said = capsys.readouterr().out
    assert listed(said, "benchmark images") == [str(copy)]
    assert says(said, "benchmark folders")
    left = {name for name, file in files.items() if file.exists()}
    plants = {
        f"{run} {kind}" for run in "ab" for kind in ("features/m/plants.safetensors", "plants work", "plants key")
    }
    assert left == plants | {"c page"}
    # A page that contains the uuid shows the image.
    take_down(pipeline, url=url(4))
    assert not files["c page"].exists()
