"""The complete config: reading, checking, and one-line error messages."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

import yaml
from pydantic import BaseModel, Field, ValidationError, field_validator, model_validator

from workflow_scripts.common.config.base import Section, check_path
from workflow_scripts.common.config.catalog import Generation
from workflow_scripts.common.config.curate import AttributionSettings, CurateSettings
from workflow_scripts.common.config.download import DownloadLimits, DownloadSettings
from workflow_scripts.common.config.evaluate import (
    FETCHED_FOLDER,
    Benchmark,
    Classification,
    EmbedLimits,
    ImageSet,
    fetch_identity,
)
from workflow_scripts.common.config.jobs import JobLimits
from workflow_scripts.common.config.loss import REPLAY, LossSettings
from workflow_scripts.common.config.model_source import FORMS, TIMM_FORMS, Baseline
from workflow_scripts.common.config.replay import ReplaySettings
from workflow_scripts.common.config.report import IntrinsicSettings, PublishSettings
from workflow_scripts.common.config.screen import Judge, Look, Refusals, Screening, check_of, check_refused
from workflow_scripts.common.config.shards import ShardSettings
from workflow_scripts.common.config.site import SiteSettings
from workflow_scripts.common.config.taxonomy import TaxonomySettings
from workflow_scripts.common.config.train import (
    AblationSettings,
    ExportSettings,
    MixEntry,
    ModelSettings,
    TrainLimits,
    TrainSettings,
)
from workflow_scripts.common.config.world import WorldSettings
from workflow_scripts.common.errors import InputError, did_you_mean, first_line
from workflow_scripts.common.files import matching
from workflow_scripts.common.image_memory import least_mb
from workflow_scripts.common.layout import Layout
from workflow_scripts.contracts import CATALOG, STRING, TEXT_TYPES

S = TypeVar("S", bound=Section)

QUOTE = "'"
NAME = r"^[A-Za-z0-9][A-Za-z0-9_.-]*$"


class Limits(Section):
    """Runtime limits: concurrency, memory, timeouts. They never change outputs, so changing them reruns nothing."""

    download: DownloadLimits = Field(default_factory=DownloadLimits, description="Limits of downloads.")
    train: TrainLimits = Field(default_factory=TrainLimits, description="Limits of training.")
    embed: EmbedLimits = Field(default_factory=EmbedLimits, description="Limits of embedding.")
    screen: EmbedLimits = Field(
        default_factory=EmbedLimits,
        description="Limits of screening. `batch` is the number of images per forward pass on a GPU.",
    )
    jobs: dict[str, JobLimits] = Field(
        default_factory=dict,
        description="Resources of a rule's jobs, by rule name. `eval` and `catalog_merge` cover all rules whose "
        "names start with them, such as `eval_rare_species`.",
    )


# A `local-dir:` model with an absolute path, within JSON. The group is the last component of the path.
LOCAL_MODEL = re.compile(r'"local-dir:(?=/)(?:[^"\\]|\\.)*/((?:[^"\\/]|\\.)+)"')


class Config(Section):
    """One corpus, one run that trains on it, and the benchmarks that score the run."""

    run: str = Field(pattern=NAME, description="Name of the run (a model): `results/runs/<run>`.")
    corpus: str = Field(
        pattern=f"{NAME}|/",
        description="Name of the corpus (data): `results/corpora/<corpus>`. A value that contains `/` is the "
        "folder of a corpus made elsewhere, which is only read.",
    )
    corpus_digest: str | None = Field(
        None,
        description="Expected digest of the corpus. Training stops if it differs. `python -m "
        "workflow_scripts.train.data --corpus FOLDER` prints it; model cards and `corpus.json` state it.",
    )
    world: WorldSettings | None = Field(None, description="The embedded world; absent in real recipes.")
    generations: list[Generation] = Field(
        [], description="Generations of the corpus. To add records, append one; never change one that is built."
    )
    download: DownloadSettings = Field(
        default_factory=DownloadSettings, description="Which images are accepted and how they are stored."
    )
    screen: dict[str, Judge] = Field(
        default_factory=dict,
        description="Judges that examine the downloaded images, by name. Images refused by their thresholds are "
        "left out of the corpus.",
    )
    screen_jobs: int = Field(
        4,
        ge=1,
        le=1000,
        description="Number of jobs per judge and generation. Changing it does not judge images again.",
    )
    max_loss: LossSettings = Field(
        default_factory=LossSettings,
        description="Maximum share of a source's rows that a stage may lose. A larger loss stops the run.",
    )
    taxonomy: TaxonomySettings | None = Field(
        None, description="How names are resolved. Default: names are used as written."
    )
    curate: CurateSettings = Field(default_factory=CurateSettings, description="Which images are kept.")
    attribution: AttributionSettings = Field(
        default_factory=AttributionSettings, description="Citations for the corpus's attribution."
    )
    shards: ShardSettings = Field(default_factory=ShardSettings, description="How shards are written.")
    shard_jobs: int = Field(
        4,
        ge=1,
        le=5000,
        description="Number of jobs that write a generation's shards. Changing it re-plans the shards but "
        "rewrites none.",
    )
    replay: ReplaySettings | None = Field(None, description="Replay pairs. Default: no replay.")
    model: ModelSettings = Field(description="The model to train.")
    pretrain: TrainSettings | None = Field(None, description="Pretraining on replay, for `model.start: pretrain`.")
    train: TrainSettings = Field(description="Training settings.")
    mix: list[MixEntry] = Field([], description="Corpora to train on. Default: this config's own corpus.")
    validation: dict[str, str] = Field(
        default_factory=dict,
        description="Further validation sets, by name: tars in the published layout, as a glob. Each is "
        "evaluated after every epoch (`val_loss_<name>` in metrics.jsonl). The best weights are chosen by the "
        "held-out split, if there is one.",
    )
    export: ExportSettings = Field(default_factory=ExportSettings, description="How the trained model is exported.")
    ablations: AblationSettings | None = Field(
        None, description="Ablations to train and test with the target `ablations`."
    )
    benchmarks: dict[str, Benchmark] = Field(default_factory=dict, description="Benchmarks, by name.")
    baselines: dict[str, Baseline] = Field(
        default_factory=dict,
        description=f"Further models to score, by name: `start` (the run's starting weights), {FORMS}, "
        f"{TIMM_FORMS}; or a section with the keys of `model`. timm models have no text tower and are scored "
        "only on benchmarks that need no text.",
    )
    intrinsic: IntrinsicSettings = Field(
        default_factory=IntrinsicSettings, description="Analysis of the features: t-SNE and taxonomic distances."
    )
    publish: PublishSettings = Field(default_factory=PublishSettings, description="What `publish` writes.")
    runs: list[Annotated[str, Field(pattern=NAME)]] = Field(
        default_factory=list, description="Runs to compare with the target `compare`."
    )
    limits: Limits = Field(default_factory=Limits, description="Runtime limits: concurrency, memory, timeouts.")

    @field_validator("benchmarks", "baselines", "screen", "validation")
    @classmethod
    def _file_safe(cls, value: dict[str, Any]) -> dict[str, Any]:
        for name in value:
            if not name.isidentifier():
                raise ValueError(f"{name!r} is not a valid name; use letters, digits and _, with a letter first")
        return value

    @model_validator(mode="before")
    @classmethod
    def _default_replay_size(cls, values: Any) -> Any:
        """Default `replay.shards.image_size` to `shards.image_size`."""
        match values:
            case {"shards": {"image_size": size}, "replay": {**replay}}:
                shards = replay.get("shards", {})
                if isinstance(shards, dict):
                    return {**values, "replay": {**replay, "shards": {"image_size": size, **shards}}}
        return values

    @model_validator(mode="before")
    @classmethod
    def _default_min_size(cls, values: Any) -> Any:
        """Default `curate.min_size` to `download.min_size`."""
        match values:
            case {"download": {"min_size": size}}:
                curate = values.get("curate", {})
                if isinstance(curate, dict):
                    return {**values, "curate": {"min_size": size, **curate}}
        return values

    @model_validator(mode="before")
    @classmethod
    def _default_taxonomy(cls, values: Any) -> Any:
        """Default `taxonomy` to a section without backbones, which uses labels as written."""
        if isinstance(values, dict) and values.get("generations") and values.get("taxonomy") is None:
            return values | {"taxonomy": {}}
        return values

    @model_validator(mode="after")
    def _consistent(self) -> "Config":
        made = {"generations": self.generations, "taxonomy": self.taxonomy}
        if self.corpus_is_given:
            others = {"screen": self.screen, "replay": self.replay, "world": self.world}
            if unused := [key for key, value in {**made, **others}.items() if value]:
                raise ValueError(f"{unused[0]}: remove this section; corpus: {self.corpus} was made elsewhere")
        elif missing := [key for key, value in made.items() if not value]:
            raise ValueError(f"{missing[0]}: missing")
        for key, settings in self.downloads.items():
            available, needed = self.limits.download.image_memory_mb, least_mb(settings.most_pixels)
            if needed > available:
                raise ValueError(
                    f"{key}.max_pixels: {settings.most_pixels} pixels need {needed} MiB to decode, but "
                    f"limits.download.image_memory_mb is {available}; raise it to {needed}, or lower max_pixels"
                )
        if self.model.start == "pretrain" and (self.pretrain is None or self.replay is None):
            raise ValueError("model.start: pretrain needs the sections pretrain and replay")
        if self.train.replay_batch and self.replay is None and not self.corpus_is_given:
            raise ValueError("train.replay_batch: needs the section replay; add it, or remove replay_batch")
        kept = {name for generation in self.generations for source in generation.sources for name in source.keep}
        if unknown := [name for name in self.train.caption_columns if name not in kept and not self.corpus_is_given]:
            raise ValueError(f"train.templates: no source keeps the column {', '.join(unknown)}; add it to `keep`")
        if 0 < sum(entry.weight is not None for entry in self.mix) < len(self.mix):
            raise ValueError("mix: give a weight to every corpus or to none")
        if taken := {"biology", "replay"} & self.validation.keys():
            raise ValueError(f"validation: {taken.pop()} is the name of a held-out split; choose another name")
        if self.validation and self.train.validation_text_type not in TEXT_TYPES:
            raise ValueError(
                f"validation: tars in the published layout have no captions of type {self.train.validation_text_type}; "
                f"set train.validation_text_type to one of {', '.join(TEXT_TYPES)}"
            )
        if self.run in self.baselines:
            raise ValueError(f"run: {self.run!r} is also the name of a baseline; rename one of them")
        for name, benchmark in self.benchmarks.items():
            if benchmark.layout == "replay" and self.replay is None and not self.corpus_is_given:
                raise ValueError(f"benchmarks.{name}: layout replay needs the section replay")
            if benchmark.layout == "carved":
                if name not in self.curate.hold_out_species_of:
                    raise ValueError(
                        f"benchmarks.{name}: its species must be held out; add {name} to curate.hold_out_species_of"
                    )
                if benchmark.images <= max(benchmark.shots, default=0):
                    raise ValueError(
                        f"benchmarks.{name}.images: {benchmark.images} images per species leave no query image beside "
                        f"{max(benchmark.shots)} shots; use at least {max(benchmark.shots) + 1}"
                    )
        with_images = [name for name, benchmark in self.benchmarks.items() if benchmark.layout != "replay"]
        named = {f"curate.{key}": getattr(self.curate, key) for key in ("clean_of", "hold_out_species_of")}
        for key, given in (named | {"intrinsic.benchmarks": self.intrinsic.benchmarks or []}).items():
            for name in given:
                if name not in with_images:
                    guess = did_you_mean(name, with_images)
                    raise ValueError(f"{key}: {name!r} is not a benchmark with its own images{guess}")
        for key, path in {"corpus": self.corpus, **self.given_files()}.items():
            try:
                check_path(path)
            except ValueError as error:
                raise ValueError(f"{key}: {error}") from None
        self._check_image_sizes()
        self._check_ablations()
        columns = [(column.name, column.type) for column in CATALOG.columns]
        columns += [(name, STRING) for name in sorted(kept)]
        for name, judge in self.screen.items():
            check_of(name, judge.of, columns)
            check_refused(name, judge)
        names = [source.name for generation in self.generations for source in generation.sources]
        if repeated := {name for name in names if names.count(name) > 1}:
            raise ValueError(f"generations: more than one source is named {', '.join(sorted(repeated))}")
        if unknown := sorted(set(self.max_loss.sources) - {*names, REPLAY}):
            known = [*names, REPLAY]
            guess = did_you_mean(unknown[0], known) or f"; the sources are {', '.join(known)}"
            raise ValueError(f"max_loss.sources.{unknown[0]}: no such source{guess}")
        return self

    def _check_image_sizes(self) -> None:
        """Check that shards, replay shards and model agree on the image size.

        Raises:
            ValueError: two of them differ. A corpus made elsewhere has its own size.
        """
        made, expected = self.shards.image_size, self.model.image_size
        if self.replay is not None and (found := self.replay.shards.image_size) != made:
            raise ValueError(f"replay.shards.image_size: {found}, but shards.image_size is {made}; remove it")
        if not self.corpus_is_given and expected is not None and made != expected:
            raise ValueError(f"shards.image_size: {made}, but the model takes {expected}; set it to {expected}")

    def _check_ablations(self) -> None:
        if self.ablations is None:
            return
        if not self.train.replay_batch:
            raise ValueError("ablations: the recipe has no replay to turn off; set train.replay_batch")
        layouts = dict.fromkeys(self.ablations.benchmarks, "csv") | {self.ablations.replay: "replay"}
        for name, layout in layouts.items():
            if name not in self.benchmarks or self.benchmarks[name].layout != layout:
                guess = did_you_mean(name, (one for one, spec in self.benchmarks.items() if spec.layout == layout))
                raise ValueError(f"ablations: {name!r} is not a benchmark with layout {layout}{guess}")

    @property
    def refusals(self) -> Refusals:
        """Rules by which the judges' thresholds refuse images."""
        return Refusals(rules=[rule for name, judge in self.screen.items() for rule in judge.refusals(name)])

    @property
    def screening(self) -> Screening:
        """The images that each judge examines, for cost estimates."""
        looks = [Look(name=name, cost=f"screen {judge.cost}", of=judge.of) for name, judge in self.screen.items()]
        return Screening(looks=looks, jobs=self.screen_jobs)

    @property
    def downloads(self) -> dict[str, DownloadSettings]:
        """Download settings by config key: `download`, and `replay.download` if there is replay."""
        return {"download": self.download} | ({"replay.download": self.replay.download} if self.replay else {})

    @property
    def corpus_is_given(self) -> bool:
        """Whether the corpus was made elsewhere."""
        return "/" in self.corpus

    def recipe(self, site: SiteSettings) -> str:
        """The config as JSON, without `limits` and `runs`, which do not affect results, and without local paths.

        The site's folders are replaced by their placeholders; other absolute paths by their last component.
        """
        text = self.model_copy(update={"limits": Limits(), "runs": []}).to_json()
        for name, place in sorted(_placeholders(site).items(), key=lambda item: -len(item[1])):
            if Path(place).is_absolute():
                text = text.replace(f"{_escaped(place)}/", f"{name}/")
        mixed = [entry.corpus or entry.tars or "" for entry in self.mix]
        for place in sorted({*self.given_files().values(), *mixed, self.corpus}, key=len, reverse=True):
            if Path(place).is_absolute():
                text = text.replace(f'"{_escaped(place)}"', f'"{_escaped(Path(place).name)}"')
        return LOCAL_MODEL.sub(r'"local-dir:\1"', text)

    def intrinsic_benchmarks(self) -> list[str]:
        """Benchmarks whose features are analysed in addition to their scores."""
        if self.intrinsic.benchmarks is not None:
            return self.intrinsic.benchmarks
        return [name for name, one in self.benchmarks.items() if isinstance(one, Classification) and one.needs_ranks]

    def given_files(self) -> dict[str, str]:
        """Files, folders and globs that the user provides, by dotted key."""
        given = {
            f"generations.{number}.sources.{source.name}.{option}": path
            for number, generation in enumerate(self.generations)
            for source in generation.sources
            for option, path in (source.inputs | source.image_folders).items()
            if isinstance(path, str)
        }
        models = {"model.start": self.model, **{f"baselines.{name}": one for name, one in self.baselines.items()}}
        given |= {key: one.given_file for key, one in models.items() if one.given_file is not None}
        if self.taxonomy is not None:
            given |= {
                f"taxonomy.backbones.{backbone.name}.path": backbone.path
                for backbone in self.taxonomy.backbones
                if backbone.path is not None
            }
            if self.taxonomy.overrides is not None:
                given["taxonomy.overrides"] = self.taxonomy.overrides
        if self.replay is not None:
            given |= {f"replay.metadata.{number}": path for number, path in enumerate(self.replay.metadata)}
        for name, benchmark in self.benchmarks.items():
            given |= {
                f"benchmarks.{name}.{key}": path
                for key, path in benchmark.given.items()
                if f"{FETCHED_FOLDER}/" not in path
            }
        given |= {
            f"screen.{name}.{key}": path for name, judge in self.screen.items() for key, path in judge.given.items()
        }
        given |= {f"screen.{name}.labels": judge.labels for name, judge in self.screen.items() if judge.labels}
        given |= {f"curate.verdicts.{number}": path for number, path in enumerate(self.curate.verdicts)}
        given |= {f"validation.{name}": tars for name, tars in self.validation.items()}
        if self.world is not None and self.world.species is not None:
            given["world.species"] = self.world.species
        return given

    def missing_files(self, results: str) -> dict[str, str]:
        """Provided files, and other corpora in the mix, that do not exist, by dotted key.

        Args:
            results: the site's results folder.
        """
        layout = Layout(results)
        own = Path(layout.corpus(self.corpus).folder)
        mixed = {
            f"mix.{number}.corpus": layout.corpus(entry.corpus).folder
            for number, entry in enumerate(self.mix)
            if entry.corpus is not None
        }
        others = {key: folder for key, folder in mixed.items() if Path(folder) != own}
        globs = {f"validation.{name}" for name in self.validation}
        return {
            key: path
            for key, path in (self.given_files() | others).items()
            if not (matching(path) if key in globs else Path(path).exists())
            and not (self.world is not None and path.startswith(f"{results}/world/"))
        }


