"""Judges in the workflow: a new threshold reruns only curate, a new judge runs on its parts, comments rerun nothing."""

import re
from typing import Any

import pytest
import torch
import yaml
from PIL import Image

from tests.screen.detectors import detector
from tests.workflow.conftest import CONFIG_FILES, Project
from workflow_scripts.common.accounts import read_account
from workflow_scripts.common.layout import Corpus
from workflow_scripts.common.open_clip_models import open_clip
from workflow_scripts.common.tables import read_rows
from workflow_scripts.contracts import CATALOG, FINDINGS, GATHERED_DOWNLOADS, VERDICTS

pytestmark = pytest.mark.slow

CORPUS = Corpus("results/corpora/micro")
VERDICTS_OF = CORPUS.verdicts(generation="g000")
PAGE = "results/runs/micro/report/index.html"
SIDE = 64
MUSEUM = {
    "judge": "clip",
    "of": "img_type LIKE 'Museum%'",
    "model": "timm:local-dir:judge",
    "classes": "support",
    "refuse": {"dark": -1, "light": -1},
}
PEOPLE = {"judge": "faces", "of": "img_type = 'Citizen Science' AND ends_with(uuid, '0')", "size": 96}
# An image is as sure to show an animal as it is red, so that about half are empty.
TRAPS = {
    "judge": "animals",
    "of": "img_type = 'Citizen Science' AND ends_with(uuid, '1')",
    "weights": "detector.onnx",
    "size": SIDE,
    "refuse": {"empty": 0.5},
}


class Screened(Project):
    """The finished micro world with judges, up to its verdicts."""

    def command(self, *words: str) -> list[str]:
        """Snakemake's command line with the judges' config."""
        command = super().command(*words)
        command.insert(command.index(CONFIG_FILES[-1]) + 1, "screen.yaml")
        return command

    def judge(self, comment: str = "", **judges: dict[str, Any]) -> None:
        """Write the judges' config."""
        self.path("screen.yaml").write_text(comment + yaml.safe_dump({"screen": judges, "screen_jobs": 1}))


def put_in_place(project: Project) -> None:
    """What a person gives: a small timm model with random weights, support images, a detector."""
    assert open_clip
    import timm

    torch.manual_seed(0)
    described = {"input_size": (3, 48, 48), "mean": (0.5,) * 3, "std": (0.5,) * 3, "crop_pct": 1.0}
    model = timm.create_model("test_resnet", num_classes=2)
    timm.models.save_for_hf(model, project.path("judge"), model_config=described, safe_serialization=True)
    for label, level in (("dark", 30), ("light", 220)):
        project.path(f"support/{label}").mkdir(parents=True)
        Image.new("RGB", (64, 64), (level,) * 3).save(project.path(f"support/{label}/one.png"))
    detector(project.folder, "rtdetr", side=SIDE).rename(project.path("detector.onnx"))


@pytest.fixture(scope="module")
def screened(finished: Project, tmp_path_factory: pytest.TempPathFactory) -> Screened:
    """The verdicts of a world with three judges."""
    project = Screened(finished.copied(tmp_path_factory.mktemp("screened") / "project").folder)
    put_in_place(project)
    project.judge(museum=MUSEUM, people=PEOPLE, traps=TRAPS)
    project.run(VERDICTS_OF)
    return project


def table(project: Screened, path: str, contract: Any) -> dict[str, list[dict[str, Any]]]:
    """The rows of each image."""
    found: dict[str, list[dict[str, Any]]] = {}
    for row in read_rows(project.path(path), contract).to_pylist():
        found.setdefault(row["uuid"], []).append(row)
    return found


def test_findings_become_verdicts_and_every_image_is_counted(screened: Screened) -> None:
    catalog: dict[str, list[dict[str, Any]]] = {}
    for part in ("0000", "0001"):
        catalog |= table(screened, CORPUS.catalog_part(generation="g000", part=part), CATALOG)
    downloads = table(screened, CORPUS.gathered(generation="g000"), GATHERED_DOWNLOADS)
    kinds = {uuid: catalog[uuid][0]["img_type"] or "" for uuid, (row,) in downloads.items() if row["status"] == "ok"}
    asked = {
        "museum": {uuid for uuid, kind in kinds.items() if kind.startswith("Museum")},
        "people": {uuid for uuid, kind in kinds.items() if kind == "Citizen Science" and uuid.endswith("0")},
        "traps": {uuid for uuid, kind in kinds.items() if kind == "Citizen Science" and uuid.endswith("1")},
    }
    found = {name: table(screened, CORPUS.gathered_findings(judge=name, generation="g000"), FINDINGS) for name in asked}
    for name, images in asked.items():
        assert images and set(found[name]) == images
        account = read_account(screened.path(CORPUS.gathered_findings_account(judge=name, generation="g000")))
        assert (account.rows_in, account.kept) == (len(images), len(images))
    refused = {uuid: f"museum: {row['label']}" for uuid, (row,) in found["museum"].items()}
    for uuid, rows in found["traps"].items():
        if {row["label"]: row["score"] for row in rows}["animal"] < TRAPS["refuse"]["empty"]:
            refused[uuid] = "traps: empty"
    verdicts = {uuid: row for uuid, (row,) in table(screened, VERDICTS_OF, VERDICTS).items()}
    ended = {uuid: row["detail"] for uuid, row in verdicts.items() if row["reason"] == "screened"}
    assert ended.items() <= refused.items() and {one.partition(":")[0] for one in ended.values()} == {"museum", "traps"}
    # The others were refused for something that comes first.
    assert all(verdicts[uuid]["reason"] for uuid in refused)


def test_the_page_shows_each_judge(screened: Screened) -> None:
    screened.run(PAGE, "--allowed-rules", "report_build")
    page = screened.path(PAGE).read_text()
    section = page.partition('<section id="screening">')[2].partition("</section>")[0]
    for judge in ("museum", "people", "traps"):
        (images,) = re.findall(rf"<summary>{judge}: (\d+) images", section)
        account = read_account(screened.path(CORPUS.gathered_findings_account(judge=judge, generation="g000")))
        assert int(images) == account.rows_in
    assert "data:image/jpeg" in section


def test_a_threshold_plans_curate_a_new_judge_its_parts_and_a_comment_nothing(screened: Screened) -> None:
    judges = {"museum": MUSEUM, "people": PEOPLE, "traps": TRAPS}
    assert screened.planned(VERDICTS_OF) == {}
    try:
        screened.judge("# These are the thresholds that we chose.\n", **judges)
        assert screened.planned(VERDICTS_OF) == {}
        screened.judge(**judges | {"museum": MUSEUM | {"refuse": {"light": 0.9}}})
        assert screened.planned(VERDICTS_OF) == {"curate": 1}
        other = MUSEUM | {"of": "img_type = 'Citizen Science'"}
        screened.judge(**judges, other=other)
        assert screened.planned(VERDICTS_OF) == {"screen_classes": 1, "screen": 1, "screen_gather": 1, "curate": 1}
        # What a judge found that is no longer asked stays, and counts no more.
        screened.judge(museum=MUSEUM, people=PEOPLE)
        assert screened.planned(VERDICTS_OF) == {"curate": 1}
        screened.judge(**judges | {"museum": MUSEUM | {"clusters": 3}})
        done = screened.run("-n", VERDICTS_OF)
        assert "redoes finished work: screen (1 finished job," in done
        assert "redo=screen" in done
    finally:
        screened.judge(**judges)
