"""Check that this machine, or with `--site` the cluster, can run a config."""

import os
import shutil
import socket
import sys
from pathlib import Path

import torch

from workflow_scripts.common.cli import AsJson, print_json, run
from workflow_scripts.common.config.catalog import Bioscan, Folders, INat21, Source, Table, TreeOfLife10M
from workflow_scripts.common.config.root import Config, load_config, load_site, read_yaml
from workflow_scripts.common.layout import Layout
from workflow_scripts.common.remedies import snakemake
from workflow_scripts.common.scored_models import Models
from workflow_scripts.common.site_check import check_site, lines_of
from workflow_scripts.common.table_columns import match_columns
from workflow_scripts.common.table_files import header_of

INTERNET = ("huggingface.co", 443)
INTERNET_SECONDS = 3.0
GIB = 2**30
LOW_DISK_GIB = 10
REFUSED = "training will be refused"
RULES = Path(__file__).resolve().parents[2] / "rules"


def doctor(
    *,
    config: Path = Path("config/config.yaml"),
    site: bool = False,
    json_lines: AsJson = False,
) -> None:
    """Report this machine's resources and whether they are enough for a config.

    With --site: check the jobs of the config against the cluster, with `sinfo`, `sacctmgr`, `sbatch --test-only` and
    quota commands where they are available. Nothing is submitted.

    Exit status: 0 the config can run; 1 some of its jobs would be refused; 2 bad input.

    Args:
        config: the config to check.
        site: check config/site.yaml against the cluster instead of this machine.
        json_lines: print one JSON object: config, refused (true or false), and either machine and consequences or, with
            --site, findings (level, key, message, rules), commands and failed_commands.

    Raises:
        SystemExit: some jobs would be refused.
    """
    site_settings = load_site()
    recipe = load_config(read_yaml(config), str(config), site_settings)
    results = Path(site_settings.results)
    if site:
        checked = check_site(site_settings, recipe, RULES)
        refused = any(finding.level == "refused" for finding in checked.findings)
        fields, lines = checked.to_json(), list(lines_of(checked, str(config)))
    else:
        facts = {**_python(), **_accelerator(), **_machine(results)}
        found = consequences(
            recipe,
            gpus=torch.cuda.device_count(),
            site_disk=_free(results),
            configfile=str(config),
        )
        refused = any(one.startswith(REFUSED) for one in found)
        fields = {"machine": facts, "consequences": found}
        width = max(map(len, facts))
        lines = [f"{name:<{width}}  {value}" for name, value in facts.items()]
        lines += ["", f"For {config} (corpus {recipe.corpus}, run {recipe.run}):", *(f"- {one}" for one in found)]
    if json_lines:
        print_json({"config": str(config), "refused": refused, **fields})
    else:
        sys.stdout.write("\n".join(lines) + "\n")
    if refused:
        raise SystemExit(1)


def consequences(recipe: Config, gpus: int, site_disk: float, configfile: str = "") -> list[str]:
    """How the recipe runs on this machine and what prevents it, one sentence each.

    Args:
        recipe: the config.
        gpus: number of GPUs that torch sees.
        site_disk: free space on the disk of the results folder, GiB.
        configfile: path of the config file.
    """
    train, processes = recipe.train, recipe.limits.train.processes
    found = []
    if gpus == 0 and not train.allow_cpu:
        found.append(f"{REFUSED}: torch sees no GPU; to train on the CPU, set train.allow_cpu: true")
    elif gpus == 0:
        found.append(
            f"training runs on the CPU in {processes} process{'es' if processes > 1 else ''} (train.allow_cpu is set)"
        )
    elif gpus < processes:
        found.append(f"limits.train.processes is {processes}, but torch sees {gpus} GPUs; lower it to {gpus}")
    else:
        found.append(
            f"training runs on {processes} of {gpus} GPUs, {train.global_batch // processes} pairs per GPU and step"
        )
    if train.precision != "fp32" and gpus and not torch.cuda.is_bf16_supported():
        found.append(f"train.precision is {train.precision}, which this GPU only emulates; set it to fp32")
    if train.precision != "fp32" and not gpus and train.allow_cpu:
        found.append(f"train.precision is {train.precision}, which is slow on most CPUs")
    if recipe.world is not None:
        found.append("no rule needs the internet: the embedded world is served on loopback")
    elif downloaded := downloads(recipe):
        found.append(
            f"these are downloaded and need the internet (see `internet` above): {', '.join(downloaded)}; "
            f"`{snakemake('fetch', configfile=configfile)}` runs only the rules that download"
        )
    else:
        found.append("no rule needs the internet: all files of this config are on disk")
    if site_disk < LOW_DISK_GIB:
        found.append(f"the disk of the results folder has only {site_disk:.1f} GiB free")
    return found


def downloads(recipe: Config) -> list[str]:
    """What the rules of a recipe download: sources, backbones, models, benchmarks and replay, by name."""
    sources = [source for generation in recipe.generations for source in generation.sources]
    backbones = recipe.taxonomy.backbones if recipe.taxonomy else []
    models = Models(recipe, Layout("results")).fetched.values()
    return [
        *(f"source {source.name}" for source in sources if not _is_on_disk(source)),
        *(f"backbone {backbone.name}" for backbone in backbones if backbone.url),
        *dict.fromkeys(f"model {model.place}" for model in models if model.kind in ("hub", "tag")),
        *(f"benchmark {name}" for name, benchmark in recipe.benchmarks.items() if getattr(benchmark, "fetch", ())),
        *(["replay pairs"] if recipe.replay is not None else []),
    ]


def _is_on_disk(source: Source) -> bool:
    """Whether the images of a source and the files that describe them are known to be local files."""
    if not all(isinstance(file, str) for file in source.inputs.values()):
        return False
    if not isinstance(source, Table):
        return isinstance(source, Folders | INat21 | Bioscan | TreeOfLife10M)
    path = Path(source.paths("")["table"])
    if not path.is_file() or not path.stat().st_size:
        return False
    found = header_of(path, delimiter=source.delimiter, encoding=source.encoding, sheet=source.sheet)
    return "url" not in match_columns(found, source.columns, str(path))


def _python() -> dict[str, str]:
    return {"python": sys.version.split()[0], "torch": f"{torch.__version__}, {_build()}"}


def _build() -> str:
    return f"built for CUDA {torch.version.cuda}" if torch.version.cuda else "CPU build"


def _accelerator() -> dict[str, str]:
    if not torch.cuda.is_available():
        return {"gpu": "none usable by torch", "driver": _driver(), "nccl": "not used", "bf16": "not used"}
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
