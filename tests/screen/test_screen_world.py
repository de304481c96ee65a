"""The embedded world includes pictures without an organism; the judge `clip` finds them."""

import csv
import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from tests.curate.inputs import Corpus, verdicts
from tests.screen.conftest import Downloaded
from workflow_scripts.common.config.screen import ClipJudge
from workflow_scripts.common.config.world import WorldSettings
from workflow_scripts.common.open_clip_models import open_clip
from workflow_scripts.common.tables import read_rows
from workflow_scripts.contracts import FINDINGS
from workflow_scripts.screen.classes import make_classes
from workflow_scripts.screen.clip import judge_by_class
from workflow_scripts.screen.gather import gather
from workflow_scripts.world.appearance import looks_of
from workflow_scripts.world.make import make_world
from workflow_scripts.world.pictures import Picture, draw_pictures
from workflow_scripts.world.planted import KINDS, ORGANISM, Planted, kinds_of
from workflow_scripts.world.table import SHIPPED, read_species

pytestmark = pytest.mark.slow

FAMILIES = {"Araneidae", "Felidae", "Anatidae", "Rosaceae", "Pinaceae", "Boletaceae"}
PLANTED = 16
SIDE = 48
STEPS = 60


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A world of a few dozen species with planted pictures."""
    folder = tmp_path_factory.mktemp("planted")
    with SHIPPED.open(newline="") as source:
        rows = [row for row in csv.DictReader(source) if row["family"] in FAMILIES]
    with (folder / "species.csv").open("w", newline="") as target:
        table = csv.DictWriter(target, rows[0])
        table.writeheader()
        table.writerows(rows)
    settings = WorldSettings(
        species=str(folder / "species.csv"), images_per_species=10, unseen_species=6, replay_pairs=50, planted=PLANTED,
        benchmark_images_per_species=6, troubles=False, image_size=224,
    )  # fmt: skip
    make_world(settings=settings, out=folder / "world")
    return folder / "world"


def model_folder(folder: Path, *, steps: int) -> str:
    """A small timm model, untrained or trained to recognise such pictures, on other kinds and seeds."""
    # After what makes torchvision importable.
    assert open_clip
    import timm

    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = timm.create_model("test_resnet", num_classes=1 + len(KINDS))
    species = [one for one in read_species() if one.ranks[4] in FAMILIES]
    if steps:
        pictures, answers = [], []
        for place, look in enumerate(looks_of(species)):
            pictures += [Picture(f"0/{place}-{number}.jpg", look, 224) for number in range(10)]
            for answer, what in enumerate(KINDS, start=1):
                pictures += [
                    Picture(f"{answer}/{place}-{kind}-{number}.jpg", Planted(what, kind, look), 224)
                    for kind in kinds_of(what, is_support=True)
                    for number in range(2)
                ]
        draw_pictures(pictures, out=folder / "drawn", seed=7, jobs=1)
        answers = torch.tensor([int(picture.path[0]) for picture in pictures])
        images = torch.stack([_pixels(folder / "drawn" / picture.path) for picture in pictures])
        _train(model, images, answers, steps)
    described = {"input_size": (3, SIDE, SIDE), "mean": (0.5,) * 3, "std": (0.5,) * 3, "crop_pct": 1.0}
    described["interpolation"] = "bilinear"
    timm.models.save_for_hf(model, folder / "model", model_config=described, safe_serialization=True)
    return f"timm:local-dir:{folder / 'model'}"


def _pixels(path: Path) -> torch.Tensor:
    with Image.open(path) as image:
        side = min(image.size)
        left, top = ((length - side) // 2 for length in image.size)
        small = image.convert("RGB").crop((left, top, left + side, top + side)).resize((SIDE, SIDE))
    return torch.from_numpy(np.asarray(small).copy()).permute(2, 0, 1).float() / 127.5 - 1


def _train(model: Any, images: torch.Tensor, answers: torch.Tensor, steps: int) -> None:
    optimizer = torch.optim.AdamW(model.parameters(), lr=4e-3, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=steps)
    drawn = torch.Generator().manual_seed(0)
    for step in range(steps):
        some = torch.randint(len(images), (48,), generator=drawn)
        batch = images[some].flip(3) if step % 2 else images[some]
        loss = torch.nn.functional.cross_entropy(model(batch), answers[some], label_smoothing=0.05)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    model.eval()


@pytest.fixture(scope="module")
def corpus(world: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Downloaded, dict[str, str]]:
    """The world's pictures as they would be downloaded, in two parts, and the class of those that are planted."""
    pages = {
        f"{host}{path}": page["file"]
        for host, held in json.loads((world / "world.json").read_text())["hosts"].items()
        for path, page in held["pages"].items()
    }
    with (world / "planted.csv").open(newline="") as file:
        planted_urls = {row["source_url"]: row["class"] for row in csv.DictReader(file)}
    made = Downloaded(tmp_path_factory.mktemp("corpus"))
    images: dict[str, bytes] = {}
    planted: dict[str, str] = {}
    for row in pq.read_table(world / "catalog.parquet").to_pylist():
        at = row["source_url"].partition("://")[2]
        file = next(
            file for place, file in pages.items() if place.rpartition("/")[2] and at.endswith(place.partition("/")[2])
        )
        images[row["uuid"]] = (world / file).read_bytes()
        if row["source_url"] in planted_urls:
            planted[row["uuid"]] = planted_urls[row["source_url"]]
    names = sorted(images)
    for part in (0, 1):
        made.add(part, {name: images[name] for name in names[part::2]})
    return made, planted


