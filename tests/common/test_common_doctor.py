"""The doctor's findings for a recipe disappear when the keys that they name are changed."""

from pathlib import Path
from typing import Any

import pytest

from tests.messages import says
from workflow_scripts.common.config.root import Config, load_config, read_yaml
from workflow_scripts.common.config.site import SiteSettings
from workflow_scripts.common.doctor import consequences, downloads

ROOT = Path(__file__).resolve().parents[2]


def recipe(**changes: Any) -> Config:
    values = read_yaml(ROOT / "config/config.yaml")
    values["train"] |= changes.pop("train", {})
    return load_config(values | changes, "config", SiteSettings())


@pytest.mark.parametrize(
    ("changes", "gpus", "named", "mended"),
    [
        ({"limits": {"train": {"processes": 4}}}, 2, "limits.train.processes", {"limits": {"train": {"processes": 2}}}),
        ({"train": {"allow_cpu": False}}, 0, "train.allow_cpu: true", {"train": {"allow_cpu": True}}),
        ({"train": {"precision": "bf16"}}, 0, "train.precision", {"train": {"precision": "fp32"}}),
    ],
)
def test_a_key_that_does_not_fit_the_machine_is_named_until_it_fits(
    changes: dict[str, Any], gpus: int, named: str, mended: dict[str, Any]
) -> None:
    assert says("\n".join(consequences(recipe(**changes), gpus=gpus, site_disk=1000)), named)
    assert not says("\n".join(consequences(recipe(**mended), gpus=gpus, site_disk=1000)), named)


def test_the_fetch_that_it_names_has_the_config(tmp_path: Path) -> None:
    values = read_yaml(ROOT / "config/config.yaml")
    del values["world"]
    values["limits"] = {"train": {"processes": 1}}
    found = consequences(load_config(values, "config", SiteSettings()), 0, 1000, configfile="mine.yaml")
    assert says("\n".join(found), "1 process", "snakemake fetch --profile profiles/local --configfile mine.yaml")


def test_photos_on_disk_need_no_internet_and_addresses_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.csv").write_text("path,species\n1.jpg,Pica pica\n")
    Path("theirs.csv").write_text("url,species\nhttps://a.example/1.jpg,Pica pica\n")
    values = read_yaml(ROOT / "config/photos.yaml") | {"benchmarks": {}, "curate": {}}
    local: list[dict[str, Any]] = [
        {"name": "photos", "reader": "folders", "images": "photos"},
        {"name": "mine", "reader": "table", "table": "mine.csv"},
    ]
    remote = {"name": "theirs", "reader": "table", "table": "theirs.csv"}
    for sources, names in ((local, []), ([*local, remote], ["source theirs"])):
        recipe = load_config(values | {"generations": [{"parts": 1, "sources": sources}]}, "c.yaml", SiteSettings())
        assert downloads(recipe) == names
        said = "\n".join(consequences(recipe, gpus=0, site_disk=1000, configfile="c.yaml"))
        # The clone's `run` works in any folder.
        assert (f"`{ROOT / 'run'} fetch" in said) == bool(names)


def test_a_config_of_given_corpora_is_examined() -> None:
    values = read_yaml(ROOT / "config/photos.yaml")
    for section in ("world", "replay", "taxonomy", "generations", "screen"):
        values.pop(section, None)
    recipe = load_config(
        values | {"corpus": "made/elsewhere", "benchmarks": {}, "curate": {}}, "c.yaml", SiteSettings()
    )
    assert "source" not in " ".join(downloads(recipe))
