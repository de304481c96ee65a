"""The config, checked, and the helpers that the rules share."""

import atexit
import json
import re
import shlex
import sys
from functools import cache
from glob import glob
from pathlib import Path

sys.path.insert(0, str(workflow.basedir))

from snakemake.settings.types import DeploymentMethod

from workflow_scripts.common.bound import finished_training
from workflow_scripts.common.config.benchmark_sources import how_to_get
from workflow_scripts.common.config.evaluate import FETCHED_FOLDER, as_read, needs_text
from workflow_scripts.common.config.train import CorpusShards
from workflow_scripts.common.config.root import load_config, load_site, read_yaml
from workflow_scripts.common.corpus_identity import replay_of
from workflow_scripts.common.defined_rules import complete
from workflow_scripts.common.errors import InputError
from workflow_scripts.common.files import digest, write_json
from workflow_scripts.common.jobs import needs_of, resources_of
from workflow_scripts.common.redo import Corpus, keep_made, redone, refusal, take_words
from workflow_scripts.common.step_versions import step_version
from workflow_scripts.common.table_files import check_tables

DEFAULT_CONFIG = f"{workflow.basedir}/config/config.yaml"
ENVIRONMENT = f"{workflow.basedir}/envs/workflow.yaml"

# As a person would write them, where Snakemake has absolute paths.
CONFIG_FILES = [
    str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)
    for path in map(Path, workflow.config_settings.configfiles)
] or ["config/config.yaml"]
# For messages: what is wrong may stand on the command line.
WHERE = " + ".join([*CONFIG_FILES, *(["--config"] if workflow.config_settings.config else [])])


def refuse_missing():
    """Stop because of what a person has to give: its first line, and how many more there are."""
    first, *others = absent.values()
    sys.exit(f"error: {first}" + (f" (and {len(others)} more: snakemake -n names them)" if others else ""))


# Snakemake merges config files deeply: the embedded world is read only when nobody names another config.
try:
    for path in map(Path, workflow.config_settings.configfiles):
        # Snakemake has read it, and kept the last of two blocks of one name.
        read_yaml(path)
    if not workflow.config_settings.configfiles:
        given = dict(config)
        config.update(read_yaml(Path(DEFAULT_CONFIG)))
        update_config(config, given)
    WORDS = take_words(config, workflow.config_settings.config)
    SITE = load_site()
    # `profiles/slurm` gives every job this resource; so the jobs themselves know it too, and so does a dry run.
    SLURM = SITE.cluster if "through" in (workflow.resource_settings.default_resources or {}) else None
    CONFIG = load_config(config, WHERE, SITE)
    check_tables(CONFIG.generations, WHERE)
    # A dry run plans without what is not there yet, and says what it is.
    DRY_RUN = workflow.output_settings.dryrun
    MISSING = CONFIG.missing_files(SITE.results)
    absent = {key: f"{WHERE}: {key}: {path}: no such file or folder{how_to_get(key)}" for key, path in MISSING.items()}
    if not DRY_RUN and any(key.startswith(("generations.", "replay.", "world.")) for key in absent):
        refuse_missing()
    CORPUS = CONFIG.corpus_folder(SITE.results)
    # A corpus that was made elsewhere has the generations that it has.
    GIVEN = CONFIG.corpus_is_given
    GENERATIONS = [f"g{number:03d}" for number in range(len(CONFIG.generations))]
    if GIVEN:
        GENERATIONS = sorted(path.name for path in Path(CORPUS, "shards").glob("g[0-9][0-9][0-9]"))
        if not GENERATIONS:
            raise InputError(f"{WHERE}: corpus: {CORPUS}: no corpus is there")
    RUN = f"{SITE.results}/runs/{CONFIG.run}"
    # A finished training stays with the generations that it had, and with what they held.
    TRAINED = None if "train" in WORDS.redo else finished_training(Path(RUN, "train/summary.json"))
except InputError as error:
    sys.exit(f"error: {error}")

if workflow.is_main_process:
    sys.stderr.write(f"config {' + '.join(CONFIG_FILES)}, corpus {CONFIG.corpus}, run {CONFIG.run}\n")
    sys.stderr.writelines(f"missing: {line}\n" for line in absent.values() if DRY_RUN)

