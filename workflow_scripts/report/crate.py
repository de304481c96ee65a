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
from workflow_scripts.common.files import atomic, sha256_file, write_json
from workflow_scripts.contracts import RUN, TRAINING
from workflow_scripts.report.cards import check_given

METADATA = "ro-crate-metadata.json"
# Version 0.5 of the run profiles builds on RO-Crate 1.1; `sha256` is one of their terms.
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
    """Write the crate: Snakefile, config, report, scores, and the metadata that describes them.

    Weights and corpus are not copied; the metadata names them by digest.

    Args:
        facts: the report's run.json.
        summary: the training's summary.json.
        page: the report's page.
        table: the report's scores.csv.
        model: folder of the exported model.
        workflow: the Snakefile.
        settings: licence and authors to publish.
        out: output: the crate's ro-crate-metadata.json; other files are written beside it.
        logs: folder of the run's logs, for its start time.

    Raises:
        InputError: a file is missing or not valid JSON, or authors or licence are not set.
    """
    check_given(settings, "authors", "model_license")
    described, trained = read_document(facts, RUN), read_document(summary, TRAINING)
    folder = out.parent
    for path in (facts, page, table, workflow):
        # Copied, not linked: editing the original (the Snakefile, say) must not change the crate.
        with atomic(folder / path.name) as temporary:
            if path == page:
                temporary.write_text(without_screening(page.read_text(encoding="utf-8")), encoding="utf-8")
            else:
                shutil.copyfile(path, temporary)
    write_json(folder / "config.json", described["config"])
    # Paths of this machine are removed.
    write_json(folder / summary.name, without_folders(trained))
    made = ROCrate(version=VERSION)
    made.metadata.extra_contexts.append(TERMS)
    made.name = f"Run {described['run']} on corpus {described['corpus'].get('id', described['corpus']['name'])}"
    made.description = "Training and scores of a CLIP model of organism images and names."
    made.license = _entity(made, "#licence", "CreativeWork", name=settings.model_license)
    # The report is a run's last file; using its time as the run's gives the same crate for the same run.
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
        _named(made, "#model", f"Model {described['run']}", "sha256", sha256_file(model / WEIGHTS)),
    ]
    digest = described["corpus"].get("digest", "")
    corpus = _named(made, "#corpus", f"Corpus {described['corpus']['name']}", "sha256", digest)
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
            **({"startTime": start} if (start := _start_of(logs)) else {}),
            "endTime": _time_of(page),
            "actionStatus": "http://schema.org/CompletedActionStatus",
        },
    )
    action["agent"] = agents
    made.root_dataset["mentions"] = [action]
    made.metadata.write(folder)
    # Rewritten because the library's order of keys is not fixed.
    write_json(out, json.loads((folder / METADATA).read_text(encoding="utf-8")))


def without_screening(page: str) -> str:
    """A report's page without its section Screening, which may show people."""
    return re.sub(r"<section id=\"screening\">.*?</section>\n*", "", SCREENING_LINK.sub("", page), flags=re.DOTALL)


def _time_of(path: Path) -> str:
    return _iso_time(path.stat().st_mtime)


def _iso_time(seconds: float) -> str:
    return datetime.fromtimestamp(int(seconds), UTC).isoformat()


def _start_of(logs: Path | None) -> str | None:
    """Start of a run's first job, from Snakemake's benchmark files; None if there are none."""
    starts = []
    for path in logs.rglob("*.tsv") if logs is not None else ():
        with suppress(ValueError, IndexError):
            seconds = path.read_text(encoding="utf-8").splitlines()[1].split("\t")[0]
            starts.append(path.stat().st_mtime - float(seconds))
    return _iso_time(min(starts)) if starts else None


def _file(made: ROCrate, path: Path, kind: str, name: str) -> Any:
    properties = {"name": name, "encodingFormat": kind, "contentSize": str(path.stat().st_size)}
    return made.add_file(path, path.name, properties=properties | {"sha256": sha256_file(path)})


def _named(made: ROCrate, at: str, name: str, kind: str, value: str) -> ContextEntity:
    """An entity outside the crate, identified by a digest."""
    digest = _entity(made, f"{at}-digest", "PropertyValue", name=kind, value=value)
    return _entity(made, at, "CreativeWork", name=name, identifier=digest)


def _entity(made: ROCrate, at: str, kind: str, **properties: Any) -> ContextEntity:
    return made.add(ContextEntity(made, at, properties={"@type": kind, **properties}))


if __name__ == "__main__":
    run_command(crate)
