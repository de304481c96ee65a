"""Load and check the config, and define what all rule files share."""

import atexit
import json
import re
import shlex
import sys
import tempfile
from collections import Counter
from pathlib import Path

from snakemake.settings.types import DeploymentMethod


def project_folder(rules_folder):
    """The project's folder, also when another workflow uses it as a module.

    For a module on a git host Snakemake fetches only the rule files, so steps run from a checkout of the same commit.
    """
    if not hasattr(rules_folder, "hosted_repo"):
        return Path(rules_folder.get_path_or_uri(secret_free=True)).parent
    import git

    hosted = rules_folder.hosted_repo
    commit = hosted.repo.commit(rules_folder.ref).hexsha
    folder = hosted.repo_clone.with_name(f"{hosted.repo_clone.name}-{commit}")
    if not folder.exists():
        with tempfile.TemporaryDirectory(dir=folder.parent, ignore_cleanup_errors=True) as temporary:
            checkout = Path(temporary, "checkout")
            git.Repo.clone_from(hosted.repo_clone, checkout, no_checkout=True).git.checkout(commit, quiet=True)
            try:
                checkout.rename(folder)
            except OSError:
                if not folder.exists():
                    raise
    return folder


PROJECT = project_folder(workflow.current_basedir)
sys.path.insert(0, str(PROJECT))

from workflow_scripts.common import remedies
from workflow_scripts.common.training_records import finished_training
from workflow_scripts.common.config.benchmark_sources import how_to_get
from workflow_scripts.common.config.evaluate import IN_FULL_PRECISION, as_read, table_identity, watched_files
from workflow_scripts.common.config.root import load_config, load_site, read_yaml
from workflow_scripts.common.defined_rules import complete, literally
from workflow_scripts.common.config.train import CorpusShards
from workflow_scripts.common.errors import InputError
from workflow_scripts.common.files import write_json
from workflow_scripts.common.generations import Generations, number_groups, number_parts, share
from workflow_scripts.common.interruptions import note_stop_signals
from workflow_scripts.common.job_arrays import submit_like_jobs_together
from workflow_scripts.common.job_environment import literal_prefix, setup
from workflow_scripts.common.jobs import Job, check_names, granted, resources_of
from workflow_scripts.common.run_summary import Places, print_summary, print_when_nothing_ran
from workflow_scripts.common.layout import TRAINING_FILES, Corpus, Layout, Run
from workflow_scripts.common.losses import too_much_by_now
from workflow_scripts.common.missing_files import needed
from workflow_scripts.common.mixture import Mixture
from workflow_scripts.common.plan_summary import jobs_line, summary
from workflow_scripts.common.progress import PROGRESS
from workflow_scripts.common.redo import keep_made, redone, refusal, take_words
from workflow_scripts.common.retries import never_retry_bad_input
from workflow_scripts.common.scored_models import Models
from workflow_scripts.common.scoring import Scoring
from workflow_scripts.common.short_plan import plan_lines, planned_jobs
from workflow_scripts.common.snakemake_errors import check_writable, explain, record_running
from workflow_scripts.common.source_folders import changed_folders, is_begun, record_folders
from workflow_scripts.common.step_versions import step_version
from workflow_scripts.common.table_files import check_tables
from workflow_scripts.common.terminal import plans_shortly, shorten_output
from workflow_scripts.common.used_as_module import check_module

# Read when no --configfile is given: the working folder's config, else the embedded world.
DEFAULT_CONFIG = next(filter(Path.exists, [Path("config/config.yaml")]), PROJECT / "config/config.yaml")
ENVIRONMENT = f"{PROJECT}/envs/workflow.yaml"

# As a module, the workflow gets its config from the workflow that uses it.
IS_MODULE = not workflow.modifier.is_main_snakefile()
# For messages: relative paths, as people type them (Snakemake makes them absolute).
CONFIG_FILES = [
    str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)
    for path in map(Path, workflow.configfiles)
] or ([f"module {workflow.modifier.namespace}"] if IS_MODULE else [str(DEFAULT_CONFIG)])
# For messages: a wrong value may also come from the command line.
WHERE = " + ".join([*CONFIG_FILES, *(["--config"] if workflow.config_settings.config else [])])


shorten_output(workflow)
if workflow.is_main_process:
    remedies.remember_options(sys.argv[1:])
    submit_like_jobs_together()
    never_retry_bad_input()


def refuse_missing(keys):
    """Exit with an error for the first of some missing files and the number of others."""
    first, *others = map(absent.get, keys)
    sys.exit(
        f"error: {first}" + (f" (and {len(others)} more: `{remedies.snakemake('-n')}` names them)" if others else "")
    )