def load_site(path: Path = Path("config/site.yaml")) -> SiteSettings:
    """The site's settings; the defaults if the file does not exist.

    Raises:
        InputError: the file is not YAML, or has unknown keys or wrong values.
    """
    return _validate(SiteSettings, read_yaml(path) if path.exists() else {}, str(path))


def load_config(values: Mapping[str, Any], where: str, site: SiteSettings) -> Config:
    """Check a config and fill in its placeholders.

    In any string, `{results}` and `{data}` stand for the site's folders, `{world}` for the embedded world's, and in a
    benchmark `{fetched}` for the folder of its fetched files.

    Raises:
        InputError: unknown keys, missing keys or wrong values. The message describes the first and counts the others.
    """
    filled = _fill(values, _placeholders(site) | {"{world}": f"{site.results}/world/{values.get('corpus')}"})
    benchmarks = filled.get("benchmarks")
    for name, benchmark in benchmarks.items() if isinstance(benchmarks, Mapping) else []:
        if isinstance(benchmark, Mapping) and benchmark.get("fetch"):
            entries = _validate(_Fetches, {"fetch": benchmark["fetch"]}, f"{where}: benchmarks.{name}").fetch
            place = f"{site.results}/{FETCHED_FOLDER}/{name}-{fetch_identity(entries)}/files"
            filled["benchmarks"][name] = _fill(benchmark, {"{fetched}": place})
    return _validate(Config, filled, where)


