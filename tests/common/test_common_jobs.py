"""What jobs ask for: the recipe's numbers within the place's limits, at the place's partitions."""

from pathlib import Path
from typing import Any

import pytest

from workflow_scripts.common.config.root import Config, load_config, read_yaml
from workflow_scripts.common.config.site import EXAMPLES, SiteSettings, SlurmSettings
from workflow_scripts.common.errors import InputError
from workflow_scripts.common.jobs import check_names, needs_of, resources_of

ROOT = Path(__file__).resolve().parents[2]
SLURM = SlurmSettings(partition="cpu", gpu_partition="gpu", internet_partition="transfer", account="lab", minutes=600)
SITE = SiteSettings(memory_mb=6000, contact="me@institute.example", slurm=SLURM)


def recipe(**changes: Any) -> Config:
    values = read_yaml(ROOT / "config/beetles.yaml")
    return load_config(values | changes, "beetles", SITE)


def asked(rule: str, config: Config, attempt: int = 1, **others: Any) -> dict[str, Any]:
    resources = resources_of(rule, config, SITE, **{"slurm": SLURM, **others})
    return {name: value(None, attempt) if callable(value) else value for name, value in resources.items()}


def test_a_job_asks_for_more_each_time_up_to_what_the_place_has() -> None:
    config = recipe(limits={"jobs": {"curate": {"memory_mb": 90_000, "minutes": 250}}})
    assert [asked("curate", config, attempt)["mem_mb"] for attempt in (1, 2, 3)] == [90_000, 180_000, 256_000]
    assert [asked("curate", config, attempt)["runtime"] for attempt in (1, 2, 3)] == [250, 500, 600]
    assert asked("shards_plan", config)["mem_mb"] == 6000


def test_partitions_and_account_are_the_sites() -> None:
    config = recipe()
    assert asked("curate", config)["slurm_partition"] == "cpu"
    assert asked("embed", config)["slurm_partition"] == "gpu"
    assert asked("embed", config)["gres"] == "gpu:1"
    assert not any("qos" in asked(rule, config) for rule in ("curate", "embed", "train_run"))
    networked = asked("download", config, internet=True)
    assert (networked["slurm_partition"], networked["internet"]) == ("transfer", 1)
    assert {asked(rule, config)["slurm_account"] for rule in ("curate", "embed", "train_run")} == {"lab"}


def test_quality_of_service_and_type_of_gpu_are_the_sites() -> None:
    slurm = SLURM.model_copy(update={"qos": "normal", "gpu_qos": "long", "gpu": "gpu:h100"})
    config = recipe(limits={"train": {"nodes": 2, "processes": 4}})
    assert asked("curate", config, slurm=slurm)["qos"] == asked("download", config, slurm=slurm)["qos"] == "normal"
    training = asked("train_run", config, slurm=slurm)
    assert (training["qos"], training["gres"]) == ("long", "gpu:h100:4")
    without = slurm.model_copy(update={"gpu_qos": None})
    assert asked("embed", config, slurm=without)["qos"] == "normal"


def test_a_training_over_nodes_is_one_task_a_node_warned_before_its_slot_ends() -> None:
    config = recipe(limits={"train": {"nodes": 4, "processes": 8, "workers": 9}})
    training = asked("train_run", config, attempt=2)
    assert {key: training[key] for key in ("nodes", "tasks", "mpi", "gres", "runtime")} == {
        "nodes": 4,
        "tasks": 4,
        "mpi": "srun",
        "gres": "gpu:8",
        "runtime": 600,
    }
    assert "--signal=USR1@600" in training["job_options"]
    assert needs_of("train_run", config, SITE).cores == 80


def test_a_training_asks_for_the_memory_of_the_batches_that_its_workers_keep() -> None:
    train = read_yaml(ROOT / "config/beetles.yaml")["train"] | {"global_batch": 90_112, "replay_batch": 0}
    config = recipe(train=train, limits={"train": {"nodes": 4, "processes": 8, "workers": 8}})
    # 2,816 images of 224 pixels a process.
    ready = 8 * 8 * 3 * 2816 * 224 * 224 * 3 / 10**6
    assert needs_of("train_run", config, SITE).memory_mb > 8 * 16_000 + ready


def test_a_download_asks_for_what_its_limits_let_it_hold_and_at_most_two_gib() -> None:
    assert needs_of("download", recipe(), SITE).memory_mb <= 2048
    larger = recipe(limits={"download": {"image_memory_mb": 3000}})
    assert needs_of("retry_failed", larger, SITE).memory_mb > 3000
    with pytest.raises(InputError, match=r"limits\.jobs\.download\.memory_mb: 1500 .*image_memory_mb"):
        needs_of("download", recipe(limits={"jobs": {"download": {"memory_mb": 1500}}}), SITE)
    with pytest.raises(InputError, match=r"download: .*limits\.download.*memory_mb is 1024"):
        resources_of("download", recipe(), SiteSettings(memory_mb=1024), slurm=None)
    # What both lines ask for is accepted.
    assert needs_of("download", recipe(limits={"jobs": {"download": {"memory_mb": 2500}}}), SITE).memory_mb == 2500
    smaller = recipe(
        download={"max_pixels": 10_000_000}, limits={"download": {"image_memory_mb": 200, "body_memory_mb": 64}}
    )
    assert resources_of("download", smaller, SiteSettings(memory_mb=1024), slurm=None)


def test_pixels_that_do_not_fit_a_downloads_memory_are_refused() -> None:
    sheets = {"max_pixels": 300_000_000}
    assert recipe(download=sheets).download.max_pixels == sheets["max_pixels"]
    for download in ({"max_pixels": 500_000_000}, {"hosts": {"herbarium.example": {"max_pixels": 500_000_000}}}):
        with pytest.raises(
            InputError, match=r"download\.max_pixels: 500000000 .*limits\.download\.image_memory_mb is 1200"
        ):
            recipe(download=download)
        assert recipe(download=download, limits={"download": {"image_memory_mb": 2000}})


def test_on_one_machine_nothing_is_asked_of_a_cluster() -> None:
    config = recipe(limits={"jobs": {"curate": {"memory_mb": 90_000}}})
    assert set(asked("train_run", config, slurm=None)) == {"mem_mb"}
    assert asked("curate", config, slurm=None)["mem_mb"] == SITE.memory_mb


def test_a_slot_that_is_no_longer_than_its_warning_is_refused() -> None:
    with pytest.raises(ValueError, match=r"minutes: .*\b10\b.*warning_seconds.*\b600\b"):
        SlurmSettings(partition="gpu", minutes=10)


def test_a_misspelt_rule_is_named_and_rules_that_are_not_included_are_known() -> None:
    check_names(["shards_write", "catalog_merge", "world", "replay_select"], ROOT / "rules", "a.yaml: limits.jobs")
    with pytest.raises(InputError, match=r"a\.yaml: limits\.jobs: .*'shard_write'.*\bshards_write\b"):
        check_names(["shard_write"], ROOT / "rules", "a.yaml: limits.jobs")


def test_what_the_example_says_is_not_what_hosts_are_told() -> None:
    filled = {"partition": "cpu", "account": "lab"}
    for contact, account in (("someone@your-institute.example", "lab"), ("me@here.example", "your_account")):
        site = SiteSettings(contact=contact, slurm=SlurmSettings(**filled | {"account": account}))
        with pytest.raises(InputError, match="is the example's; put your own there"):
            _ = site.cluster
    example = (ROOT / "config/site.example.yaml").read_text()
    assert all(value in example for value in EXAMPLES)
