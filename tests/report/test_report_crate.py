"""A run's crate conforms to the Workflow Run RO-Crate profile, and names corpus, code and model."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
import requests
from rocrate_validator import models, services
from rocrate_validator.utils.http import HttpRequester

from tests.report import small_corpus
from workflow_scripts.common.config.report import PublishSettings
from workflow_scripts.report.crate import crate

# A stand-in for the contexts on the internet, with the terms of run crates.
SCHEMA_ORG = (
    *("CreateAction", "CreativeWork", "ComputerLanguage", "Dataset", "Organization", "PropertyValue"),
    *("SoftwareApplication", "SoftwareSourceCode", "about", "actionStatus", "agent", "contentSize", "datePublished"),
    *(
        "description",
        "encodingFormat",
        "endTime",
        "hasPart",
        "startTime",
        "identifier",
        "instrument",
        "license",
        "mainEntity",
    ),
    *("mentions", "name", "object", "programmingLanguage", "result", "startTime", "url", "value", "version"),
)
CONTEXT = {term: f"http://schema.org/{term}" for term in SCHEMA_ORG} | {
    "File": "http://schema.org/MediaObject",
    "ComputationalWorkflow": "https://bioschemas.org/ComputationalWorkflow",
    "conformsTo": "http://purl.org/dc/terms/conformsTo",
    "sha256": "https://w3id.org/ro/terms/workflow-run#sha256",
}


def _answer(*_: object, **__: object) -> requests.Response:
    """The response to the validator's request for a context."""
    answer = requests.Response()
    answer.status_code = 200
    answer.headers["Content-Type"] = "application/ld+json"
    answer._content = json.dumps({"@context": CONTEXT}).encode()
    return answer


@pytest.fixture
def made(tmp_path: Path) -> Path:
    corpus = small_corpus.make(tmp_path)
    for name in ("index.html", "scores.csv"):
        (corpus.run / "report" / name).write_text("x")
    (tmp_path / "Snakefile").write_text("rule all:\n")
    summary = json.loads((corpus.run / "train/summary.json").read_text())
    summary["model"] = {"start": "local-dir:/home/somebody/weights", "architecture": "ViT-B-32"}
    (corpus.run / "train/summary.json").write_text(json.dumps(summary))
    jobs = tmp_path / "logs/train/run.tsv"
    jobs.parent.mkdir(parents=True)
    jobs.write_text("s\th:m:s\n3600.5\t1:00:00\n")
    os.utime(jobs, (1_800_003_600.5, 1_800_003_600.5))
    os.utime(corpus.run / "report/index.html", (1_800_010_000, 1_800_010_000))
    crate(
        facts=corpus.run / "report/run.json",
        summary=corpus.run / "train/summary.json",
        page=corpus.run / "report/index.html",
        table=corpus.run / "report/scores.csv",
        model=corpus.run / "model",
        workflow=tmp_path / "Snakefile",
        settings=PublishSettings(authors=["A. Group"], model_license="cc-by-4.0"),
        out=corpus.run / "crate/ro-crate-metadata.json",
        logs=tmp_path / "logs",
    )
    return corpus.run / "crate"


def issues(folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setattr(HttpRequester, "get", _answer, raising=False)
    settings = services.ValidationSettings(
        rocrate_uri=str(folder),
        profile_identifier="workflow-run-crate-0.5",
        requirement_severity=models.Severity.REQUIRED,
        offline=True,
    )
    found = services.validate(settings).get_issues(models.Severity.REQUIRED)
    return [f"{issue.check.identifier}: {issue.message}" for issue in found]


def test_the_crate_is_valid_by_the_validator(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert issues(made, monkeypatch) == []


def test_the_validator_sees_what_is_missing(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    metadata = made / "ro-crate-metadata.json"
    described = json.loads(metadata.read_text())
    described["@graph"] = [entity for entity in described["@graph"] if entity["@id"] != "Snakefile"]
    metadata.write_text(json.dumps(described))
    assert issues(made, monkeypatch)


def test_the_run_names_what_it_used_and_made(made: Path) -> None:
    graph: dict[str, Any] = {
        entity["@id"]: entity for entity in json.loads((made / "ro-crate-metadata.json").read_text())["@graph"]
    }
    run = graph["#run"]
    assert run["instrument"] == {"@id": "Snakefile"}
    assert (run["startTime"], run["endTime"]) == ("2027-01-15T08:00:00+00:00", "2027-01-15T10:46:40+00:00")
    assert [graph[one["@id"]]["name"] for one in run["agent"]] == ["A. Group"]
    assert graph[graph["./"]["license"]["@id"]]["name"] == "cc-by-4.0"
    assert json.loads((made / "summary.json").read_text())["model"]["start"] == "local-dir:weights"
    assert not any(b"/home/somebody" in path.read_bytes() for path in made.iterdir())
    assert {part["@id"] for part in run["object"]} == {"config.json", "#corpus", "#code"}
    assert {part["@id"] for part in run["result"]} >= {"index.html", "scores.csv", "#model"}
    corpus = json.loads((made / "run.json").read_text())["corpus"]
    assert graph[graph["#corpus"]["identifier"]["@id"]]["value"] == corpus["digest"]
    assert graph[graph["#code"]["identifier"]["@id"]]["value"] == "c0de"
    assert json.loads((made / "config.json").read_text())["train"] == {"lr": 1e-3}