def _escaped(text: str) -> str:
    """Text escaped for use within a JSON string."""
    return json.dumps(text, ensure_ascii=False)[1:-1]


def _placeholders(site: SiteSettings) -> dict[str, str]:
    return {"{results}": site.results, "{data}": site.data}


class _Fetches(ImageSet):
    """A benchmark's `fetch` alone, which determines the folder behind `{fetched}`."""


def _refuse_repeated_keys(node: yaml.Node | None) -> None:
    """Refuse mappings with a repeated key: PyYAML silently drops the first of two sections with the same name.

    Raises:
        yaml.constructor.ConstructorError: a key is repeated.
    """
    seen: set[int] = set()
    remaining = [node] if node else []
    while remaining:
        current = remaining.pop()
        if id(current) in seen:
            continue
        seen.add(id(current))
        if isinstance(current, yaml.SequenceNode):
            remaining += current.value
        if not isinstance(current, yaml.MappingNode):
            continue
        first: dict[str, yaml.Mark] = {}
        for key, value in current.value:
            remaining.append(value)
            # `<<` may be repeated: it merges another mapping each time.
            if key.tag == "tag:yaml.org,2002:merge" or not isinstance(key, yaml.ScalarNode):
                continue
            if key.value in first:
                problem = f"key {key.value!r} is already on line {first[key.value].line + 1}; merge the two"
                raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
            first[key.value] = key.start_mark


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML file that contains a mapping.

    Raises:
        InputError: the file is missing, not YAML or not a mapping, or a mapping in it repeats a key.
    """
    try:
        text = path.read_text(encoding="utf-8")
        _refuse_repeated_keys(yaml.compose(text, yaml.SafeLoader))
        value = yaml.safe_load(text)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from None
    except (yaml.YAMLError, ValueError) as error:
        # ValueError: bytes that are not UTF-8, or an impossible date or number.
        mark = getattr(error, "problem_mark", None)
        # A missing bracket, quote or colon is only detected on the next line.
        is_exact = isinstance(error, yaml.constructor.ConstructorError) or (mark and mark.line == 0)
        line = f" line {mark.line + 1}{'' if is_exact else ' or the one before'}:" if mark else ""
        problem = getattr(error, "problem", None) or first_line(error)
        raise InputError(f"{path}:{line} not valid YAML: {problem}") from None
    if value is not None and not isinstance(value, dict):
        raise InputError(f"{path}: expected a mapping of keys, found {type(value).__name__}")
    return value or {}


def sections(model: type[BaseModel] = Config, prefix: str = "") -> Iterator[tuple[str, type[Section]]]:
    """Every section below `model`, depth first, with its dotted path; includes those in lists and unions."""
    for name, field in model.model_fields.items():
        for section in _sections_in(field.annotation):
            path = f"{prefix}{name}"
            yield path, section
            yield from sections(section, f"{path}.")


def _sections_in(annotation: Any) -> Iterator[type[Section]]:
    if isinstance(annotation, type) and issubclass(annotation, Section):
        yield annotation
    for argument in getattr(annotation, "__args__", ()):
        yield from _sections_in(argument)


def _fill(value: Any, places: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        for name, place in places.items():
            value = value.replace(name, place)
        return value
    if isinstance(value, Mapping):
        return {key: _fill(entry, places) for key, entry in value.items()}
    if isinstance(value, list):
        return [_fill(entry, places) for entry in value]
    return value


def _validate(model: type[S], values: Mapping[str, Any], where: str) -> S:
    try:
        return model.model_validate(values)
    except ValidationError as error:
        found: dict[str, str] = {}
        for one in _misspelt_first(error.errors()):
            found.setdefault(".".join(_keys(one, values)), _describe(one, model, values))
        (first, message), *others = found.items()
        missing = [path for path, text in found.items() if text == f"{path}: {MISSING}"]
        if first in missing:
            message = f"{', '.join(missing)}: {MISSING}"
            others = [other for other in others if other[0] not in missing]
        more = f" (and {len(others)} more: {', '.join(path for path, _ in others[:SHOWN])})" if others else ""
        raise InputError(f"{where}: {message}{more}") from None


MISSING = "missing"
SHOWN = 5
"""Number of further keys that a message names."""


def _misspelt_first(problems: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The problems; a missing key is replaced by a similar unknown key of its section, probably the same misspelt."""
    found: list[Mapping[str, Any]] = []
    for problem in problems:
        misspelt = (
            other
            for other in problems
            if problem["type"] == "missing"
            and other["type"] == "extra_forbidden"
            and other["loc"][:-1] == problem["loc"][:-1]
            and did_you_mean(str(other["loc"][-1]), [str(problem["loc"][-1])])
        )
        found.append(next(misspelt, problem))
    return found