# Beside the corpus and not in it: what was taken down stays so when the corpus is built anew.
LEDGER = f"{SITE.results}/ledgers/{CONFIG.corpus_name}.parquet"
THIS_CORPUS = Corpus(CORPUS, LEDGER)
SHARED = f"{SITE.results}/shared"
WORLD = f"{SITE.results}/world/{CONFIG.corpus_name}"
CORPUS_LOGS = f"logs/corpora/{CONFIG.corpus_name}"
RUN_LOGS = f"logs/runs/{CONFIG.run}"
SHARED_LOGS = "logs/shared"

# What is found out about the corpus stands in it, or in the run where the corpus is only read.
ABOUT = f"{RUN}/corpus" if GIVEN else CORPUS
HAS_REPLAY = Path(CORPUS, "replay/train/manifest.parquet").exists() if GIVEN else CONFIG.replay is not None

# Where the nodes that jobs are sent to have no internet, the rules that need it run where Snakemake runs.
INTERNET_HERE = SLURM is not None and SLURM.internet_partition is None

# The image that steps run in, where Snakemake is told to use it (--software-deployment-method apptainer).
IMAGE = SITE.image if DeploymentMethod.APPTAINER in workflow.deployment_settings.deployment_method else None

# Jobs use this interpreter's environment, activated or not, or that of the image, and run offline unless their command
# says otherwise.
PYTHON = Path(sys.executable)
ON_PATH = "" if IMAGE else f'PATH={shlex.quote(str(PYTHON.parent))}:"$PATH" '
shell.prefix(
    f"set -euo pipefail; export {ON_PATH}PYTHONPATH={shlex.quote(str(workflow.basedir))} "
    "HF_HUB_OFFLINE=1 NO_ALBUMENTATIONS_UPDATE=1; "
)

REPLAY_SELECTION = []
REPLAY_HOSTS = []
REPLAY_MANIFESTS = []
REPLAY_ACCOUNTS = []


wildcard_constraints:
    generation=r"g\d{3}",
    part=r"\d{4}",
    model=r"\w[\w.-]*",
    benchmark=r"\w+",


def identity(*values):
    """A short name for what is shared by everything with the same settings."""
    return digest([value.model_dump(mode="json") if hasattr(value, "model_dump") else value for value in values])[:8]


def asks(rule, internet=False):
    """The resources that a rule asks for."""
    return resources_of(rule, CONFIG, SITE, slurm=SLURM, internet=internet)


def cores(rule):
    """The cores that a rule asks for."""
    return needs_of(rule, CONFIG, SITE).cores


def torchrun(rule, publishes):
    """The command in front of a training: one process a GPU, or a few on the CPU, on one machine or several.

    Args:
        publishes: the file that says that the training is done.
    """
    train = CONFIG.limits.train
    if SLURM is None:
        return (
            f"python -m workflow_scripts.train.launch --restarts {train.restarts} "
            f"--standalone --nproc-per-node {train.processes}"
        )
    return (
        f"{shlex.quote(str(PYTHON)) if IMAGE else 'python'} -m workflow_scripts.train.slots --nodes {train.nodes} --processes {train.processes} --cores {cores(rule)} "
        f"--restarts {train.restarts} {option('image', IMAGE)} --publishes {shlex.quote(publishes)}"
    )


def require_fetched(files):
    """Where nothing reaches the internet, stop before anything runs, naming every file that was to be fetched."""
    missing = [file for file in files if not Path(file).exists()]
    if SITE.offline and CONFIG.world is None and missing and workflow.is_main_process:
        sys.stderr.writelines(f"missing: {file}\n" for file in missing)
        command = shlex.join(["snakemake", "fetch", "--profile", "profiles/local", "--configfile", *CONFIG_FILES])
        sys.exit(
            f"error: config/site.yaml says offline, and {len(missing)} files are not fetched yet; "
            f"where there is internet, run: {command}"
        )


def option(name, value):
    """A command-line option for the shell, or nothing where there is no value."""
    return shlex.join([f"--{name}", str(value)]) if value else ""


REPLAY_OPTION = option("replay", HAS_REPLAY and f"{CORPUS}/replay")


def pairs(mapping):
    """The words of an option that takes names with their values."""
    return [word for pair in mapping.items() for word in pair]


def number_of(generation):
    return int(generation[1:])


def first_part(generation):
    return sum(earlier.parts for earlier in CONFIG.generations[: number_of(generation)])


