"""Export a run as a Workflow Run RO-Crate: steps, inputs and outputs in a standard vocabulary."""

import json
import re
import shutil
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rocrate.model.contextentity import ContextEntity
from rocrate.rocrate import ROCrate

from workflow_scripts.common.cli import run as run_command
from workflow_scripts.common.config.report import PublishSettings
from workflow_scripts.common.documents import read_document, without_folders
from workflow_scripts.common.files import sha256_file, whole, write_json
from workflow_scripts.contracts import RUN, TRAINING
from workflow_scripts.report.cards import check_given

METADATA = "ro-crate-metadata.json"
# RO-Crate 1.1 is what version 0.5 of the run profiles builds on; `sha256` is a term of theirs.
VERSION, TERMS = "1.1", "https://w3id.org/ro/terms/workflow-run/context"
PROFILES = (
    ("https://w3id.org/ro/wfrun/process/0.5", "Process Run Crate", "0.5"),
    ("https://w3id.org/ro/wfrun/workflow/0.5", "Workflow Run Crate", "0.5"),
    ("https://w3id.org/workflowhub/workflow-ro-crate/1.0", "Workflow RO-Crate", "1.0"),
)
SCREENING_LINK = re.compile(r'\s*<a href="#screening">Screening</a>')
WEIGHTS = "open_clip_model.safetensors"


def crate(
    *,
    facts: Path,
    summary: Path,
    page: Path,
    table: Path,
    model: Path,
    workflow: Path,
    settings: PublishSettings,
    out: Path,
    logs: Path | None = None,
) -> None:
    """Write the crate: the Snakefile, the config, the report, the scores, and metadata that ties them together.

    It is thin: the weights and the corpus are named by their digests, and lie where the run left them.

    Args:
        facts: the report's run.json.
        summary: the training's summary.json.
        page: the report's page.
        table: the report's scores.csv.
        model: the exported model's folder.
        workflow: the Snakefile.
        settings: licence and authors to publish.
        out: the crate's ro-crate-metadata.json; everything else goes beside it.
        logs: folder of what the run's jobs took, for when it began.

    Raises:
        InputError: a file is missing or no JSON, or nobody gave authors and licence.
    """
    check_given(settings, "authors", "model_license")
    told, trained = read_document(facts, RUN), read_document(summary, TRAINING)
    folder = out.parent
    for path in (facts, page, table, workflow):
        # Not linked: what a person edits in place, the Snakefile say, must not change in a crate.
        with whole(folder / path.name) as temporary:
            if path == page:
                temporary.write_text(without_screening(page.read_text(encoding="utf-8")), encoding="utf-8")
            else:
                shutil.copyfile(path, temporary)
    write_json(folder / "config.json", told["config"])
    # Its folders are one machine's.
    write_json(folder / summary.name, without_folders(trained))
    made = ROCrate(version=VERSION)
    made.metadata.extra_contexts.append(TERMS)
    made.name = f"Run {told['run']} on corpus {told['corpus'].get('id', told['corpus']['name'])}"
    made.description = "A CLIP model of images and names of organisms: how it was trained, and its scores."
    made.license = _entity(made, "#licence", "CreativeWork", name=settings.model_license)
    # The report is the last that a run makes: its time stands for the run's, so that the same run gives the same crate.
    made.root_dataset["datePublished"] = _time_of(page)
    made.root_dataset["conformsTo"] = [
        _entity(made, at, "CreativeWork", name=name, version=version) for at, name, version in PROFILES
    ]
    steps = made.add_workflow(
        folder / workflow.name, workflow.name, main=True, lang="snakemake", properties={"name": "TreeOfLife workflow"}
    )
    config = _file(made, folder / "config.json", "application/json", "Config")
    results = [
        _file(made, folder / page.name, "text/html", "Report"),
        _file(made, folder / table.name, "text/csv", "Scores"),
        _file(made, folder / facts.name, "application/json", "Facts of the run"),
        _file(made, folder / summary.name, "application/json", "Facts of the training"),
        _named(made, "#model", f"Model {told['run']}", "sha256", sha256_file(model / WEIGHTS)),
    ]
    corpus = _named(made, "#corpus", f"Corpus {told['corpus']['name']}", "sha256", told["corpus"].get("digest", ""))
    code = _named(made, "#code", "Code of the training", "digest", str(trained["digests"]["code"]))
    agents = [
        _entity(made, f"#author-{number}", "Organization", name=name)
        for number, name in enumerate(settings.authors, start=1)
    ]
    action = made.add_action(
        steps,
        identifier="#run",
        object=[config, corpus, code],
        result=results,
        properties={
            "name": made.name,
            **({"startTime": began} if (began := _start_of(logs)) else {}),
            "endTime": _time_of(page),
            "actionStatus": "http://schema.org/CompletedActionStatus",
        },
    )
    action["agent"] = agents
    made.root_dataset["mentions"] = [action]
    made.metadata.write(folder)
    # The library's order of keys is its own affair.
    write_json(out, json.loads((folder / METADATA).read_text(encoding="utf-8")))


def without_screening(page: str) -> str:
    """A report's page without what judges found in images: whom they take for a person goes to nobody."""
    return re.sub(r"<section id=\"screening\">.*?</section>\n*", "", SCREENING_LINK.sub("", page), flags=re.DOTALL)


def _time_of(path: Path) -> str:
    return _written(path.stat().st_mtime)


def _written(seconds: float) -> str:
    return datetime.fromtimestamp(int(seconds), UTC).isoformat()


def _start_of(logs: Path | None) -> str | None:
    """When the first of a run's jobs began, by what Snakemake measured of them; None where it measured nothing."""
    began = []
    for path in logs.rglob("*.tsv") if logs is not None else ():
        with suppress(ValueError, IndexError):
            seconds = path.read_text(encoding="utf-8").splitlines()[1].split("\t")[0]
            began.append(path.stat().st_mtime - float(seconds))
    return _written(min(began)) if began else None


def _file(made: ROCrate, path: Path, kind: str, name: str) -> Any:
    properties = {"name": name, "encodingFormat": kind, "contentSize": str(path.stat().st_size)}
    return made.add_file(path, path.name, properties=properties | {"sha256": sha256_file(path)})


def _named(made: ROCrate, at: str, name: str, kind: str, value: str) -> ContextEntity:
    """Something that lies outside the crate, named by a digest."""
    digest = _entity(made, f"{at}-digest", "PropertyValue", name=kind, value=value)
    return _entity(made, at, "CreativeWork", name=name, identifier=digest)


def _entity(made: ROCrate, at: str, kind: str, **properties: Any) -> ContextEntity:
    return made.add(ContextEntity(made, at, properties={"@type": kind, **properties}))


if __name__ == "__main__":
    run_command(crate)
