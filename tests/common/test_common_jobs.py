"""Resources of jobs: the recipe's amounts, within the site's limits and in its partitions."""

import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest

from workflow_scripts.common.config.root import Config, load_config, read_yaml
from workflow_scripts.common.config.site import EXAMPLES, SiteSettings, SlurmSettings
from workflow_scripts.common.errors import InputError
from workflow_scripts.common.job_environment import setup
from workflow_scripts.common.jobs import TRAINING, check_names, granted, measured, needs_of, resources_of

ROOT = Path(__file__).resolve().parents[2]
SLURM = SlurmSettings(partition="cpu", gpu_partition="gpu", internet_partition="transfer", account="lab", minutes=600)
SITE = SiteSettings(memory_mb=6000, contact="me@institute.example", slurm=SLURM)


RULES = "\n".join(file.read_text() for file in sorted((ROOT / "rules").glob("*.smk")))


def recipe(**changes: Any) -> Config:
    values = read_yaml(ROOT / "config/beetles.yaml")
    return load_config(values | changes, "beetles", SITE)


def asked(rule: str, config: Config, attempt: int = 1, **others: Any) -> dict[str, Any]:
    resources = resources_of(rule, config, SITE, **{"slurm": SLURM, **others})
    return {name: value(None, attempt) if callable(value) else value for name, value in resources.items()}


def test_each_retry_of_a_job_requests_more_up_to_the_limit() -> None:
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


def test_light_jobs_request_little_and_their_retries_more() -> None:
    config = recipe()
    for rule in ("curate_loss", "model_card"):
        assert asked(rule, config)["mem_mb"] <= 1000
        assert asked(rule, config)["runtime"] <= 15
    assert asked("model_card", config, attempt=3) == asked("model_card", config) | {"mem_mb": 3000, "runtime": 30}
    # The speed of hosts is unknown in advance.
    day = SLURM.model_copy(update={"minutes": 7200})
    assert asked("download", config, slurm=day, internet=True)["runtime"] == 1440


def test_every_rule_has_its_measured_needs_and_what_bounds_duckdb_is_the_sites() -> None:
    rules = set(re.findall(r'\bjob\(\s*"(\w+)"', RULES)) - {*TRAINING}
    assert set(measured()) == rules
    assert all(minutes > 0 for _, minutes in measured().values())
    bound = [
        block.split(":", 1)[0]
        for block in re.split(r"^ *rule ", RULES, flags=re.M)
        if "{resources.mem_mb}" in block and block.split(":", 1)[0] in measured()
    ]
    assert len(bound) > 15
    assert [rule for rule in bound if measured()[rule][0] is not None] == []


def test_a_job_requests_at_most_what_its_partition_has() -> None:
    limits = {"cpu": {"minutes": 30, "memory_mb": 3000, "cpus": 2}, "gpu": {"minutes": 90, "gpus": 4, "cpus": 12}}
    slurm = SlurmSettings(partition="cpu", gpu_partition="gpu", minutes=600, limits=limits)
    config = recipe(limits={"jobs": {"curate": {"cores": 8}}, "train": {"processes": 4, "workers": 7}})
    curate = asked("curate", config, slurm=slurm)
    assert (curate["runtime"], curate["mem_mb"]) == (30, 3000)
    assert granted("curate", config, SITE, slurm=slurm).cores == 2
    # The GPU partition has the memory limit of all partitions.
    training = asked("train_run", config, slurm=slurm)
    assert (training["runtime"], training["mem_mb"] > 3000) == (90, True)
    assert granted("train_run", config, SITE, slurm=slurm).cores == 12
    more = recipe(limits={"train": {"processes": 8}})
    with pytest.raises(InputError, match=r"train_run: .*8 GPUs.*slurm\.limits\.gpu\.gpus.*limits\.train\.processes"):
        resources_of("train_run", more, SITE, slurm=slurm)
    with pytest.raises(ValueError, match=r"limits: gpus .*\(cpu"):
        SlurmSettings(partition="cpu", limits={"gpus": {}})
    with pytest.raises(ValueError, match=r"minutes: 5 .*warning_seconds"):
        SlurmSettings(partition="cpu", gpu_partition="gpu", limits={"gpu": {"minutes": 5}})


def test_gpus_may_be_charged_to_another_account() -> None:
    slurm = SLURM.model_copy(update={"gpu_account": "grant"})
    found = {rule: asked(rule, recipe(), slurm=slurm)["slurm_account"] for rule in ("curate", "embed", "train_run")}
    assert found == {"curate": "lab", "embed": "grant", "train_run": "grant"}