# Snakemake merges config files deeply, so the embedded world is loaded only when no other config is given.
try:
    if IS_MODULE:
        check_module(workflow.modifier)
    for path in map(Path, workflow.configfiles):
        # Read again: of two blocks with the same key, Snakemake silently keeps the last.
        read_yaml(path)
    if not workflow.configfiles and not IS_MODULE:
        given = dict(config)
        config.update(read_yaml(DEFAULT_CONFIG))
        update_config(config, given)
    WORDS = take_words(config, workflow.config_settings.config)
    SITE = load_site()
    # `profiles/slurm` sets this resource for every job, so that jobs and dry runs can tell a cluster too.
    SLURM = SITE.cluster if "through" in (workflow.resource_settings.default_resources or {}) else None
    CONFIG = load_config(config, WHERE, SITE)
    check_tables(CONFIG.generations, WHERE)
    check_names(CONFIG.limits.jobs, PROJECT / "rules", f"{WHERE}: limits.jobs")
    if SLURM and SLURM.mail:
        check_names(SLURM.mail.rules, PROJECT / "rules", "config/site.yaml: slurm.mail.rules")
    # A dry run plans despite missing files and lists them.
    DRY_RUN = workflow.output_settings.dryrun
    MISSING = CONFIG.missing_files(SITE.results)
    absent = {key: f"{WHERE}: {key}: {path}: no such file or folder{how_to_get(key)}" for key, path in MISSING.items()}
    if not DRY_RUN:
        check_writable(Path(SITE.results))
    LAYOUT = Layout(SITE.results)
    CORPUS, RUN, SHARED = LAYOUT.corpus(CONFIG.corpus), LAYOUT.run(CONFIG.run), LAYOUT.shared
    # The generations of an existing corpus are read from its folder.
    GIVEN = CONFIG.corpus_is_given
    GENERATIONS = Generations.found(CORPUS) if GIVEN else Generations.planned(CONFIG.generations)
    if not GENERATIONS.names:
        raise InputError(f"{WHERE}: corpus: {CORPUS}: no corpus found")
    # A finished training stays bound to the generations and files that it was trained on.
    TRAINED = None if "train" in WORDS.redo else finished_training(Path(RUN.summary()))
except InputError as error:
    sys.exit(f"error: {error}")

if workflow.is_main_process:
    sys.stderr.write(f"config {' + '.join(CONFIG_FILES)}, corpus {CONFIG.corpus}, run {CONFIG.run}\n")

LEDGER, PAST_IMAGES = LAYOUT.ledger(CORPUS.name), str(LAYOUT.past_images(CORPUS.name))
WORLD = LAYOUT.world(CORPUS.name)
CORPUS_LOGS = f"logs/corpora/{CORPUS.name}"
RUN_LOGS = f"logs/runs/{RUN.name}"
SHARED_LOGS = "logs/shared"

# Tables about the corpus are written into it, or into the run if the corpus is read-only.
ABOUT = Corpus(RUN.about_corpus()) if GIVEN else CORPUS
REPLAY_PARTS = number_parts(CONFIG.replay.parts) if CONFIG.replay is not None else []
HAS_REPLAY = Path(CORPUS.replay_manifest(split="train")).exists() if GIVEN else bool(REPLAY_PARTS)
ATTRIBUTIONS = CORPUS.attribution.each(generation=GENERATIONS.names)
REPLAY_ACCOUNTS = [CORPUS.replay_selection_account(), CORPUS.replay_account()] if HAS_REPLAY else []
if GIVEN:
    # A corpus made elsewhere may lack some.
    ATTRIBUTIONS, REPLAY_ACCOUNTS = [
        [path for path in paths if Path(path).exists()] for paths in (ATTRIBUTIONS, REPLAY_ACCOUNTS)
    ]

# Without a partition that reaches the internet, the rules that need it run beside Snakemake.
INTERNET_HERE = SLURM is not None and SLURM.internet_partition is None

# The container image of the steps, used with --software-deployment-method apptainer.
IMAGE = SITE.image if DeploymentMethod.APPTAINER in workflow.deployment_settings.deployment_method else None

# Jobs use this interpreter's environment, activated or not, or the image's. They run offline unless their command
# overrides it. The site's modules are loaded first, except in an image.
PYTHON = Path(sys.executable)
ON_PATH = "" if IMAGE else f'PATH={shlex.quote(str(PYTHON.parent))}:"$PATH" '
shell.prefix(
    literal_prefix(
        f"{setup(None if IMAGE else SLURM)}set -euo pipefail; export {ON_PATH}PYTHONPATH={shlex.quote(str(PROJECT))} "
        f"HF_HUB_OFFLINE=1 {PROGRESS}=lines; "
    )
)