def refused(corpus: Downloaded, world: Path, model: str, name: str) -> set[str]:
    """The images that a judge by the world's support images refuses, by the real steps."""
    folder = corpus.folder / "screen" / name
    classes = dict.fromkeys(KINDS, -1.0)
    settings = ClipJudge(judge="clip", model=model, classes=str(world / "support"), refuse=classes)
    make_classes(settings=settings, model=model, out=folder / "classes.safetensors")
    judge_by_class(model=model, classes=folder / "classes.safetensors", group=corpus.group(name, of=settings.of))
    where = {"out": folder / "g000.parquet", "account": folder / "g000.account.json"}
    parts = tuple(folder / f"part-{part:04d}.parquet" for part in (0, 1))
    gather(name=name, groups=(corpus.group(name).account,), findings=parts, **where)
    findings = read_rows(where["out"], FINDINGS).to_pylist()
    out = Corpus(corpus.folder / f"curate-{name}").decide(
        [{"uuid": row["uuid"], "label": "magpie"} for row in findings],
        findings=findings,
        refusals=[rule.model_dump() for rule in settings.refusals(name)],
    )
    return {uuid for uuid, row in verdicts(out).items() if row["reason"] == "screened"}


def test_the_judge_finds_what_is_planted_and_random_weights_find_less(
    world: Path, corpus: tuple[Downloaded, dict[str, str]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    downloaded, planted = corpus
    others = {row["uuid"] for row in pq.read_table(world / "catalog.parquet").to_pylist()} - set(planted)
    assert Counter(planted.values()) == dict.fromkeys(KINDS, PLANTED)
    assert len(others) > 150
    found = {
        name: refused(downloaded, world, model_folder(tmp_path_factory.mktemp(name), steps=steps), name)
        for name, steps in (("trained", STEPS), ("random", 0))
    }
    assert len(found["trained"] & set(planted)) >= 0.95 * len(planted)
    assert len(found["trained"] & others) <= 0.01 * len(others)
    mistakes = {name: len(set(planted) - some) + len(some & others) for name, some in found.items()}
    assert mistakes["random"] >= 5 + 2 * mistakes["trained"]
    assert len(found["random"] & set(planted)) < len(found["trained"] & set(planted))


def test_support_images_show_no_kind_that_is_planted_and_no_picture_twice(world: Path) -> None:
    with (world / "planted.csv").open(newline="") as file:
        kinds = {row["kind"] for row in csv.DictReader(file)}
    support = sorted((world / "support").glob("*/*.jpg"))
    shown = {path.stem.partition("-")[2] for path in support if path.parent.name != ORGANISM}
    assert kinds and shown and not kinds & shown
    assert {path.parent.name for path in support} == {ORGANISM, *KINDS}
    pictures = [path.read_bytes() for path in [*support, *world.rglob("site/**/*.jpg")]]
    assert len(set(pictures)) == len(pictures)
