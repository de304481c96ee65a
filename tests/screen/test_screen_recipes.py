"""The recipes' judges: those in config/gbif.yaml, and those commented out in bioclip2.yaml."""

import os
import re
from pathlib import Path

import pytest
import yaml
from safetensors import safe_open

from workflow_scripts.common.config.root import load_config, read_yaml
from workflow_scripts.common.config.screen import ClipJudge, class_of
from workflow_scripts.common.config.site import SiteSettings

ROOT = Path(__file__).resolve().parents[2]
REAL = os.environ.get("TREEOFLIFE_REAL_DATA")


def collections() -> set[str]:
    """The values of `collection` that the GBIF reader gives to specimens."""
    text = (ROOT / "workflow_scripts/catalog/gbif.sql").read_text()
    (body,) = re.findall(r"MACRO collection_of.*?END;", text, re.S)
    return set(re.findall(r"(?:THEN|ELSE)\s+'([^']+)'", body))


def test_each_collection_with_a_support_set_is_judged_once() -> None:
    config = load_config(read_yaml(ROOT / "config/gbif.yaml"), "gbif.yaml", SiteSettings())
    asked = [judge.of for judge in config.screen.values() if isinstance(judge, ClipJudge)]
    found = [re.fullmatch(r"img_type = 'Museum Specimen: (.+)' AND several_images = 'true'", of) for of in asked]
    names = [match[1] for match in found if match]
    assert len(names) == len(set(names)) == len(asked) == 9
    assert collections() - set(names) == {
        "Vertebrate Zoology - Reptiles",
        "Vertebrate Zoology - Others",
        "Uncategorized",
    }
    assert set(names) <= collections()
    others = {judge.of for judge in config.screen.values()} - set(asked)
    assert others == {"img_type = 'Camera-trap'", "img_type = 'Citizen Science'"}
    reasons = {rule.reason.replace("_", " ").removeprefix("a ") for rule in config.refusals.rules}
    assert reasons == {"text document", "landscape", "handwritten label", "face", "empty"}


def test_the_published_catalog_s_recipe_has_them_commented_and_they_work() -> None:
    text = (ROOT / "config/bioclip2.yaml").read_text()
    assert "screen" not in yaml.safe_load(text)
    block = re.search(r"^# screen:\n(?:#  .*\n)+", text, re.M)
    assert block is not None
    values = read_yaml(ROOT / "config/gbif.yaml") | yaml.safe_load(re.sub(r"^# ", "", block[0], flags=re.M))
    assert {judge.judge for judge in load_config(values, "b", SiteSettings()).screen.values()} == {
        "animals",
        "faces",
        "clip",
    }


@pytest.mark.skipif(not REAL, reason="left out: TREEOFLIFE_REAL_DATA is not set")
def test_what_the_recipe_refuses_is_in_the_published_support_sets() -> None:
    site = SiteSettings(data=str(Path(str(REAL), "real")))
    config = load_config(read_yaml(ROOT / "config/gbif.yaml"), "gbif.yaml", site)
    for judge in config.screen.values():
        if isinstance(judge, ClipJudge):
            with safe_open(str(judge.classes), "numpy") as file:
                assert set(judge.refuse) <= {class_of(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