@cache
def parts_of(generation):
    """The numbers of a generation's parts, as they stand in file names; parts are numbered through all generations."""
    if GIVEN:
        found = Path(CORPUS, "catalog", generation).glob("part-*.parquet")
        return sorted(path.stem.removeprefix("part-") for path in found)
    first = first_part(generation)
    return [f"{number:04d}" for number in range(first, first + CONFIG.generations[number_of(generation)].parts)]


def catalog_parts(generation):
    return expand(
        f"{CORPUS}/catalog/{generation}/part-{{part}}.parquet",
        part=parts_of(generation),
    )


def older(wildcards):
    return GENERATIONS[: number_of(wildcards.generation)]


def one_of(names):
    """A wildcard constraint that matches these names and nothing else (nothing at all when there are none)."""
    return "|".join(sorted(names)) or "(?!)"


def sources_of(generation):
    if GIVEN:
        found = Path(CORPUS, "catalog", generation, "sources").glob("*.account.json")
        return {path.name.removesuffix(".account.json"): None for path in sorted(found)}
    return {source.name: source for source in CONFIG.generations[number_of(generation)].sources}


def source_inputs(wildcards):
    return source_files(sources_of(wildcards.generation)[wildcards.source])


def source_files(source):
    """Where a source's files lie, by option name: where a person put them, or where they are fetched to."""
    return {name: file if isinstance(file, str) else file.path(SHARED) for name, file in source.inputs.items()}


def source_options(wildcards):
    return " ".join(option(name, path) for name, path in source_inputs(wildcards).items())


def remote_file(wildcards):
    return FETCHED_SOURCES[f"{SHARED}/sources/{wildcards.identity}/{wildcards.file}"].to_json()


def source_reader(wildcards):
    return sources_of(wildcards.generation)[wildcards.source].reader


def source_settings(wildcards):
    return sources_of(wildcards.generation)[wildcards.source].to_json()


def source_version(wildcards):
    return step_version(f"catalog.{source_reader(wildcards)}")


def catalog_part(wildcards):
    return f"{CORPUS}/catalog/{generation_of(wildcards.part)}/part-{wildcards.part}.parquet"


@cache
def generation_of(part):
    return next(name for name in GENERATIONS if part in parts_of(name))


def replay_parts():
    return CONFIG.replay.parts if CONFIG.replay is not None else 0


def beside(generation):
    """How many replay parts are downloaded side by side with a generation's: the first one's, with all of them."""
    return replay_parts() if generation == GENERATIONS[0] else 0


def part_share(wildcards):
    """How many parts are downloaded side by side, and which of them this one is."""
    generation = generation_of(wildcards.part)
    numbers = parts_of(generation)
    return f"--parts {len(numbers) + beside(generation)} --turn {numbers.index(wildcards.part)}"


def replay_share(wildcards):
    corpus = len(parts_of(GENERATIONS[0]))
    return f"--parts {corpus + replay_parts()} --turn {corpus + int(wildcards.part)}"


def corpus_first(wildcards):
    """The last replay part has what is at hosts of the corpus too, and waits for it."""
    return f"{CORPUS}/download/{GENERATIONS[0]}.parquet" if int(wildcards.part) == replay_parts() - 1 else []


def named_hosts(wildcards):
    """The hosts of all parts that are downloaded side by side with a generation's."""
    own = f"{CORPUS}/catalog/{wildcards.generation}/hosts.parquet"
    return [own, REPLAY_HOSTS] if beside(wildcards.generation) else [own]


def named_beside(wildcards):
    return f"{CORPUS}/download/{generation_of(wildcards.part)}.named.parquet"


def replay_selection(wildcards):
    return REPLAY_SELECTION


def replay_manifests(wildcards):
    return REPLAY_MANIFESTS


def earlier_downloads(wildcards):
    """One generation after the other, replay beside the first: a host's policy holds over all that run at once."""
    number = number_of(generation_of(wildcards.part))
    if number == 0:
        return []
    return [f"{CORPUS}/download/{GENERATIONS[number - 1]}.parquet", *REPLAY_MANIFESTS]


def generation_manifests(wildcards):
    return expand(
        f"{CORPUS}/download/part-{{part}}/manifest.parquet",
        part=parts_of(wildcards.generation),
    )


def download_manifests(wildcards):
    return [f"{CORPUS}/download/part-{part}/manifest.parquet" for name in GENERATIONS for part in parts_of(name)]


def all_manifests(wildcards):
    """The downloads of the catalogue and those of replay."""
    return [*download_manifests(wildcards), *REPLAY_MANIFESTS]


