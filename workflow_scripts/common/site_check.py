"""Check config/site.yaml and a recipe's jobs against a cluster: `sinfo`, `sacctmgr`, `sbatch --test-only`, quotas.

Nothing is submitted. Commands that are missing or do not answer are listed, and their checks are skipped.
"""

import getpass
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from workflow_scripts.common.config.root import Config
from workflow_scripts.common.config.site import SiteSettings, SlurmSettings
from workflow_scripts.common.errors import InputError
from workflow_scripts.common.job_environment import setup
from workflow_scripts.common.jobs import TRAINING, granted, needs_of, resources_of
from workflow_scripts.common.snakemake_errors import check_writable

# Maximum number of jobs that profiles/slurm queues at once.
QUEUED = 200
TIMEOUT_SECONDS = 30
NEARLY_FULL = 0.9
JOB = re.compile(r'\bjob\(\s*"(\w+)"[^)]*?(internet=True)?\s*,?\s*\)')
DURATION = re.compile(r"(?:(\d+)-)?(\d+)(?::(\d+))?(?::(\d+))?")
# Name, state, time limit, memory (MB) and cores per node (`+`: at least), generic resources.
PARTITION = re.compile(r"([^|]+)\|([^|]*)\|([^|]*)\|(\d+)\+?\|(\d+)\+?\|(.*)")
GPUS = re.compile(r"(gpu(?::[\w.-]+)?):(\d+)")


@dataclass(frozen=True)
class Finding:
    """A problem in the site file or the recipe.

    Attributes:
        level: `refused` if the cluster rejects the jobs; `warning` if it may, or if they get less than they need.
        key: key of config/site.yaml or of the recipe.
        message: what is wrong and what to do.
        rules: rules whose jobs are affected; empty: all.
    """

    level: Literal["refused", "warning"]
    key: str
    message: str
    rules: tuple[str, ...] = ()


def _run(words: Sequence[str], given: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        words, input=given, capture_output=True, text=True, errors="replace", timeout=TIMEOUT_SECONDS, check=False
    )


@dataclass
class Checked:
    """Result of the check.

    Attributes:
        findings: the problems found.
        commands: the commands that were run.
        failed_commands: the commands that are missing or failed, with the reason.
    """

    findings: list[Finding] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)
    failed_commands: dict[str, str] = field(default_factory=dict)

    def output(self, *words: str, ignore_status: bool = False) -> list[str] | None:
        """The output lines of a command; None if it is missing or fails.

        Args:
            words: the command.
            ignore_status: use the output, if any, of a command that fails.
        """
        if shutil.which(words[0]) is None:
            self.failed_commands[words[0]] = "not installed on this machine"
            return None
        try:
            done = _run(words)
        except subprocess.TimeoutExpired:
            self.failed_commands[words[0]] = f"no answer within {TIMEOUT_SECONDS} s"
            return None
        if done.returncode != 0 and not (ignore_status and done.stdout):
            self.failed_commands[words[0]] = " ".join(done.stderr.splitlines()[-1:]) or f"exit status {done.returncode}"
            return None
        self.commands.append(words[0])
        return done.stdout.splitlines()

    def to_json(self) -> dict[str, Any]:
        """As a JSON-serialisable dictionary."""
        return asdict(self)


@dataclass(frozen=True)
class Request:
    """What jobs request from `sbatch` at their first attempt.

    Attributes:
        partition: the partition.
        minutes: time limit, minutes.
        memory_mb: memory per node, MB.
        cpus: cores per node.
        gpus: GPUs per node.
        options: the options of `sbatch`.
    """

    partition: str
    minutes: int
    memory_mb: int
    cpus: int
    gpus: int
    options: tuple[str, ...]


@dataclass
class Partition:
    """A partition's limits, from its largest nodes.

    Attributes:
        up: whether the partition starts jobs.
        minutes: time limit, minutes; None: no limit.
        memory_mb: memory per node, MB.
        cpus: cores per node.
        gpus: GPUs per node, by name (`gpu`, `gpu:h100`).
    """

    up: bool = False
    minutes: int | None = None
    memory_mb: int = 0
    cpus: int = 0
    gpus: dict[str, int] = field(default_factory=dict)


