"""The training's summary in words: every setting has a name of the field, a unit where it needs one, and its key."""

import re
from pathlib import Path

from workflow_scripts.common.config.train import ModelSettings, TrainLimits, TrainSettings
from workflow_scripts.report.training_summary import GROUPS, TERMS, quantities

REFERENCE = Path(__file__).parents[2] / "config/README.md"


def test_every_setting_that_a_summary_records_has_words() -> None:
    sections = {"settings": TrainSettings, "model": ModelSettings, "limits": TrainLimits}
    keys = {f"{name}.{field}" for name, section in sections.items() for field in section.model_fields}
    assert keys - TERMS.keys() == set()
    assert {key for key in TERMS if key.split(".")[0] in sections} - keys == set()


def test_numbers_have_units_and_shares_are_percent() -> None:
    summary = {"seconds": 74.264, "data_wait": 0.0285, "broken_samples": ["a", "b"], "second_projector": True}
    summary |= {"last": {"val_rank_genus": 0.5, "val_loss_biology": 0.25, "step": 7, "of_tomorrow": 1}}
    summary |= {"settings": {"lr": 1e-4, "clip_norm": None, "betas": [0.9, 0.98]}, "limits": {"max_batch": 64}}
    found = {row.key: row for row in quantities(summary)}
    assert (found["data_wait"].number, found["data_wait"].unit, found["data_wait"].text) == (2.85, "%", "2.85")
    assert (found["last.val_rank_genus"].number, found["last.val_rank_genus"].words) == (50, "accuracy by rank, genus")
    assert (found["last.val_loss_biology"].words, found["last.val_loss_biology"].unit) == ("loss, biology", "nats")
    assert (found["broken_samples"].number, found["second_projector"].text) == (2, "yes")
    assert (found["train.lr"].words, found["train.lr"].number) == ("peak learning rate", 1e-4)
    assert (found["train.clip_norm"].text, found["train.clip_norm"].number) == ("none", None)
    assert (found["train.betas"].text, found["train.betas"].unit) == ("0.9, 0.98", "")
    assert found["limits.train.max_batch"].text == "64"
    # What a later release records is shown under its key.
    assert found["last.of_tomorrow"].words == "of tomorrow"
    assert "last.step" not in found
    groups = [row.group for row in quantities(summary)]
    assert groups == sorted(groups, key=GROUPS.index)


def test_keys_of_settings_are_those_of_the_config() -> None:
    headings = re.findall(r"^##.*", REFERENCE.read_text(encoding="utf-8"), re.MULTILINE)
    for row in quantities({"settings": {"lr": 1.0}, "limits": {"workers": 1}, "model": {"std": None}}):
        section, _, field = row.key.rpartition(".")
        assert any(f"`{section}`" in heading for heading in headings), row.key
        assert field in ("lr", "workers", "std")
