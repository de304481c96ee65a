"""Text from a config reaches commands unchanged: Snakemake expands no wildcards in it, and bash splits no words."""

import json
import re
import shlex
import types
from collections.abc import Iterator
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import pytest
import yaml

from tests.workflow.commands import snakemake
from workflow_scripts.common.config.base import Section
from workflow_scripts.common.config.root import Config, load_config, read_yaml, sections
from workflow_scripts.common.config.site import SiteSettings

ROOT = Path(__file__).resolve().parents[2]
RECIPES = sorted(
    file.stem
    for file in (ROOT / "config").glob("*.yaml")
    if file.stem not in ("site.example", "miniatures") and "run" in read_yaml(file)
)
# Everything that a person may ask for by name.
TARGETS = (
    *("all", "fetch", "data", "estimate", "train", "evaluate", "report", "publish", "crate", "compare", "leakage"),
    *("verify", "retry_failed", "model_card", "species_texts"),
)

TEXT = """ {sci} {5,} {} it's "$HOME" `id` %s <logs> *é"""
PATH = """ it's "$HOME" `id` %s *é"""


def plan(folder: Path, *words: str) -> list[str]:
    """The words of all commands that a dry run prints."""
    done = snakemake(folder, "-np", "-c2", *words)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    lines = [line for line in done.stdout.splitlines() if line.startswith("Shell command: ")]
    assert len(lines) > 20
    return [word for line in lines for word in shlex.split(line.removeprefix("Shell command: "))]


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_plans_every_target_with_absolute_folders(fresh: Any, recipe: str) -> None:
    site = {"results": f"{fresh.folder}/results of é", "data": f"{fresh.folder}/given by é"}
    fresh.path("config/site.yaml").write_text(yaml.safe_dump(site))
    file = fresh.path(f"config/{recipe}.yaml")
    # Fewer parts of the same kind: a plan of a thousand says no more.
    file.write_text(re.sub(r"\bparts: \d+", "parts: 2", file.read_text()))
    target = ("ablations",) if "ablations" in read_yaml(file) else ()
    words = plan(fresh.folder, *TARGETS, *target, "--config", "runs=[a]", "--configfile", str(file))
    (corpora,) = {word for before, word in pairwise(words) if before == "--corpora"}
    assert f"{site['results']}/corpora/" in corpora


def hostile(key: str) -> str:
    return key + TEXT


def hostile_path(key: str) -> str:
    return f"{{data}}/{key}{PATH}"


def hostile_predicate(key: str) -> str:
    quoted = hostile(key).replace("'", "''")
    return f"publisher <> '{quoted}' /* it's */"


def hostile_source(reader: str, **keys: Any) -> dict[str, Any]:
    return {"name": reader, "reader": reader, "select": hostile(f"{reader}.select"), "keep": [hostile("kept")], **keys}