wildcard_constraints:
    generation=r"g\d{3}",
    part=r"\d{4}",
    model=r"\w[\w.-]*",
    benchmark=r"\w+",
    identity=r"[0-9a-f]{8}",


def job(rule, logs, log, internet=False):
    """The requests (`cores`, `resources`) and the `log` and `benchmark` files of a rule's jobs."""
    try:
        asked = resources_of(rule, CONFIG, SITE, slurm=SLURM, internet=internet)
        cores = granted(rule, CONFIG, SITE, slurm=SLURM, internet=internet).cores
    except InputError as error:
        sys.exit(f"error: {error}")
    return Job(cores, asked, f"{logs}/{log}.log", f"{logs}/{log}.tsv")


def option(name, *values):
    """A command-line option, quoted for the shell; empty if it has no value."""
    given = [str(value) for value in values if value]
    return shlex.join([f"--{name}", *given]) if given else ""


def pairs(mapping):
    """The arguments of an option that takes names and values in turn."""
    return [word for pair in mapping.items() for word in pair]


def one_of(names):
    """A wildcard constraint that matches exactly these names; without any it matches nothing."""
    return "|".join(sorted(map(re.escape, names))) or "(?!)"


def parent_of_output(wildcards, output):
    """The folder of the first output."""
    return str(Path(output[0]).parent)


def grandparent_of_output(wildcards, output):
    """The parent of the first output's folder."""
    return str(Path(output[0]).parents[1])


def torchrun(rule, publishes):
    """The launcher that precedes a training's command: one process per GPU, on one node or several.

    Args:
        publishes: the file that marks the training as finished.
    """
    train = CONFIG.limits.train
    if SLURM is None:
        return (
            f"python -m workflow_scripts.train.launch --restarts {train.restarts} "
            f"--standalone --nproc-per-node {train.processes}"
        )
    return (
        f"{shlex.quote(str(PYTHON)) if IMAGE else 'python'} -m workflow_scripts.train.slots --nodes {train.nodes} --processes {train.processes} --cores {granted(rule, CONFIG, SITE, slurm=SLURM).cores} "
        f"--restarts {train.restarts} {option('image', IMAGE)} --publishes {shlex.quote(publishes)}"
    )


def require_fetched(files):
    """Exit if the site is offline and files are not fetched yet, listing all of them.

    Args:
        files: the outputs of rules that need the internet.
    """
    missing = [file for file in files if not Path(file).exists()]
    if SITE.offline and CONFIG.world is None and missing and workflow.is_main_process:
        sys.stderr.writelines(f"missing: {file}\n" for file in missing)
        sys.exit(
            f"error: config/site.yaml sets offline, and {len(missing)} files are not fetched yet; "
            f"run on a machine with internet: {remedies.snakemake('fetch')}"
        )


@atexit.register
def explain_failed_start():
    """On exit: the cause of a failure before the first job, in one line."""
    if workflow.is_main_process and (found := explain(workflow)):
        sys.stderr.write(f"error: {found}\n")


@atexit.register
def summarize_plan():
    """On exit of a dry run: missing files, the cost of the plan, and what would stop the run."""
    if not DRY_RUN or not workflow.is_main_process or workflow.dag is None:
        return
    sys.stderr.writelines(f"missing: {absent[key]}\n" for key in needed(MISSING, workflow.dag, GENERATIONS))
    jobs = [job for job in workflow.dag.needrun_jobs(exclude_finished=False) if not job.is_norun]
    made = {str(file) for job in jobs for file in job.output}
    parts = [job.wildcards.part for job in jobs if job.rule.name == "download"]
    jobs = [job for job in jobs if job.rule.name != "given_by_a_person"]
    rules = Counter(job.rule.name for job in jobs)
    if jobs:
        lines = plan_lines(planned_jobs(workflow, jobs)) if plans_shortly(workflow) else [jobs_line(rules)]
        sys.stderr.writelines(f"{line}\n" for line in lines)
        sys.stderr.writelines(f"{line}\n" for line in summary(rules, parts, CONFIG, CORPUS, GENERATIONS))
    sys.stderr.writelines(f"{line}\n" for line in changed_folders(CORPUS, GENERATIONS, made))
    if found := redone(workflow.dag, WORDS, CORPUS, LEDGER):
        sys.stderr.write(f"{refusal(found)}\n")
    if found := too_much_by_now(workflow.dag, CONFIG.max_loss):
        sys.stderr.write(f"{found}\n")


def source_inputs(wildcards):
    """A source's files by the name of their option. Folders trigger no rerun of a generation that is being downloaded."""
    paths = GENERATIONS.source(wildcards).paths(str(SHARED))
    if not is_begun(CORPUS, GENERATIONS, wildcards.generation):
        return paths
    return {name: ancient(path) if Path(path).is_dir() else path for name, path in paths.items()}