def check_site(site: SiteSettings, config: Config, rules: Path) -> Checked:
    """Check a site's Slurm settings against the cluster of this machine.

    Args:
        site: the site file.
        config: the recipe whose jobs would run.
        rules: the folder of rule files.

    Raises:
        InputError: the site file has no cluster settings.
    """
    slurm, checked = site.cluster, Checked()
    requests = requests_of(site, config, rules, checked)
    checked.findings += _underprovisioned(site, config, rules)
    checked.findings += _folders(site)
    checked.findings += _environment(slurm)
    partitions = _partitions(checked)
    if partitions is not None:
        checked.findings += _against_partitions(slurm, partitions, requests)
    checked.findings += _against_accounts(slurm, checked, requests)
    # Requests that are refused already need no test.
    refused = {rule for finding in checked.findings if finding.level == "refused" for rule in finding.rules}
    checked.findings += _tested(checked, {one: names for one, names in requests.items() if not refused & {*names}})
    checked.findings += _quotas(site, checked)
    return checked


def _jobs(config: Config, rules: Path) -> Iterator[tuple[str, bool]]:
    """The rules that this recipe may run, each with whether it needs the internet."""
    absent = {"pretrain"} if config.pretrain is None else set()
    if config.replay is None:
        absent |= {"replay_select", "replay_download", "replay_loss", "replay_write"}
    if config.world is None:
        absent.add("world")
    if not config.screen:
        absent |= {"screen", "screen_classes", "screen_gather", "screen_labelling"}
    found = {name: bool(online) for file in rules.glob("*.smk") for name, online in JOB.findall(file.read_text())}
    yield from sorted((name, online) for name, online in found.items() if name not in absent)


def requests_of(site: SiteSettings, config: Config, rules: Path, checked: Checked) -> dict[Request, list[str]]:
    """The distinct requests, each with its rules; rules that run beside Snakemake itself make none."""
    slurm, found = site.cluster, dict[Request, list[str]]()
    for rule, internet in _jobs(config, rules):
        try:
            resources = resources_of(rule, config, site, slurm=slurm, internet=internet)
            cores = granted(rule, config, site, slurm=slurm, internet=internet).cores
        except InputError as error:
            checked.findings.append(Finding("refused", rule, str(error).removeprefix(f"{rule}: "), (rule,)))
            continue
        if "slurm_partition" not in resources:
            continue
        memory_mb, minutes = (_at_first_attempt(resources[name]) for name in ("mem_mb", "runtime"))
        words = [f"--partition={resources['slurm_partition']}", f"--time={minutes}", f"--mem={memory_mb}"]
        words += [f"--cpus-per-task={cores}", f"--nodes={resources.get('nodes', 1)}"]
        words += [f"--{option}={resources[name]}" for option, name in OPTIONS.items() if name in resources]
        words += shlex.split(resources.get("job_options", ""))
        gpus = int(resources["gres"].rpartition(":")[2]) if "gres" in resources else 0
        request = Request(resources["slurm_partition"], minutes, memory_mb, cores, gpus, tuple(words))
        found.setdefault(request, []).append(rule)
    return found


OPTIONS = {"account": "slurm_account", "qos": "qos", "gres": "gres"}


def _at_first_attempt(amount: Any) -> int:
    return int(amount(None, attempt=1) if callable(amount) else amount)