def hostile_config() -> dict[str, Any]:
    """A config whose free texts are each unlike all others, and hold what some language would read as its own."""
    remote = {"dataset": "a/b", "revision": "0" * 40, "file": f"f/{hostile('file').replace('/', '')}"}
    host = {
        "content_types": [hostile("host.content_types")],
        "rewrite": {"pattern": rf"/(\d{{3}})/{re.escape(TEXT)}", "replacement": hostile("replacement")},
    }
    download = {
        "content_types": [hostile("content_types")],
        "allow_hosts": [hostile("allow_hosts")],
        "hosts": {hostile("host"): host},
    }
    images = {"labels": hostile_path("labels.csv"), "images": hostile_path("images")}
    folders = ("newt", "fishnet", "awa2", "plantdoc")
    return {
        "run": "run",
        "corpus": "corpus",
        "corpus_digest": hostile("corpus_digest"),
        "generations": [
            {
                "parts": 2,
                "sources": [
                    hostile_source(
                        "treeoflife200m",
                        catalog=hostile_path("catalog"),
                        provenance=hostile_path("provenance"),
                        crops=hostile_path("crops"),
                    ),
                    hostile_source(
                        "table",
                        table=hostile_path("table.csv"),
                        columns={hostile("our"): hostile("its")},
                        images=hostile_path("table.images"),
                        sheet=hostile("sheet"),
                    ),
                    hostile_source(
                        "gbif",
                        archive=hostile_path("archive"),
                        doi=hostile("doi"),
                        taxon_keys=hostile("gbif.taxon_keys"),
                    ),
                    hostile_source(
                        "eol",
                        manifest=hostile_path("manifest"),
                        taxa=hostile_path("taxa"),
                        taxon_keys=hostile("eol.taxon_keys"),
                    ),
                    hostile_source(
                        "bioscan",
                        metadata=hostile_path("metadata"),
                        images=hostile_path("bioscan"),
                        path="{processid}.jpg" + TEXT,
                    ),
                    hostile_source("fathomnet", records=hostile_path("records")),
                    hostile_source("inat21", images=hostile_path("inat21")),
                    hostile_source("folders", images=hostile_path("folders")),
                    hostile_source(
                        "treeoflife10m",
                        catalog=hostile_path("catalog10m"),
                        eol=hostile_path("eol10m"),
                        bioscan=hostile_path("bioscan10m"),
                        inat21=hostile_path("inat10m"),
                    ),
                ],
            },
            {
                "parts": 1,
                "sources": [
                    {"name": "hub", "reader": "fathomnet", "records": remote},
                    {"name": "asked", "reader": "gbif", "archive": {"gbif": "1234567-123456789012345"}},
                ],
            },
        ],
        "download": download,
        "taxonomy": {
            "backbones": [
                {"name": "given", "reader": "dwca", "path": hostile_path("backbone")},
                {"name": "fetched", "reader": "coldp", "url": hostile("https://host.example/")},
            ],
            "languages": [hostile("language")],
            "overrides": hostile_path("overrides"),
        },
        "curate": {
            "taxa": {"include": [hostile("include")], "exclude": [hostile("exclude")]},
            "licences": {"allow": [hostile("allow")]},
            "clean_of": ["csv"],
            "hold_out_species_of": ["csv", "carved"],
            "exclude_basis": [hostile("basis")],
            "verdicts": [hostile_path("verdicts")],
        },
        "attribution": {"cite": {hostile("cited"): hostile("cite")}},
        "replay": {
            "metadata": [hostile_path("replay.parquet")],
            "columns": {
                name: hostile(f"columns.{name}")
                for name in (
                    "url",
                    "caption",
                    "width",
                    "height",
                    "similarity",
                    "punsafe",
                    "pwatermark",
                    "license",
                    "language",
                )
            },
            "licenses": [hostile("replay.licenses")],
            "languages": [hostile("replay.languages")],
            "download": {"content_types": [hostile("replay.content_types")]},
        },
        "screen": {
            "nearest": {
                "judge": "clip",
                "of": hostile_predicate("nearest"),
                "model": f"local-dir:{hostile_path('judge.model')}",
                "classes": hostile_path("classes"),
                "refuse": {hostile("refused"): 0.5},
                "labels": hostile_path("labels.of.nearest"),
            },
            "prompted": {
                "judge": "clip",
                "model": f"local-dir:{hostile_path('judge.model')}",
                "prompts": {hostile("class"): [hostile("prompt")], "other": ["a"]},
            },
            "people": {
                "judge": "faces",
                "of": hostile_predicate("people"),
                "weights": hostile_path("faces"),
                "labels": hostile_path("labels.of.people"),
            },
            "traps": {
                "judge": "animals",
                "of": hostile_predicate("traps"),
                "weights": hostile_path("animals.onnx"),
                "classes": ["animal", hostile("detected")],
                "labels": hostile_path("labels.of.traps"),
            },
        },
        "model": {
            "architecture": {"embed_dim": 8, "vision_cfg": {"pool_type": hostile("architecture")}, "text_cfg": {}},
            "start": f"local-dir:{hostile_path('start')}",
        },
        "train": {
            "epochs": 1,
            "global_batch": 8,
            "replay_batch": 8,
            "templates": {"field": f"a photo of {{sci}}.{TEXT.replace('{5,}', '').replace('{}', '')}"},
            "text_types": ["sci", "field"],
        },
        "mix": [
            {"corpus": "corpus", "digest": hostile("mix.digest")},
            {"corpus": hostile_path("mix.corpus")},
            {"tars": hostile_path("tars"), "val_tars": hostile_path("val_tars")},
        ],
        "validation": {"further": hostile_path("validation")},
        "ablations": {"benchmarks": ["csv"], "replay": "pairs"},
        "benchmarks": {
            "csv": {"layout": "csv", "text_type": "sci", **images},
            "subsets": {"layout": "subsets", "subsets": dict.fromkeys("ab", images)},
            "folders": {"layout": "folders", "images": hostile_path("benchmark.folders")},
            "carved": {"layout": "carved", "species": 2, "shots": [1], "among": hostile_path("among")},
            "pairs": {"layout": "replay"},
            **{name: {"layout": name, "folder": hostile_path(name)} for name in folders},
            "herbarium19": {
                "layout": "herbarium19",
                "folder": hostile_path("herbarium19"),
                "classes": hostile_path("classes.json"),
            },
            "fetched": {
                "layout": "plantdoc",
                "folder": "{fetched}/x" + PATH,
                "fetch": [
                    {"url": hostile("https://host.example/"), "sha256": "0" * 64},
                    {"dataset": "a/b", "revision": "0" * 40, "files": [hostile("files")]},
                ],
            },
        },
        "baselines": {
            "folder": f"local-dir:{hostile_path('baseline')}",
            "file": {
                "architecture": "ViT-B-32",
                "start": f"{hostile_path('checkpoint')}.pt",
                "mean": [0, 0, 0],
                "std": [1, 1, 1],
            },
        },
        "publish": {
            "licences": [hostile("licences")],
            "model_license": hostile("model_license"),
            "authors": [hostile("authors")],
        },
        "limits": {
            "download": {
                "hosts": {hostile("limited"): {"contact": hostile("host.contact")}},
            },
            "train": {"wandb": {"project": hostile("project"), "entity": hostile("entity")}},
        },
    }


