"""Judges in the workflow: a threshold reruns curate alone, a new judge looks at its parts, a comment does nothing."""

import csv
import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from tests.workflow.conftest import CONFIG_FILES, Project, copy_project
from workflow_scripts.common.accounts import read_account
from workflow_scripts.common.layout import Corpus
from workflow_scripts.common.open_clip_models import open_clip
from workflow_scripts.common.tables import read_rows
from workflow_scripts.contracts import CATALOG, FINDINGS, VERDICTS

pytestmark = pytest.mark.slow

CORPUS = Corpus("results/corpora/micro")
VERDICTS_OF = CORPUS.verdicts(generation="g000")
PLANTED = 4
MUSEUM = {
    "judge": "clip",
    "of": "img_type LIKE 'Museum%' OR img_type = 'Camera-trap'",
    "model": "timm:local-dir:judge",
    "classes": "{world}/support",
    "refuse": {"label": -1, "landscape": -1},
}


class Screened(Project):
    """The micro world with judges, up to its verdicts."""

    def command(self, *words: str) -> list[str]:
        """Snakemake's command line with the judges' config."""
        command = super().command(*words)
        command.insert(command.index(CONFIG_FILES[-1]) + 1, "screen.yaml")
        return command

    def judge(self, comment: str = "", **judges: dict[str, Any]) -> None:
        """Write the judges' config."""
        # Another world than the one that other tests serve meanwhile.
        port = int(os.environ.get("MICRO_PORT", "18931")) + 100
        values = {"world": {"planted": PLANTED, "port": port}, "screen": judges, "screen_jobs": 2}
        self.path("screen.yaml").write_text(comment + yaml.safe_dump(values))


def save_model(folder: Path) -> None:
    """A small timm model with random weights."""
    assert open_clip
    import timm

    torch.manual_seed(0)
    described = {"input_size": (3, 48, 48), "mean": (0.5,) * 3, "std": (0.5,) * 3, "crop_pct": 1.0}
    model = timm.create_model("test_resnet", num_classes=2)
    timm.models.save_for_hf(model, folder, model_config=described, safe_serialization=True)


@pytest.fixture(scope="module")
def screened(tmp_path_factory: pytest.TempPathFactory) -> Screened:
    """The verdicts of a world with one judge."""
    project = Screened(copy_project(tmp_path_factory.mktemp("screened") / "project").folder)
    save_model(project.path("judge"))
    project.judge(museum=MUSEUM)
    project.run(VERDICTS_OF)
    return project


def table(project: Screened, path: str, contract: Any) -> dict[str, dict[str, Any]]:
    return {row["uuid"]: row for row in read_rows(project.path(path), contract).to_pylist()}


def test_findings_become_verdicts_and_every_image_asked_for_is_counted(screened: Screened) -> None:
    catalog: dict[str, dict[str, Any]] = {}
    for part in ("0000", "0001"):
        catalog |= table(screened, CORPUS.catalog_part(generation="g000", part=part), CATALOG)
    findings = table(screened, CORPUS.gathered_findings(judge="museum", generation="g000"), FINDINGS)
    with screened.path("results/world/micro/planted.csv").open(newline="") as file:
        planted = {row["source_url"]: row["class"] for row in csv.DictReader(file)}
    kinds = Counter(planted[row["source_url"]] for row in catalog.values() if row["source_url"] in planted)
    assert kinds == {"label": PLANTED, "landscape": PLANTED, "empty frame": PLANTED, "face": PLANTED}
    asked = {
        uuid
        for uuid, row in catalog.items()
        if (row["img_type"] or "").startswith("Museum") or row["img_type"] == "Camera-trap"
    }
    assert findings and set(findings) <= asked
    assert {uuid for uuid in asked if catalog[uuid]["source_url"] in planted} <= set(findings)
    account = read_account(screened.path(CORPUS.gathered_findings_account(judge="museum", generation="g000")))
    assert (account.rows_in, account.kept) == (len(findings), len(findings))
    refused = {uuid for uuid, row in findings.items() if row["label"] in MUSEUM["refuse"]}
    verdicts = table(screened, VERDICTS_OF, VERDICTS)
    screened_out = {uuid for uuid, row in verdicts.items() if row["reason"] == "screened"}
    assert screened_out and screened_out <= refused
    assert all(verdicts[uuid]["reason"] for uuid in refused)


def test_a_threshold_plans_curate_a_new_judge_its_parts_and_a_comment_nothing(screened: Screened) -> None:
    assert screened.planned(VERDICTS_OF) == {}
    try:
        screened.judge("# These are the thresholds that we chose.\n", museum=MUSEUM)
        assert screened.planned(VERDICTS_OF) == {}
        screened.judge(museum=MUSEUM | {"refuse": {"label": 0.9}})
        assert screened.planned(VERDICTS_OF) == {"curate": 1}
        other = MUSEUM | {"of": "img_type = 'Citizen Science'"}
        screened.judge(museum=MUSEUM, other=other)
        assert screened.planned(VERDICTS_OF) == {"screen_classes": 1, "screen": 2, "screen_gather": 1, "curate": 1}
        screened.judge(museum=MUSEUM | {"clusters": 3})
        done = screened.run("-n", VERDICTS_OF)
        assert "redoes finished work: screen (2 finished jobs" in done
        assert "redo=screen" in done
    finally:
        screened.judge(museum=MUSEUM)