def _underprovisioned(site: SiteSettings, config: Config, rules: Path) -> Iterator[Finding]:
    """Jobs that request less than they need because of a limit."""
    for rule, internet in _jobs(config, rules):
        try:
            resources = resources_of(rule, config, site, slurm=site.cluster, internet=internet)
            needs, cores = (
                needs_of(rule, config, site),
                granted(rule, config, site, slurm=site.cluster, internet=internet),
            )
        except InputError:
            continue
        got = _at_first_attempt(resources["mem_mb"])
        if got < needs.memory_mb:
            key = f"limits.train.workers or limits.jobs.{rule}.memory_mb" if rule in TRAINING else "slurm.limits"
            yield Finding("warning", key, f"{rule} needs {needs.memory_mb} MB per node but requests {got}", (rule,))
        if needs.minutes and (minutes := _at_first_attempt(resources.get("runtime", needs.minutes))) < needs.minutes:
            partition = resources["slurm_partition"]
            message = f"{rule} needs {needs.minutes} minutes but requests {minutes}"
            yield Finding("warning", f"slurm.limits.{partition}.minutes", message, (rule,))
        if cores.cores < needs.cores:
            key = "limits.train.workers" if rule in TRAINING else f"limits.jobs.{rule}.cores"
            yield Finding(
                "warning", key, f"{rule} needs {needs.cores} cores per node but requests {cores.cores}", (rule,)
            )


def _folders(site: SiteSettings) -> Iterator[Finding]:
    results = Path(site.results)
    try:
        check_writable(results)
    except InputError as error:
        yield Finding("refused", "results", str(error))
    if str(results.absolute()).startswith(("/tmp/", "/dev/shm/", "/var/tmp/")):
        yield Finding("warning", "results", f"{results} is on a local disk; use a folder that all nodes share")


def _environment(slurm: SlurmSettings) -> Iterator[Finding]:
    """Run the modules and setup commands of jobs."""
    both = "slurm.modules, slurm.setup"
    if commands := setup(slurm):
        try:
            done = _run(["bash", "-c", "source /dev/stdin"], commands)
        except subprocess.TimeoutExpired:
            yield Finding("refused", both, f"did not finish within {TIMEOUT_SECONDS} s")
            return
        if done.returncode != 0:
            line = (done.stderr.splitlines() or [f"exit status {done.returncode}"])[-1]
            line = line.removeprefix("error: config/site.yaml: ")
            key, _, why = (
                line.partition(": ") if line.startswith(("slurm.modules: ", "slurm.setup: ")) else (both, "", line)
            )
            yield Finding("refused", key, why)


def minutes_of(text: str) -> int | None:
    """A Slurm time (`1-00:00:00`, `30:00`, `infinite`) in minutes; None: no limit."""
    found = DURATION.fullmatch(text.strip())
    if found is None:
        return None
    days, *rest = [int(number) if number else None for number in found.groups()]
    given = [number for number in rest if number is not None]
    if days is not None:
        hours, minutes = (*given, 0)[:2]
        return days * 1440 + hours * 60 + minutes
    # mm, mm:ss, or hh:mm:ss
    return given[0] * 60 + given[1] if len(given) == 3 else given[0]


def _partitions(checked: Checked) -> dict[str, Partition] | None:
    lines = checked.output("sinfo", "--noheader", "--exact", "--format=%P|%a|%l|%m|%c|%G")
    if lines is None:
        return None
    found: dict[str, Partition] = {}
    # Sites with several clusters also print a line with the name of each.
    for line in filter(None, map(PARTITION.fullmatch, lines)):
        name, up, limit, memory, cpus, gres = line.groups()
        one = found.setdefault(name.rstrip("*"), Partition())
        one.up |= up == "up"
        one.minutes = minutes_of(limit)
        one.memory_mb = max(one.memory_mb, int(memory))
        one.cpus = max(one.cpus, int(cpus))
        for gpu, count in GPUS.findall(gres):
            for kind in {gpu, "gpu"}:
                one.gpus[kind] = max(one.gpus.get(kind, 0), int(count))
    return found