def generation_parts(wildcards):
    return parts_of(wildcards.generation)


def backbone_archive(wildcards):
    return archive_files(BACKBONES[wildcards.name])


def backbone_path(wildcards):
    return archive_path(BACKBONES[wildcards.name])


def archive_path(backbone):
    """Where a backbone's archive lies: where a person put it, or where it is fetched to."""
    return backbone.path or f"{backbone.folder(SHARED)}/archive.zip"


def archive_files(backbone):
    """What of an archive the rules can watch."""
    archive = archive_path(backbone)
    if archive.startswith(f"{WORLD}/"):
        return [f"{archive}/{name}" for name in ("Taxon.tsv", "VernacularName.tsv", "meta.xml")]
    # Which of a folder's files hold what only its reader knows.
    suffixes = (".csv", ".tsv", ".txt", ".tab", ".xml")
    found = sorted(str(file) for file in Path(archive).rglob("*") if file.suffix.lower() in suffixes)
    return found or archive


def backbone_reader(wildcards):
    return BACKBONES[wildcards.name].reader


def backbone_release(wildcards):
    """The options of fetching a backbone."""
    backbone = BACKBONES[wildcards.name]
    return f"{option('url', backbone.url)} {option('sha256', backbone.sha256)}"


def generation_catalog(wildcards):
    return catalog_parts(wildcards.generation)


def kept_columns(wildcards):
    """Columns of the sources that the config keeps, and the shards' index carries."""
    return KEPT[wildcards.generation]


def kept_in(wildcards):
    return catalog_parts(wildcards.generation) if KEPT[wildcards.generation] else []


def older_verdicts(wildcards):
    return expand(f"{CORPUS}/curate/{{generation}}/verdicts.parquet", generation=older(wildcards))


def downloads_folder(wildcards):
    return f"{CORPUS}/download"


def clean_of_tables(wildcards):
    return [f"{BENCHMARK_TABLES[name]}/images.parquet" for name in CONFIG.curate.clean_of]


def clean_of_options(wildcards):
    return pairs({name: f"{BENCHMARK_TABLES[name]}/images.parquet" for name in CONFIG.curate.clean_of})


def held_out_tables(wildcards):
    return [f"{BENCHMARK_TABLES[name]}/images.parquet" for name in CONFIG.curate.hold_out_species_of]


def ledger(wildcards):
    """What was taken down from the corpus, once anything was."""
    return LEDGER if Path(LEDGER).exists() else []


def table_identity(benchmark):
    """What tells a benchmark's table from others of its name; some are made of the corpus itself."""
    of_corpus = benchmark.layout in ("replay", "carved")
    return identity(as_read(benchmark), CONFIG.corpus if of_corpus else "")


def benchmark_settings(wildcards):
    return json.dumps(as_read(CONFIG.benchmarks[wildcards.benchmark]))


def benchmark_inputs(wildcards):
    """What a reader's job watches, which is what was fetched and the label files that a person gives."""
    benchmark = IMAGE_SETS[wildcards.benchmark]
    given = [path for path in benchmark.inputs.values() if f"{FETCHED_FOLDER}/" not in path]
    if CONFIG.world is not None:
        # The world is made as a whole; its last file stands for all of it.
        made = f"{WORLD}/benchmarks/"
        given = list(dict.fromkeys(f"{WORLD}/world.json" if path.startswith(made) else path for path in given))
    return given + [FETCHED_BENCHMARKS[wildcards.benchmark]] if benchmark.fetch else given


def benchmark_reader(wildcards):
    return f"index_{IMAGE_SETS[wildcards.benchmark].layout}"


def benchmark_version(wildcards):
    return step_version(f"benchmarks.{benchmark_reader(wildcards)}")


def projector(wildcards):
    return "replay" if CONFIG.benchmarks[wildcards.benchmark].layout == "replay" else "proj"


def scored_models(spec):
    """The models that a benchmark can score: where each image has a caption of its own, those that read text."""
    return [name for name in MODELS if name not in WITHOUT_TEXT or spec.layout != "replay"]


def predictions(model, benchmark):
    """Where zero-shot predictions are written, where there are any."""
    if model in WITHOUT_TEXT or not needs_text(CONFIG.benchmarks[benchmark]):
        return []
    return [f"{RUN}/scores/{model}/{benchmark}.predictions.parquet"]