def test_mails_are_of_trainings_and_further_options_of_every_job() -> None:
    slurm = SlurmSettings(
        partition="cpu", mail={"address": "me@lab.example"}, extra="--exclude=n1  --nice '--wckey=a b'"
    )
    assert asked("curate", recipe(), slurm=slurm)["job_options"] == "--exclude=n1 --nice '--wckey=a b'"
    words = shlex.split(asked("train_run", recipe(), slurm=slurm)["job_options"])
    assert {"--exclude=n1", "--wckey=a b", "--mail-user=me@lab.example", "--mail-type=END,FAIL"} <= set(words)
    assert "--signal=USR1@600" in words


@pytest.mark.parametrize(
    "extra", ["--mem=0", "--partition x", "-qlow", "--nice --acc=a", "--gpus-per-node=2", "--test-only", "job.sh"]
)
def test_options_that_are_set_elsewhere_are_refused(extra: str) -> None:
    with pytest.raises(ValueError, match=r"set elsewhere"):
        SlurmSettings(partition="cpu", extra=extra)


def test_jobs_load_modules_and_the_sites_file_and_say_what_could_not_be_loaded(tmp_path: Path) -> None:
    file = tmp_path / "it's {mine}; $HOME.sh"
    file.write_text("export LOADED=$unset$MODULES\n")
    # Stands for Environment Modules or Lmod.
    module = 'module() { [ "$2" != none ] && MODULES="$*"; }; '

    def run(slurm: SlurmSettings | None) -> subprocess.CompletedProcess[str]:
        command = f'{module}{setup(slurm)}set -u; echo "${{LOADED:-nothing}}"'
        return subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)

    settings = SlurmSettings.model_construct(modules=["gcc/12", "a b"], setup=str(file))
    assert run(settings).stdout == "load gcc/12 a b\n"
    assert run(None).stdout == "nothing\n"
    for wrong, key in (
        (SlurmSettings(partition="cpu", modules=["none"]), "slurm.modules: `module load none`"),
        (SlurmSettings(partition="cpu", setup="/no/such.sh"), "slurm.setup: /no/such.sh"),
    ):
        done = run(wrong)
        assert done.returncode == 1
        assert done.stderr.splitlines()[-1].startswith(f"error: config/site.yaml: {key} failed")


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


def test_a_training_requests_memory_for_the_batches_of_its_workers() -> None:
    train = read_yaml(ROOT / "config/beetles.yaml")["train"] | {"global_batch": 90_112, "replay_batch": 0}
    config = recipe(train=train, limits={"train": {"nodes": 4, "processes": 8, "workers": 8}})
    # 2,816 images of 224 pixels per process.
    ready = 8 * 8 * 3 * 2816 * 224 * 224 * 3 / 10**6
    assert needs_of("train_run", config, SITE).memory_mb > 8 * 16_000 + ready


def test_a_download_requests_memory_by_its_limits_up_to_two_gib() -> None:
    assert needs_of("download", recipe(), SITE).memory_mb <= 2048
    larger = recipe(limits={"download": {"image_memory_mb": 3000}})
    assert needs_of("retry_failed", larger, SITE).memory_mb > 3000
    with pytest.raises(InputError, match=r"limits\.jobs\.download\.memory_mb: 1500 .*image_memory_mb"):
        needs_of("download", recipe(limits={"jobs": {"download": {"memory_mb": 1500}}}), SITE)
    with pytest.raises(InputError, match=r"download: .*limits\.download.*memory_mb.* 1024"):
        resources_of("download", recipe(), SiteSettings(memory_mb=1024), slurm=None)
    for limits, key in (
        ({}, "slurm.memory_mb"),
        ({"transfer": {"memory_mb": 1024}}, "slurm.limits.transfer.memory_mb"),
    ):
        slurm = SlurmSettings(**SLURM.model_dump(exclude_unset=True) | {"memory_mb": 1024, "limits": limits})
        with pytest.raises(InputError, match=rf"download: .* {re.escape(key)} .* 1024"):
            resources_of("download", recipe(), SITE, slurm=slurm, internet=True)
    # The remedies in both messages are accepted.
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


def test_on_one_machine_no_cluster_resources_are_requested() -> None:
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


def test_the_contact_in_the_example_is_not_sent_to_hosts() -> None:
    filled = {"partition": "cpu", "account": "lab"}
    someone = "someone@your-institute.example"
    for contact, changes, key in (
        (someone, {}, "contact"),
        ("me@here.example", {"account": "your_account"}, "slurm.account"),
        ("me@here.example", {"mail": {"address": someone}}, "slurm.mail.address"),
    ):
        site = SiteSettings(contact=contact, slurm=SlurmSettings(**filled | changes))
        with pytest.raises(InputError, match=rf"site\.yaml: {re.escape(key)}: \S+: "):
            _ = site.cluster
    example = (ROOT / "config/site.example.yaml").read_text()
    assert all(value in example for value in EXAMPLES)
