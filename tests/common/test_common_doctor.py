"""The doctor's findings for a recipe disappear when the keys that they name are changed."""

from pathlib import Path
from typing import Any

import pytest

from tests.messages import says
from workflow_scripts.common.config.root import Config, load_config, read_yaml
from workflow_scripts.common.config.site import SiteSettings
from workflow_scripts.common.doctor import consequences

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
    found = consequences(load_config(values, "config", SiteSettings()), 0, 1000, configfile="mine.yaml")
    assert says("\n".join(found), "snakemake fetch --profile profiles/local --configfile mine.yaml")