def searches_folder(model, benchmark):
    return f"{RUN}/searches/{model}/{benchmark}/of-{CONFIG.benchmarks[benchmark].jobs}"


def searches(model, benchmark):
    """What a benchmark of searched machines answers, by parts; nothing for the others."""
    spec = CONFIG.benchmarks[benchmark]
    if spec.layout != "newt":
        return []
    return [f"{searches_folder(model, benchmark)}/part-{number:04d}.parquet" for number in range(spec.jobs)]


def searches_option(benchmark):
    if CONFIG.benchmarks[benchmark].layout != "newt":
        return ""
    folders = {name: searches_folder(name, benchmark) for name in SCORED[benchmark]}
    return shlex.join(["--searches", *pairs(folders)])


def part_number(wildcards):
    return int(wildcards.part)


def predictions_of(wildcards):
    return PREDICTIONS[wildcards.benchmark]


def model_input(wildcards):
    return files_of_model(wildcards.model)


def model_source(wildcards):
    return source_of_model(wildcards.model)


def benchmark_images(wildcards):
    return f"{BENCHMARK_TABLES[wildcards.benchmark]}/images.parquet"


def parent_of_output(wildcards, output):
    """The folder of the first output."""
    return str(Path(output[0]).parent)


def grandparent_of_output(wildcards, output):
    """The folder above the first output's."""
    return str(Path(output[0]).parents[1])


def mixed_corpora():
    """What is trained on: the config's own corpus, or what its mix names."""
    return [corpus_of(entry) for entry in CONFIG.mix] or [OWN]


def corpus_of(entry):
    """The shards of one corpus of a mix; the generations of one that was made elsewhere are those that it has."""
    pinned = {"weight": entry.weight, "digest": entry.digest}
    if entry.tars:
        return CorpusShards(shards=[f"{SHARED}/indexed/{identity(entry.tars, entry.val_tars)}"], **pinned)
    folder = entry.folder(SITE.results)
    if Path(folder) == Path(CORPUS):
        return OWN.model_copy(update=pinned)
    found = sorted(map(str, Path(folder).glob("shards/g*"))) or [f"{folder}/shards/{GENERATIONS[0]}"]
    replay = replay_of(Path(folder))
    return CorpusShards(
        shards=found, labels=f"{folder}/taxonomy/labels.parquet", replay=replay and str(replay), **pinned
    )


def shard_tables():
    """The tables that a training waits for; those of a corpus that was made elsewhere are there, or it is refused."""
    waited = []
    for corpus in map(CorpusShards.model_validate_json, CORPORA):
        own, indexed = corpus.labels == OWN.labels, INDEXED.get(corpus.shards[0])
        splits = [CONFIG.train.split, "val"] if indexed is None or indexed.val_tars else [CONFIG.train.split]
        found = expand(
            "{shards}/{split}/{table}.parquet", shards=corpus.shards, split=splits, table=["manifest", "index"]
        )
        found += [corpus.labels] if corpus.labels else []
        if corpus.digest and corpus.replay:
            found += expand("{replay}/{split}/manifest.parquet", replay=corpus.replay, split=["train", "val"])
        waited += [path for path in found if own or indexed or Path(path).exists()]
    return waited


def indexed_tars(wildcards):
    entry = next(entry for folder, entry in INDEXED.items() if Path(folder).name == wildcards.indexed)
    return entry.tars if wildcards.split == "train" else entry.val_tars


def named_by(benchmark, text_type):
    """A benchmark whose classes are written as one text type, and which is asked nothing else."""
    return CONFIG.benchmarks[benchmark].model_copy(
        update={"text_type": text_type, "published_text_type": None, "shots": []}
    )


def variant_folder(variant):
    """The model of an ablation's variant, or what all of them start from."""
    return START if variant == "start" else f"{ABLATIONS}/{variant}/model"


def variant_model(wildcards):
    return f"{variant_folder(wildcards.variant)}/open_clip_config.json"


def variant_source(wildcards):
    return f"local-dir:{variant_folder(wildcards.variant)}"


def variant_settings(wildcards):
    return VARIANTS[wildcards.variant].to_json()


def variant_replay(wildcards):
    return REPLAY_OPTION if VARIANTS[wildcards.variant].replay_batch else ""


def variant_work(wildcards):
    return f"{ABLATIONS}/{wildcards.variant}/.work/train"


def variant_torchrun(wildcards):
    return torchrun("train_run", f"{ABLATIONS}/{wildcards.variant}/train/summary.json")
