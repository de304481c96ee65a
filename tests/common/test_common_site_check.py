"""Checking a site file against a cluster: each refused key is reported until it is corrected."""

import json
from pathlib import Path
from typing import Any

import pytest

from workflow_scripts.common import doctor as doctor_module
from workflow_scripts.common.config.root import load_config, read_yaml
from workflow_scripts.common.config.site import SiteSettings, SlurmSettings
from workflow_scripts.common.site_check import Checked, check_site, lines_of, minutes_of, quota_findings

ROOT = Path(__file__).resolve().parents[2]
SINFO = """\
cpu*|up|1-00:00:00|190000|48|(null)
cpu*|up|1-00:00:00|380000+|48|(null)
gpu|up|12:00:00|500000|64|gpu:h100:4(S:0-1),gpu:v100:8
old|down|infinite|64000|16|(null)
"""
RIGHT = {
    "partition": "cpu",
    "gpu_partition": "gpu",
    "account": "lab",
    "gpu_account": "grant",
    "gpu": "gpu:h100",
    "qos": "normal",
    "limits": {"cpu": {"memory_mb": 380_000}, "gpu": {"minutes": 720, "gpus": 4}},
}


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Fake commands of a cluster, which record the calls of `sbatch`."""
    own, of_qos = "lab|normal,long\\ngrant|normal", "normal|2-00:00:00|150"
    wrong = 'echo "sbatch: error: Invalid node name" >&2; exit 1'
    commands = {
        "sinfo": f"cat <<'E'\n{SINFO}E",
        "sacctmgr": f"case \"$*\" in *assoc*) printf '{own}\\n' ;; *) echo '{of_qos}' ;; esac",
        "sbatch": f'echo "$@" >> {tmp_path}/asked\ncase "$*" in *--exclude=n9*) {wrong} ;; esac',
        "quota": "echo ' Filesystem blocks quota limit'; echo '/home 95 100 120 0 10 0 0 0'",
    }
    (tmp_path / "bin").mkdir()
    for name, script in commands.items():
        (tmp_path / "bin" / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / "bin" / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:/usr/bin:/bin")
    return tmp_path


def check(folder: Path, changes: dict[str, Any] | None = None, **recipe: Any) -> Checked:
    slurm = SlurmSettings(**RIGHT | (changes or {}))
    site = SiteSettings(results=str(folder / "results"), contact="me@lab.example", slurm=slurm)
    values = read_yaml(ROOT / "config/beetles.yaml") | recipe
    return check_site(site, load_config(values, "beetles", site), ROOT / "rules")


def refused(checked: Checked) -> dict[str, str]:
    return {
        finding.key: f"{finding.message} {finding.rules}" for finding in checked.findings if finding.level == "refused"
    }


def test_a_right_site_is_accepted_and_each_different_request_is_tested_once(cluster: Path) -> None:
    checked = check(cluster)
    # This quality of service allows fewer than the profile's 200 jobs.
    assert set(refused(checked)) == {"jobs of profiles/slurm"}
    assert "--jobs 150" in refused(checked)["jobs of profiles/slurm"]
    asked = (cluster / "asked").read_text().splitlines()
    assert len(set(asked)) == len(asked) > 5
    (training,) = [words for words in asked if "--signal=USR1@600" in words]
    assert all(word in training for word in ("--test-only", "--partition=gpu", "--account=grant", "--gres=gpu:h100:1"))
    assert {"results"} <= {finding.key for finding in checked.findings if "quota on /home is 95 %" in finding.message}


@pytest.mark.parametrize(
    ("changes", "key", "message", "rule"),
    [
        ({"gpu_partition": "gpus", "limits": {}}, "slurm.gpu_partition", "cpu, gpu, old", "train_run"),
        ({"limits": {"gpu": {"minutes": 1440}}}, "slurm.limits.gpu.minutes", "720", "train_run"),
        ({"partition": "old", "limits": {"gpu": {"minutes": 720}}, "account": "lab"}, "", "", ""),
        ({"gpu": "gpu:a100"}, "slurm.limits.gpu.gpus", "0 gpus of gpu:a100", "embed"),
        ({"account": "labb"}, "slurm.account", "grant, lab", "curate"),
        ({"gpu_qos": "long"}, "slurm.gpu_qos", "long is not allowed; the account has normal", "train_run"),
        ({"modules": ["no/such"]}, "slurm.modules", "module load no/such", ""),
        ({"extra": "--exclude=n9"}, "sbatch --test-only", "Invalid node name", "curate"),
    ],
)
def test_what_the_cluster_would_refuse_is_named_by_its_key(
    cluster: Path, changes: dict[str, Any], key: str, message: str, rule: str
) -> None:
    checked = check(cluster, changes)
    found = refused(checked)
    if not key:
        assert [one.key for one in checked.findings if "is down" in one.message] == ["slurm.partition"]
        return
    assert message in found[key] and rule in found[key]
    (line,) = [line for line in lines_of(checked, "mine.yaml") if line.startswith(f"refused: {key}")]
    assert line.count(f"{key}:") == 1


def test_jobs_that_get_less_than_they_need_are_named_with_their_key(cluster: Path) -> None:
    limits = {"cpu": {"memory_mb": 380_000}, "gpu": {"minutes": 720, "gpus": 4, "cpus": 16, "memory_mb": 20_000}}
    checked = check(cluster, {"limits": limits}, limits={"train": {"processes": 4, "workers": 7}})
    said = {
        finding.message
        for finding in checked.findings
        if finding.level == "warning" and finding.rules == ("train_run",)
    }
    assert any("32 cores" in text and "16" in text for text in said)
    assert any("MB" in text and "20000" in text for text in said)
    fewer = check(cluster, {"limits": limits}, limits={"train": {"processes": 4, "workers": 3}})
    assert not any("cores" in finding.message for finding in fewer.findings if finding.rules == ("train_run",))
    checked = check(cluster, limits={"train": {"processes": 8}})
    assert "limits.train.processes" in refused(checked)["train_run"]
    (line,) = [line for line in lines_of(checked, "mine.yaml") if line.startswith("refused: train_run: ")]
    assert line.replace("limits.jobs.train_run", "").count("train_run") == 1


def test_limits_below_what_jobs_need_are_named(cluster: Path) -> None:
    checked = check(cluster, {"limits": {"cpu": {"minutes": 5}, "gpu": {"minutes": 720}}})
    said = [finding for finding in checked.findings if finding.key == "slurm.limits.cpu.minutes"]
    assert said
    assert all(finding.level == "warning" and " 5" in finding.message for finding in said)


def test_unexpected_answers_neither_crash_nor_count_as_refusals(cluster: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def answers(name: str, script: str) -> None:
        (cluster / "bin" / name).write_text(f"#!/bin/sh\n{script}\n")

    # Output of a site with several clusters, and an exceeded quota.
    answers("sinfo", f"echo 'CLUSTER: one'\ncat <<'E'\n{SINFO}E")
    answers("quota", "echo '/home 990* 900 1000 6days 10 0 0 0'; exit 1")
    answers("sacctmgr", "case \"$*\" in *assoc*) printf 'lab|normal\\ngrant|normal\\n' ;; *) echo normal ;; esac")
    checked = check(cluster)
    assert refused(checked) == {}
    assert any("quota on /home is 110 %" in finding.message for finding in checked.findings)
    # No controller, and a setup file that never finishes.
    answers("sinfo", "echo 'Unable to contact slurm controller' >&2; exit 1")
    answers("sbatch", "exit 1")
    monkeypatch.setattr("workflow_scripts.common.site_check.TIMEOUT_SECONDS", 0.5)
    (cluster / "wait.sh").write_text("sleep 20\n")
    checked = check(cluster, {"setup": str(cluster / "wait.sh")})
    assert set(refused(checked)) == {"slurm.modules, slurm.setup"}
    assert {"sinfo", "sbatch --test-only"} <= set(checked.failed_commands)


def test_without_slurm_unchecked_items_are_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    checked = check(tmp_path)
    assert refused(checked) == {}
    assert set(checked.failed_commands) == {"sinfo", "sacctmgr", "sbatch", "quota"}


@pytest.mark.parametrize(
    ("text", "minutes"),
    [("infinite", None), ("1-00:00:00", 1440), ("2-12", 3600), ("30:00", 30), ("12:00:00", 720), ("60", 60)],
)
def test_slurms_times_are_minutes(text: str, minutes: int | None) -> None:
    assert minutes_of(text) == minutes


def test_quotas_nearly_full_are_named_in_bytes_and_files() -> None:
    assert [one.message for one in quota_findings("/scratch 1* 100 120 0 99 0 100 0")] == [
        "your quota on /scratch is 99 % full (files)"
    ]
    assert list(quota_findings("Filesystem blocks quota limit grace files quota limit grace")) == []


def test_the_exit_status_is_that_of_the_findings_and_json_has_them(
    cluster: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    slurm = SlurmSettings(**RIGHT | {"account": "labb"})
    site = SiteSettings(results=str(cluster / "results"), contact="me@lab.example", slurm=slurm)
    monkeypatch.setattr(doctor_module, "load_site", lambda: site)
    with pytest.raises(SystemExit) as left:
        doctor_module.doctor(config=ROOT / "config/beetles.yaml", site=True, json_lines=True)
    told = json.loads(capsys.readouterr().out)
    assert (left.value.code, told["refused"]) == (1, True)
    assert {"level", "key", "message", "rules"} == set(told["findings"][0])
    assert "Exit status: 0" in (doctor_module.doctor.__doc__ or "")