def _against_partitions(
    slurm: SlurmSettings, partitions: dict[str, Partition], requests: dict[Request, list[str]]
) -> Iterator[Finding]:
    for key in ("partition", "gpu_partition", "internet_partition"):
        name = getattr(slurm, key)
        if name is not None and name not in partitions:
            rules = tuple(rule for one, names in requests.items() if one.partition == name for rule in names)
            has = ", ".join(partitions)
            yield Finding("refused", f"slurm.{key}", f"the cluster has no partition {name}; available: {has}", rules)
        elif name is not None and not partitions[name].up:
            yield Finding("warning", f"slurm.{key}", f"partition {name} is down; jobs will wait")
    for name, one in partitions.items():
        own = {request: rules for request, rules in requests.items() if request.partition == name}
        if not own:
            continue
        most = slurm.most(name)
        allows = {
            "minutes": one.minutes,
            "memory_mb": one.memory_mb,
            "cpus": one.cpus,
            "gpus": one.gpus.get(slurm.gpu, 0),
        }
        for amount, limit in allows.items():
            if limit is None:
                continue
            over = tuple(rule for request, rules in own.items() if getattr(request, amount) > limit for rule in rules)
            configured = getattr(most, amount)
            key = f"slurm.limits.{name}.{amount}"
            if over:
                of = f" of {slurm.gpu}" if amount == "gpus" else ""
                message = f"partition {name} allows {limit:,} {amount}{of}, but jobs request more; set {key} to {limit}"
                yield Finding("refused", key, message, over)
            elif configured is not None and configured > limit and amount in ("minutes", "memory_mb"):
                message = f"{configured:,} exceeds the {limit:,} of partition {name}; retried jobs may request it"
                yield Finding("warning", key, message)


def _against_accounts(slurm: SlurmSettings, checked: Checked, requests: dict[Request, list[str]]) -> Iterator[Finding]:
    lines = checked.output(
        "sacctmgr", "--noheader", "--parsable2", "show", "assoc", f"user={getpass.getuser()}", "format=account,qos"
    )
    if not lines:
        if lines is not None:
            checked.failed_commands["sacctmgr"] = "it lists no accounts for you"
        return
    accounts: dict[str, set[str]] = {}
    for line in lines:
        name, _, known = line.partition("|")
        accounts.setdefault(name, set()).update(filter(None, known.split(",")))
    for account_key, qos_key, gpus in (("account", "qos", False), ("gpu_account", "gpu_qos", True)):
        account = getattr(slurm, account_key) or (slurm.account if gpus else None)
        qos = getattr(slurm, qos_key) or (slurm.qos if gpus else None)
        rules = tuple(rule for one, names in requests.items() if bool(one.gpus) == gpus for rule in names)
        if account and account not in accounts:
            yours = ", ".join(sorted(accounts))
            yield Finding("refused", f"slurm.{account_key}", f"you have no account {account}; yours: {yours}", rules)
        elif qos and (allowed := accounts.get(account or "", set().union(*accounts.values()))) and qos not in allowed:
            message = f"quality of service {qos} is not allowed; the account has {', '.join(sorted(allowed))}"
            yield Finding("refused", f"slurm.{qos_key}", message, rules)
    yield from _against_qos(slurm, checked, requests)


def _against_qos(slurm: SlurmSettings, checked: Checked, requests: dict[Request, list[str]]) -> Iterator[Finding]:
    lines = checked.output("sacctmgr", "--noheader", "--parsable2", "show", "qos", "format=name,maxwall,maxsubmitpu")
    for line in lines or []:
        name, wall, submitted = (*line.split("|"), "", "")[:3]
        if name not in (slurm.qos, slurm.gpu_qos):
            continue
        limit = minutes_of(wall) if wall else None
        asking = {one: rules for one, rules in requests.items() if f"--qos={name}" in one.options}
        over = tuple(
            rule for one, rules in asking.items() if limit is not None and one.minutes > limit for rule in rules
        )
        if over:
            message = (
                f"quality of service {name} allows {limit:,} minutes, but jobs request more; set this key to {limit}"
            )
            yield Finding("refused", "slurm.limits.PARTITION.minutes", message, over)
        if submitted.isdigit() and int(submitted) < QUEUED:
            message = (
                f"quality of service {name} allows {submitted} jobs at once; add --jobs {submitted} to the command line"
            )
            yield Finding("refused", "jobs of profiles/slurm", message)


