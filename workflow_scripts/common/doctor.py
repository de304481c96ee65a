"""Check this machine, or with `--site` the cluster, against a recipe."""

import json
import os
import shutil
import socket
import sys
from pathlib import Path
from typing import Annotated

import torch
import tyro

from workflow_scripts.common.cli import run
from workflow_scripts.common.config.root import Config, load_config, load_site, read_yaml
from workflow_scripts.common.remedies import snakemake
from workflow_scripts.common.site_check import check_site, lines_of

INTERNET = ("huggingface.co", 443)
INTERNET_SECONDS = 3.0
GIB = 2**30
LITTLE_DISK_GIB = 10
REFUSED = "training will be refused"
RULES = Path(__file__).resolve().parents[2] / "rules"


def doctor(
    *,
    config: Path = Path("config/config.yaml"),
    site: bool = False,
    json_lines: Annotated[bool, tyro.conf.arg(name="json")] = False,
) -> None:
    """Print what this machine has and what that means for a config.

    With --site: what the cluster of config/site.yaml would refuse of the config's jobs, by `sinfo`, `sacctmgr`,
    `sbatch --test-only` and quotas, where they are there. Nothing is submitted.

    Exit status: 0 nothing will be refused; 1 something will be; 2 bad input.

    Args:
        config: the config to check the machine against.
        site: check config/site.yaml against the cluster instead.
        json_lines: print one JSON object: config, refused (true or false), and machine and consequences, or, with
            --site, findings (level, key, says, rules), asked and not_asked.

    Raises:
        SystemExit: something will be refused.
    """
    place = load_site()
    recipe = load_config(read_yaml(config), str(config), place)
    if site:
        checked = check_site(place, recipe, RULES)
        refused = any(finding.level == "refused" for finding in checked.findings)
        told, lines = checked.to_json(), list(lines_of(checked, str(config)))
    else:
        facts = {**_python(), **_accelerator(), **_machine(Path(place.results))}
        found = consequences(
            recipe,
            gpus=torch.cuda.device_count(),
            site_disk=_free(Path(place.results)),
            configfile=str(config),
        )
        refused = any(one.startswith(REFUSED) for one in found)
        told = {"machine": facts, "consequences": found}
        width = max(map(len, facts))
        lines = [f"{name:<{width}}  {value}" for name, value in facts.items()]
        lines += ["", f"For {config} (corpus {recipe.corpus}, run {recipe.run}):", *(f"- {one}" for one in found)]
    if json_lines:
        lines = [json.dumps({"config": str(config), "refused": refused, **told})]
    sys.stdout.write("\n".join(lines) + "\n")
    if refused:
        raise SystemExit(1)


def consequences(recipe: Config, gpus: int, site_disk: float, configfile: str = "") -> list[str]:
    """What the machine means for the recipe, a sentence each.

    Args:
        recipe: the config.
        gpus: how many GPUs torch sees.
        site_disk: free space where results are kept, GiB.
        configfile: the config file.
    """
    train, processes = recipe.train, recipe.limits.train.processes
    found = []
    if gpus == 0 and not train.allow_cpu:
        found.append(f"{REFUSED}: no GPU is visible to torch, and train.allow_cpu is not set")
    elif gpus == 0:
        found.append(f"training runs on the CPU, as train.allow_cpu says, in {processes} processes")
    elif gpus < processes:
        found.append(f"limits.train.processes is {processes}, but torch sees {gpus} GPUs: lower it")
    else:
        found.append(
            f"training runs on {processes} of {gpus} GPUs, {train.global_batch // processes} pairs each a step"
        )
    if train.precision != "fp32" and gpus and not torch.cuda.is_bf16_supported():
        found.append(f"train.precision is {train.precision}, which this GPU only emulates: set fp32")
    if train.precision != "fp32" and not gpus and train.allow_cpu:
        found.append(f"train.precision is {train.precision}: slow on most CPUs")
    if recipe.world is None:
        found.append(
            "the rules that download need the internet (see `internet` above); "
            f"`{snakemake('fetch', configfile=configfile)}` runs just these"
        )
    else:
        found.append("nothing needs the internet: the embedded world is served on loopback")
    if site_disk < LITTLE_DISK_GIB:
        found.append(f"only {site_disk:.1f} GiB are free where results are kept")
    return found


def _python() -> dict[str, str]:
    return {"python": sys.version.split()[0], "torch": f"{torch.__version__}, {_build()}"}


def _build() -> str:
    return f"built for CUDA {torch.version.cuda}" if torch.version.cuda else "CPU build"


def _accelerator() -> dict[str, str]:
    if not torch.cuda.is_available():
        return {"gpu": "none that torch can use", "driver": _driver(), "nccl": "not used", "bf16": "not used"}
    names = [torch.cuda.get_device_properties(index) for index in range(torch.cuda.device_count())]
    return {
        "gpu": ", ".join(f"{gpu.name} ({gpu.total_memory / GIB:.0f} GiB)" for gpu in names),
        "driver": _driver(),
        "nccl": ".".join(map(str, torch.cuda.nccl.version())),  # type: ignore[no-untyped-call]
        "bf16": "yes" if torch.cuda.is_bf16_supported() else "no",
    }


def _driver() -> str:
    version = Path("/proc/driver/nvidia/version")
    return version.read_text().splitlines()[0] if version.exists() else "none"


def _machine(results: Path) -> dict[str, str]:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / GIB
    return {
        "cores": str(len(os.sched_getaffinity(0))),
        "memory": f"{memory:.0f} GiB",
        "disk": f"{_free(results):.0f} GiB free at {results}",
        "internet": "yes" if _reaches(*INTERNET) else f"no ({INTERNET[0]} does not answer)",
    }


def _free(path: Path) -> float:
    while not path.exists():
        path = path.absolute().parent
    return shutil.disk_usage(path).free / GIB


def _reaches(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), timeout=INTERNET_SECONDS):
            return True
    except OSError:
        return False


if __name__ == "__main__":
    run(doctor)
