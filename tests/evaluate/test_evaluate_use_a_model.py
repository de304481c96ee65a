"""The commands in docs/use-a-model.md do what the page says, in the folder of a finished run."""

import json
import re
import shlex
import shutil
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import tyro
from PIL import Image

from tests.transformers_library import transformers
from workflow_scripts.common.captions import Taxon
from workflow_scripts.common.clip import load
from workflow_scripts.common.prompts import text_features
from workflow_scripts.common.tables import write_rows
from workflow_scripts.contracts import LABELS, SEEN_SPECIES

PAGE = Path(__file__).resolve().parents[2] / "docs/use-a-model.md"
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", PAGE.read_text(), re.M | re.S)
COMMANDS = [line for language, block in BLOCKS if not language for line in block.splitlines() if "python -m" in line]
SNIPPETS = [block for language, block in BLOCKS if language == "python"]
SPECIES = [("Pica", "hudsonia", "black-billed magpie"), ("Corvus", "corax", "common raven")]


@pytest.fixture
def working_folder(models: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder after a run, with the user's own images."""
    model = tmp_path / "results/runs/demo/model"
    shutil.copytree(models["ours"].removeprefix("local-dir:"), model)
    taxa = [Taxon(("Animalia", "Chordata", "Aves", "", "", *names)) for *names, _ in SPECIES]
    entries = [[list(taxon.ranks), common] for taxon, (*_, common) in zip(taxa, SPECIES, strict=True)]
    (model / "txt_emb_species.json").write_text(json.dumps(entries))
    texts = [f"a photo of {taxon.taxonomic}." for taxon in taxa]
    np.save(model / "txt_emb_species.npy", text_features(load(models["ours"]), texts).T)
    corpus = tmp_path / "results/corpora/world"
    resolved = {"match_type": "exact", "strategy": "exact", "confidence": 1.0, "images": 3, "kingdom": "Animalia"}
    labels = [
        {"label_id": str(number), "genus": genus, "species": epithet, "common_name": common, **resolved}
        for number, (genus, epithet, common) in enumerate(SPECIES)
    ]
    write_rows(labels, LABELS, corpus / "taxonomy/labels.parquet")
    seen = [{"species": f"{genus} {epithet}".lower(), "images": 3} for genus, epithet, _ in SPECIES]
    write_rows(seen, SEEN_SPECIES, corpus / "curate/seen_species.parquet")
    (tmp_path / "photos").mkdir()
    for name in ("photo.jpg", "photos/1.jpg", "photos/2.jpg"):
        Image.effect_noise((60, 50), 90).convert("RGB").save(tmp_path / name)
    (tmp_path / "specimens.csv").write_text("occurrenceID,path\nurn:1,photos/1.jpg\nurn:2,photos/2.jpg\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def carried_out(line: str) -> None:
    """Run a command line of the page in this process."""
    _, _, module, *words = shlex.split(line)
    step = getattr(import_module(module), module.rpartition(".")[2])
    tyro.cli(step, args=words)


def executed(snippet: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    exec(compile(snippet, str(PAGE), "exec"), found)
    return found


def snippet_with(text: str) -> str:
    [snippet] = [one for one in SNIPPETS if text in one]
    return snippet


def test_the_commands_write_what_the_page_says(working_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert len(COMMANDS) == 5
    for line in COMMANDS:
        carried_out(line)
    assert capsys.readouterr().out.startswith("photo.jpg\n  ")
    assert pl.read_csv("found.csv")["occurrenceID"].to_list() == ["urn:1", "urn:2"]
    identified = pl.read_csv("identifications.csv")
    assert identified["identifiedBy"].unique().to_list() == ["BioCLIP, fine-tuned at MUSEUM"]
    terms = re.findall(r"^\| `(\w+)` \| ", PAGE.read_text(), re.M)
    assert set(terms) >= {"identifiedBy", "dateIdentified", "associatedMedia"} and set(terms) <= set(identified.columns)
    assert (working_folder / "for_transformers/config.json").is_file()
    found = executed(snippet_with("read_parquet"))
    assert found["vectors"].shape == (2, 16) and sorted(found["nearest"]) == ["1.jpg", "2.jpg"]


def test_open_clip_and_pybioclip_load_the_model_as_the_page_says(working_folder: Path) -> None:
    probabilities = executed(snippet_with("import open_clip"))["probabilities"].tolist()
    assert sum(probabilities) == pytest.approx(1, abs=1e-5)
    pytest.importorskip("bioclip")
    found = executed(snippet_with("CustomLabelsClassifier"))["found"]
    assert {row["classification"] for row in found} == {"Pica hudsonia", "Corvus corax"}
    by_genus = executed(snippet_with("CorpusClassifier"))["found"]
    assert {row["genus"] for row in by_genus} == {"Pica", "Corvus"}
    assert sum(row["score"] for row in by_genus) == pytest.approx(1, abs=1e-5)


def test_the_embeddings_of_names_are_read_as_the_page_says(working_folder: Path) -> None:
    found = executed(snippet_with("embeddings.shape"))
    assert (found["ranks"][-2:], found["common_name"]) == (["Pica", "hudsonia"], "black-billed magpie")
    assert np.linalg.norm(found["one"]) == pytest.approx(1, abs=1e-5)


def test_transformers_loads_the_exported_folder_as_the_page_says(
    working_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    transformers(monkeypatch)
    [command] = [line for line in COMMANDS if "export_transformers" in line]
    carried_out(command)
    probabilities = executed(snippet_with("CLIPProcessor"))["probabilities"].tolist()
    assert sum(probabilities) == pytest.approx(1, abs=1e-5)


def test_no_snippet_of_the_page_is_left_out() -> None:
    run_here = ("read_parquet", "import open_clip", "CustomLabelsClassifier", "CorpusClassifier", "embeddings.shape")
    assert {snippet_with(text) for text in (*run_here, "CLIPProcessor")} == set(SNIPPETS)