def training_inputs(files):
    """A training's inputs. For a finished training with the same settings, changed inputs trigger no rerun."""
    same = TRAINED and TRAINED.is_of(CONFIG.train, CONFIG.model, step_version("train.run"))
    return ancient(files) if same else files


def benchmark_images(wildcards):
    return f"{BENCHMARK_TABLES[wildcards.benchmark]}/images.parquet"


def projector(wildcards):
    return "replay" if CONFIG.benchmarks[wildcards.benchmark].layout == "replay" else "proj"


MIXTURE = Mixture(CONFIG, LAYOUT, GENERATIONS)
MODELS = Models(CONFIG, LAYOUT)
BEHIND = list(
    TRAINED.behind(
        MIXTURE.corpora,
        CONFIG.train.split,
        Path(CORPUS.replay()) if CONFIG.train.replay_batch else None,
        Path(MODELS.start),
    )
    if TRAINED and workflow.is_main_process
    else []
)
# The main process saves the planned corpora for its jobs: before a training starts, Snakemake deletes its old record.
PLANNED_CORPORA = Path(RUN.train_work(), "corpora.json")
if PLANNED_CORPORA.exists() and not workflow.is_main_process:
    MIXTURE.corpora = list(map(CorpusShards.model_validate_json, json.loads(PLANNED_CORPORA.read_text())))
elif TRAINED:
    MIXTURE.corpora = TRAINED.corpora(MIXTURE.corpora)
SCORING = Scoring(RUN, CONFIG.benchmarks, MODELS.folders, MODELS.without_text)
REPLAY_TABLES = [
    files(split=split)
    for split in ("train", "val")
    for files in (CORPUS.replay_manifest, CORPUS.replay_index)
    if HAS_REPLAY
]
REPLAY_OPTION = option("replay", HAS_REPLAY and CORPUS.replay())
VALIDATION_OPTION = option("validation", *(further.to_json() for further in MIXTURE.validation))
BENCHMARK_TABLES = {
    name: SHARED.benchmark(benchmark=name, identity=table_identity(spec, CONFIG.corpus))
    for name, spec in CONFIG.benchmarks.items()
}
# Downloaded benchmarks have their own folder: Snakemake deletes outputs, so folders that people fill must not be outputs.
FETCHED_BENCHMARKS = {
    name: SHARED.benchmark_fetched(benchmark=name, identity=spec.fetch_identity)
    for name, spec in CONFIG.benchmarks.items()
    if getattr(spec, "fetch", [])
}
# Command prefix that serves the embedded world while a job runs; empty in a real run.
SERVED = f"python -m workflow_scripts.world.serve {option('world', WORLD)} -- " if CONFIG.world is not None else ""
CONTACT = f"{option('contact', SITE.contact)} {option('product', SITE.product)}".strip()
SERVED_FROM = WORLD.served() if CONFIG.world is not None else []
# Input functions of the rules in screen.smk: Snakemake's linter allows no functions beside rules.
JUDGES = CONFIG.screen
# Groups of each generation, at most one per part.
SCREEN_GROUPS = {name: number_groups(min(CONFIG.screen_jobs, len(parts))) for name, parts in GENERATIONS.parts.items()}


def parts_of_group(wildcards):
    return GENERATIONS.parts[wildcards.generation][int(wildcards.group) :: len(SCREEN_GROUPS[wildcards.generation])]


def judge_inputs(wildcards):
    """A judge's files (weights, classes) by the name of their option."""
    judge = JUDGES[wildcards.judge]
    if judge.judge == "clip":
        classes = judge.classes if judge.brings_embeddings else CORPUS.judge_classes(judge=wildcards.judge)
        return {"model": MODELS.judge_files(wildcards.judge), "classes": classes}
    if judge.judge == "animals":
        weights = judge.weights
        return {"weights": weights if isinstance(weights, str) else weights.path(str(SHARED))}
    return judge.given


def judge_options(wildcards):
    judge = JUDGES[wildcards.judge]
    if judge.judge == "clip":
        return shlex.join(
            ["--model", MODELS.judge_source(wildcards.judge), "--classes", judge_inputs(wildcards)["classes"]]
        )
    weights = ["--weights", judge_inputs(wildcards)["weights"]] if judge.judge == "animals" else []
    return shlex.join(["--settings", judge.judged_by(), *weights])


def support_images(wildcards):
    """A judge's support images; for the embedded world, the file that marks it as complete."""
    folder = JUDGES[wildcards.judge].classes
    if folder is None:
        return []
    if CONFIG.world is not None and folder.startswith(f"{WORLD}/"):
        return SERVED_FROM
    return sorted(str(path) for path in Path(folder).rglob("*") if path.is_file())