# Replacements for pydantic messages that speak of Python types.
PLAIN_MESSAGES = {
    "model_type": "must be a section of keys",
    "model_attributes_type": "must be a section of keys",
    "dict_type": "must be a section of keys",
    "list_type": "must be a list",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "finite_number": "must be a finite number",
    "int_type": "must be an integer",
    "int_parsing": "must be an integer",
    "int_from_float": "must be an integer",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "string_type": "must be text",
}
LONGEST_VALUE = 60
"""Longest value that a message quotes, characters."""


def _describe(problem: Mapping[str, Any], model: type[Section], values: Mapping[str, Any]) -> str:
    kind, path = problem["type"], ".".join(_keys(problem, values))
    if kind == "extra_forbidden":
        key = str(problem["loc"][-1])
        parents = [section for at, section in sections(model) if at.split(".")[-1] in map(str, problem["loc"][:-1])]
        known = {name for section in (parents or [model]) for name in section.model_fields}
        return f"{path}: unknown key{did_you_mean(key, sorted(known))}"
    if kind == "missing":
        return f"{path}: {MISSING}"
    context = problem.get("ctx", {})
    if kind == "union_tag_not_found":
        return f"{path}.{context['discriminator'].strip(QUOTE)}: missing"
    if kind == "union_tag_invalid":
        known = context["expected_tags"].replace(QUOTE, "")
        guess = did_you_mean(context["tag"], known.split(", "))
        return f"{path}.{context['discriminator'].strip(QUOTE)}: {context['tag']!r} is not one of {known}{guess}"
    if kind == "string_pattern_mismatch" and context["pattern"].startswith(NAME):
        rule = "use letters, digits, _, . and -, with a letter or digit first"
        return f"{path}: {problem['input']!r} is not a valid name; {rule}"
    message = PLAIN_MESSAGES.get(kind, problem["msg"].removeprefix("Value error, "))
    if kind in PLAIN_MESSAGES or message.startswith("Input should"):
        value = _written(problem["input"])
        choices = re.findall(f"{QUOTE}([^{QUOTE}]+){QUOTE}", message) if kind == "literal_error" else []
        guess = did_you_mean(str(problem["input"]), choices)
        message = f"{message.replace('Input should', 'must', 1)}{value and f', found {value}'}{guess}"
    return f"{path}: {message}" if path else message


def _written(value: Any) -> str:
    """A value as in a config, for messages; "" if it is long."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= LONGEST_VALUE else ""


def _keys(problem: Mapping[str, Any], values: Any) -> Iterator[str]:
    """The path of a problem as written in the config; pydantic's own path also names the members of unions."""
    for position, part in enumerate(problem["loc"], start=1):
        entries = dict(enumerate(values)) if isinstance(values, list) else values
        if isinstance(entries, Mapping) and part in entries:
            values = entries[part]
            yield str(part)
        elif problem["type"] == "missing" and position == len(problem["loc"]):
            yield str(part)