def _tested(checked: Checked, requests: dict[Request, list[str]]) -> Iterator[Finding]:
    """Test each request with the cluster's controller."""
    if shutil.which("sbatch") is None:
        checked.failed_commands["sbatch"] = "not installed on this machine"
        return
    if "sinfo" in checked.failed_commands:
        checked.failed_commands["sbatch --test-only"] = "sinfo got no answer from the cluster"
        return
    checked.commands.append("sbatch --test-only")
    found: dict[str, tuple[Request, list[str]]] = {}
    for request, rules in requests.items():
        words = ["sbatch", "--test-only", *request.options, "--wrap=true"]
        try:
            done = _run(words)
        except subprocess.TimeoutExpired:
            checked.failed_commands["sbatch --test-only"] = f"no answer within {TIMEOUT_SECONDS} s"
            break
        if done.returncode != 0:
            error = " ".join(done.stderr.split()).removeprefix("allocation failure: ").removeprefix("sbatch: error: ")
            found.setdefault(error, (request, []))[1].extend(rules)
    for error, (request, names) in found.items():
        yield Finding("refused", "sbatch --test-only", f"{error} (options: {' '.join(request.options)})", tuple(names))


def _quotas(site: SiteSettings, checked: Checked) -> Iterator[Finding]:
    """Disks and quotas that are nearly used up, in bytes or number of files."""
    place = next(one for one in (Path(site.results), *Path(site.results).absolute().parents) if one.exists())
    disk = os.statvfs(place)
    yield from _nearly("bytes", f"the disk of {place}", disk.f_blocks - disk.f_bavail, disk.f_blocks)
    yield from _nearly("files", f"the disk of {place}", disk.f_files - disk.f_favail, disk.f_files)
    lines = checked.output("quota", "--no-wrap", "--raw-grace", "-u", ignore_status=True) or []
    if shutil.which("lfs"):
        lines += checked.output("lfs", "quota", "-q", "-u", getpass.getuser(), str(place)) or []
    for line in lines:
        yield from quota_findings(line)


def quota_findings(line: str) -> Iterator[Finding]:
    """Problems in a line of `quota` or `lfs quota`.

    Columns: file system, used, soft and hard limit in kB, grace, then used, soft and hard limit in files.
    """
    words = [word.rstrip("*") for word in line.split()]
    if len(words) < 8 or not words[1].isdigit():
        return
    used, soft, hard, _, files, soft_files, hard_files = (int(word) if word.isdigit() else 0 for word in words[1:8])
    yield from _nearly("bytes", f"your quota on {words[0]}", used, soft or hard)
    yield from _nearly("files", f"your quota on {words[0]}", files, soft_files or hard_files)


def _nearly(what: str, of: str, used: int, limit: int) -> Iterator[Finding]:
    if limit > 0 and used > NEARLY_FULL * limit:
        yield Finding("warning", "results", f"{of} is {100 * used / limit:.0f} % full ({what})")


def lines_of(checked: Checked, config: str) -> Iterable[str]:
    """The result for a terminal, refusals first."""
    for level in ("refused", "warning"):
        for finding in (one for one in checked.findings if one.level == level):
            yield f"{level}: {finding.key}: {finding.message}{_of_rules(finding)}"
    yield f"checked: site file, {', '.join(dict.fromkeys(checked.commands)) or 'no Slurm command'}"
    for command, why in checked.failed_commands.items():
        yield f"not checked: {command}: {why}"
    refused = sum(one.level == "refused" for one in checked.findings)
    yield (
        f"jobs of {config} would be refused ({refused} problem{'s' if refused > 1 else ''})"
        if refused
        else f"jobs of {config} would be accepted"
    )


def _of_rules(finding: Finding) -> str:
    rules = finding.rules
    # A single rule is usually the first word of the finding.
    if not rules or (len(rules) == 1 and rules[0] in (finding.key, finding.message.partition(" ")[0])):
        return ""
    shown = ", ".join(rules[:4]) + (f" and {len(rules) - 4} more" if len(rules) > 4 else "")
    return f" (rules: {shown})"
