"""Commands that messages name carry the options of the run that says them."""

import os
from pathlib import Path

import pytest

from workflow_scripts.common import remedies
from workflow_scripts.common.remedies import OPTIONS, remember_options, snakemake


@pytest.fixture(autouse=True)
def _no_run(monkeypatch: pytest.MonkeyPatch) -> None:
    # `remember_options` sets what the fixture then takes back.
    monkeypatch.setenv(OPTIONS, "")
    monkeypatch.delenv(OPTIONS)
    monkeypatch.setattr(remedies.os, "environ", dict(os.environ))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            "data --profile profiles/local --configfile a.yaml b.yaml",
            "--profile profiles/local --configfile a.yaml b.yaml",
        ),
        ("--configfile=a.yaml -c4 -k data", "--configfile a.yaml -c4"),
        ("-c all --cores 8", "-c all --cores 8"),
        ("all -n --config run=x redo=train 'train={lr: 1}'", "--config run=x 'train={lr: 1}'"),
        ("all --config keep=shards -j 3", ""),
    ],
)
def test_targets_come_first_and_what_concerns_one_run_alone_is_left_out(given: str, said: str) -> None:
    import shlex

    remember_options(shlex.split(given))
    assert snakemake("retry_failed") == f"snakemake retry_failed {said}".strip()


def test_further_values_join_those_of_the_run() -> None:
    remember_options(["all", "--config", "run=x", "--profile", "p"])
    assert snakemake("all", config=["redo=train"]) == "snakemake all --profile p --config run=x redo=train"


def test_where_no_run_says_it_the_person_has_the_config_to_name() -> None:
    assert snakemake("data", configfile="mine.yaml") == "snakemake data --profile profiles/local --configfile mine.yaml"
    assert snakemake("data").endswith("--configfile CONFIG")


def test_words_with_blanks_are_quoted() -> None:
    remember_options(["--configfile", "my config.yaml"])
    assert snakemake(str(Path("a b.parquet"))) == "snakemake 'a b.parquet' --configfile 'my config.yaml'"