HOSTILE_SITE = {
    "results": f"results{PATH}",
    "data": f"data{PATH}",
    "scratch": hostile("scratch"),
    "contact": hostile("contact"),
    # What a user agent's grammar lets through.
    "product": "$HOME-`'|&%s*!~/1.0^#",
    "gbif_api": hostile("gbif_api"),
}
# Text that names something else in the config, that no command of these targets carries, or from a closed list.
NAMES = {
    ("Config", "benchmarks"),
    ("CurateSettings", "clean_of"),
    ("CurateSettings", "hold_out_species_of"),
    ("TrainSettings", "text_types"),
    ("TrainSettings", "validation_text_type"),
    ("Table", "delimiter"),
    ("Table", "encoding"),
    ("AblationSettings", "benchmarks"),
    ("AblationSettings", "replay"),
    ("LossSettings", "sources"),
    ("IntrinsicSettings", "benchmarks"),
    ("Limits", "jobs"),
    ("WorldSettings", "species"),
    ("SiteSettings", "image"),
    # A user agent's grammar has no apostrophe, by which texts are found again here.
    ("SiteSettings", "product"),
    ("Config", "screen"),
    ("FacesJudge", "refuse"),
    ("AnimalsJudge", "refuse"),
    ("Config", "baselines"),
    ("Baseline", "architecture"),
}


def holds_text(annotation: Any, constrained: bool = False) -> bool:
    """Whether a field's type lets anybody write what they like."""
    if annotation is str:
        return not constrained
    if get_origin(annotation) is Literal:
        return False
    if get_origin(annotation) is Annotated:
        inner, *metadata = get_args(annotation)
        return holds_text(inner, constrained or any(_has_pattern(entry) for entry in metadata))
    if get_origin(annotation) in (Union, types.UnionType, list, dict, tuple):
        return any(holds_text(entry, constrained) for entry in get_args(annotation))
    return False


def _has_pattern(entry: Any) -> bool:
    return any(getattr(part, "pattern", None) for part in (entry, *getattr(entry, "metadata", ())))


def free_texts(section: type[Section]) -> Iterator[tuple[str, str]]:
    for name, field in section.model_fields.items():
        if holds_text(field.annotation, any(_has_pattern(entry) for entry in field.metadata)):
            yield section.__name__, name


def strings(value: Any) -> Iterator[str]:
    """The strings in JSON, keys among them, and in JSON that stands in JSON."""
    if isinstance(value, dict):
        for key, entry in value.items():
            yield key
            yield from strings(entry)
    elif isinstance(value, list):
        for entry in value:
            yield from strings(entry)
    elif isinstance(value, str):
        yield value
        if value[:1] in "{[":
            with suppress(ValueError):
                yield from strings(json.loads(value))


def given(section: Any) -> Iterator[tuple[tuple[str, str], str]]:
    """Each hostile string of a config with the key that it was given by."""
    for name in type(section).model_fields:
        for entry in _entries(getattr(section, name)):
            if isinstance(entry, Section):
                yield from given(entry)
            elif isinstance(entry, str) and "it's" in entry:
                yield (type(section).__name__, name), entry


def _entries(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        for key, entry in value.items():
            yield key
            yield from _entries(entry)
    elif isinstance(value, list | tuple):
        for entry in value:
            yield from _entries(entry)
    else:
        yield value


def test_hostile_text_reaches_every_command_unchanged(fresh: Any) -> None:
    fresh.path("config/site.yaml").write_text(yaml.safe_dump(HOSTILE_SITE, allow_unicode=True))
    fresh.path("hostile.yaml").write_text(yaml.safe_dump(hostile_config(), allow_unicode=True))
    site = SiteSettings(**HOSTILE_SITE)
    config = load_config(hostile_config(), "hostile.yaml", site)
    texts = [*given(config), *given(site)]
    all_sections: set[type[Section]] = {Config, SiteSettings, *(section for _, section in sections())}
    everything = {key for section in all_sections for key in free_texts(section)}
    assert everything - NAMES - {key for key, _ in texts} == set()

    words = plan(fresh.folder, *TARGETS, "ablations", "--config", "runs=[a]", "--configfile", "hostile.yaml")
    arrived = set(strings(words)) | {word.removeprefix("local-dir:") for word in words}
    together = "\n".join(arrived)
    assert [key for key, text in texts if text not in arrived and text not in together] == []


@pytest.mark.parametrize("key", ["results", "data"])
@pytest.mark.parametrize("name", ["a{b}", "a{b", "<logs>"])
def test_a_folder_that_snakemake_would_read_as_a_pattern_is_refused(fresh: Any, key: str, name: str) -> None:
    fresh.path("config/site.yaml").write_text(yaml.safe_dump({key: f"/scratch/{name}"}))
    done = fresh.snakemake("-n", "all")
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert line.startswith(f"error: config/site.yaml: {key}: /scratch/{name}: ") and "rename" in line


def test_a_given_file_that_snakemake_would_read_as_a_pattern_is_refused(fresh: Any) -> None:
    done = fresh.snakemake("-n", "all", "--config", "taxonomy={overrides: 'a{b}.csv'}")
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert "taxonomy.overrides: a{b}.csv: " in line and "rename" in line
