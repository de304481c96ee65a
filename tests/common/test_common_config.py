"""Errors in a config are reported in one line with key and value."""

import copy
import json
import re
from collections.abc import Iterator
from fnmatch import fnmatch
from itertools import takewhile
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

import pytest
import yaml

from tests.messages import says
from workflow_scripts.common.config.download import HostLimits
from workflow_scripts.common.config.root import Config, load_config, load_site, read_yaml, sections
from workflow_scripts.common.config.site import SiteSettings
from workflow_scripts.common.errors import InputError
from workflow_scripts.common.layout import Layout
from workflow_scripts.common.scored_models import Models

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def values() -> dict[str, Any]:
    return copy.deepcopy(yaml.safe_load((ROOT / "config/config.yaml").read_text()))


def error_message(values: dict[str, Any]) -> str:
    with pytest.raises(InputError) as error:
        load_config(values, "my.yaml", SiteSettings())
    text = str(error.value)
    assert "\n" not in text
    return text


@pytest.mark.parametrize("name", ["config.yaml", "beetles.yaml", "gbif.yaml"])
def test_shipped_configs_are_valid(name: str) -> None:
    load_config(read_yaml(ROOT / "config" / name), name, SiteSettings())


def test_example_site_is_valid() -> None:
    load_site(ROOT / "config/site.example.yaml")


def test_a_duplicate_key_is_refused_with_both_lines(tmp_path: Path) -> None:
    path = tmp_path / "twice.yaml"
    path.write_text("run: a\ncurate: {clean_of: [insects]}\ntrain:\n  epochs: 1\ncurate: {val_share: 0.1}\n")
    with pytest.raises(InputError) as error:
        read_yaml(path)
    assert all(part in str(error.value) for part in (str(path), "line 5", "'curate'", "line 2"))
    path.write_text("a: &a {x: 1}\nb: &b {y: 2}\nc: {<<: *a, z: 3}\nd: {x: 1, e: {x: 2}}\n")
    assert read_yaml(path)["c"] == {"x": 1, "z": 3}


@pytest.mark.parametrize(
    "text", ["run: a\ncorpus: [b\ntrain: {}\n", "run: a\ncorpus b\ntrain: {}\n", "run: 'a\ntrain: 'b'\n"]
)
def test_what_a_line_lacks_is_seen_in_the_next_one(tmp_path: Path, text: str) -> None:
    (tmp_path / "open.yaml").write_text(text)
    with pytest.raises(InputError, match=r"open\.yaml: line \d or the one before: "):
        read_yaml(tmp_path / "open.yaml")


def test_a_misspelt_key_is_named_before_what_is_missing_for_it(values: dict[str, Any]) -> None:
    values["train"] = {("epoch" if key == "epochs" else key): value for key, value in values["train"].items()}
    assert {"train.epoch:", "epochs?"} <= set(error_message(values).split())
    assert "more" not in error_message(values), "it is one mistake"


def test_images_that_are_large_enough_to_download_are_large_enough_to_keep(values: dict[str, Any]) -> None:
    assert load_config(values, "my.yaml", SiteSettings()).curate.min_size == 224
    values["download"] = {**values["download"], "min_size": 64}
    assert load_config(values, "my.yaml", SiteSettings()).curate.min_size == 64
    values["curate"] = {"min_size": 100}
    assert load_config(values, "my.yaml", SiteSettings()).curate.min_size == 100


@pytest.mark.parametrize(
    ("made", "replay", "model", "key"),
    [
        (16, None, 64, "shards.image_size: 16"),
        (16, 64, 64, "replay.shards.image_size: 64"),
        (64, 16, 64, "replay.shards.image_size: 16"),
        (336, None, "ViT-B-16", "shards.image_size: 336"),
        (224, None, "ViT-L-14-336", "shards.image_size: 224"),
    ],
)
def test_images_of_another_size_than_the_model_takes_are_refused(
    values: dict[str, Any], made: int, replay: int | None, model: int | str, key: str
) -> None:
    values["shards"]["image_size"] = made
    if replay:
        values["replay"]["shards"]["image_size"] = replay
    if isinstance(model, str):
        values["model"]["architecture"] = model
    else:
        values["model"]["architecture"]["vision_cfg"]["image_size"] = model
    assert key in error_message(values)


@pytest.mark.parametrize("model", ["ViT-L-14-336", 336])
def test_replay_images_have_the_size_of_the_corpus_s(values: dict[str, Any], model: int | str) -> None:
    values["shards"]["image_size"] = 336
    if isinstance(model, str):
        values["model"]["architecture"] = model
    else:
        values["model"]["architecture"]["vision_cfg"]["image_size"] = model
    config = load_config(values, "my.yaml", SiteSettings())
    assert config.replay and config.replay.shards.image_size == 336
    assert config.replay.shards.samples_per_shard == 500
    del values["replay"]["shards"]
    config = load_config(values, "my.yaml", SiteSettings())
    assert config.replay and config.replay.shards.image_size == 336


def test_validation_has_its_own_text_type(values: dict[str, Any]) -> None:
    values["train"] |= {"text_types": ["taxon_com", "sci"]}
    assert load_config(values, "my.yaml", SiteSettings()).train.validation_text_type == "taxon_com"
    values["train"] |= {"templates": {"field": "a {sci}"}, "validation_text_type": "field"}
    assert load_config(values, "my.yaml", SiteSettings()).train.validation_text_type == "field"
    values["train"]["validation_text_type"] = "fields"
    assert "train: validation_text_type: 'fields'" in error_message(values)


# Numbers without an upper bound, by reason: whether a value is too large depends on the data or the machine.
ANY_NUMBER = {
    "as many as there is data for": {
        "world.*", "download.images_per_tar", "curate.camera_trap_max", "curate.placeholder_taxa", "curate.taxa.*",
        "*shards.samples_per_shard", "replay.max_shards", "train.epochs", "train.global_batch", "train.replay_batch",
        "train.warmup_steps", "train.val_batches", "train.max_skipped", "train.shuffle_window", "benchmarks.*",
    },
    "images and bodies of any size exist": {
        "download.m*_size", "download.max_*", "download.hosts.max_*", "curate.min_size", "replay.min_size",
        "replay.download.*",
    },
    "a ratio, or one of the model's own quantities": {"mix.weight", "train.clip_norm", "train.tune_blocks"},
    "what a machine, a host or a person's time allows": {"limits.*", "memory_mb", "slurm.*"},
}  # fmt: skip


def numbers(kind: Any, metadata: tuple[Any, ...] = ()) -> Iterator[list[Any]]:
    """Constraints of every number in a type."""
    if kind in (int, float):
        yield [one for entry in metadata for one in getattr(entry, "metadata", [entry])]
    elif get_origin(kind) is Annotated:
        inner, *more = get_args(kind)
        yield from numbers(inner, (*metadata, *more))
    elif get_origin(kind) is not Literal:
        for argument in get_args(kind):
            yield from numbers(argument, metadata)


def bounded(constraints: list[Any], *bounds: str) -> bool:
    return any(getattr(one, bound, None) is not None for one in constraints for bound in bounds)


def test_every_number_is_bounded_or_has_a_reason_to_have_no_upper_bound() -> None:
    open_ended = {pattern for patterns in ANY_NUMBER.values() for pattern in patterns}
    used = set()
    for root in (Config, SiteSettings):
        for path, section in [("", root), *sections(root)]:
            for name, field in section.model_fields.items():
                key = ".".join(filter(None, [path.replace("pretrain", "train"), name]))
                for constraints in numbers(field.annotation, tuple(field.metadata)):
                    assert bounded(constraints, "ge", "gt"), f"{key}: give it a lower bound"
                    matching = {pattern for pattern in open_ended if fnmatch(key, pattern)}
                    assert matching or bounded(constraints, "le", "lt"), f"{key}: give it an upper bound, or a reason"
                    used |= matching
    assert used == open_ended


@pytest.mark.parametrize(
    ("section", "change", "key"),
    [
        ("replay", {"max_punsafe": 50}, "replay.max_punsafe"),
        ("replay", {"min_similarity": -2}, "replay.min_similarity"),
        ("train", {"betas": [0.9, 1.5]}, "train.betas.1"),
        ("train", {"augment_scale": [0.9, 10]}, "train.augment_scale.1"),
        ("train", {"lr": float("nan")}, "train.lr"),
        ("train", {"epochs": float("inf")}, "train.epochs"),
        ("download", {"min_size": 800}, "download: min_size: 800"),
        ("model", {"architecture": "ViT-B-61"}, "ViT-B-61"),
        ("model", {"mean": [120, 115, 100], "std": [60, 60, 60]}, "model.mean.0"),
        ("shards", {"seed": -1}, "shards.seed"),
    ],
)
def test_values_that_cannot_be_are_refused(
    values: dict[str, Any], section: str, change: dict[str, Any], key: str
) -> None:
    values[section] = values.get(section, {}) | change
    assert key in error_message(values)


def reversed_keys(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: reversed_keys(value[key]) for key in reversed(value)}
    return [reversed_keys(one) for one in value] if isinstance(value, list) else value


@pytest.mark.parametrize("name", ["config.yaml", "bioclip2.yaml", "gbif.yaml", "beetles.yaml"])
def test_the_order_of_keys_does_not_matter(name: str) -> None:
    """Inputs of steps and the plan depend on these texts and on the order of these names."""
    values = read_yaml(ROOT / "config" / name)
    site = SiteSettings()
    config, other = (load_config(one, name, site) for one in (values, reversed_keys(values)))
    assert config.to_json() == other.to_json()
    assert config.recipe(site) == other.recipe(site)
    for section in ("benchmarks", "baselines", "screen", "validation"):
        assert list(getattr(config, section)) == list(getattr(other, section))
    models = Models(config, Layout("results"))
    assert list(models.folders) == list(Models(other, Layout("results")).folders)
    # The starting weights come first, because the run is compared with them.
    assert "start" not in models.folders or next(iter(models.folders)) == "start"


RECIPES = sorted(path.name for path in (ROOT / "config").glob("*.yaml") if "generations:" in path.read_text())


@pytest.mark.parametrize("name", RECIPES)
def test_recipes_respect_the_published_limits_of_hosts(name: str) -> None:
    """iNaturalist permits one request per second; only its bucket is for bulk download."""
    limits = load_config(read_yaml(ROOT / "config" / name), name, SiteSettings()).limits.download
    assert limits.of_host("static.inaturalist.org").rate <= 1
    assert limits.of_host("static.inaturalist.org:443").connections == 1
    assert (limits.of_host("static.inaturalist.org").gb_per_hour or 9) <= 5
    assert (limits.of_host("static.inaturalist.org").gb_per_day or 99) <= 24
    if limits.of_host("a.museum.example").rate <= HostLimits().rate:
        raised = {host for host, policy in limits.hosts.items() if policy.rate > HostLimits().rate}
        assert raised <= {"inaturalist-open-data.s3.amazonaws.com"}


@pytest.mark.parametrize("name", RECIPES)
def test_each_host_that_a_recipe_limits_has_its_source_beside_it(name: str) -> None:
    lines = (ROOT / "config" / name).read_text().splitlines()
    hosts = read_yaml(ROOT / "config" / name).get("limits", {}).get("download", {}).get("hosts", {})
    for host in hosts:
        (place,) = [number for number, line in enumerate(lines) if line.strip().startswith(f"{host}:")]
        comment = list(takewhile(lambda line: line.strip().startswith("#"), reversed(lines[:place])))
        assert any("https://" in line for line in comment), f"{name}: {host}: say who published its limit"


def test_the_config_may_name_another_limit_for_a_host_with_a_published_one(values: dict[str, Any]) -> None:
    values["limits"]["download"]["hosts"] = {"static.inaturalist.org": {"rate": 0.5, "connections": 1}}
    config = load_config(values, "my.yaml", SiteSettings())
    policy = config.limits.download.of_host("static.inaturalist.org")
    assert (policy.rate, policy.gb_per_hour, policy.gb_per_day) == (0.5, 5, 24), "what it does not speak of holds"


def test_settings_and_limits_of_a_host_apply_to_its_name_in_any_case(values: dict[str, Any]) -> None:
    values["download"]["hosts"] = {"Photos.Museum.example": {"max_bytes": 7}}
    values["limits"]["download"]["hosts"] = {"Photos.Museum.example:8080": {"connections": 3}}
    config = load_config(values, "my.yaml", SiteSettings())
    assert config.download.of_host("photos.museum.example").max_bytes == 7
    assert config.limits.download.of_host("photos.museum.example:8080").connections == 3


def test_placeholders_follow_the_site(values: dict[str, Any]) -> None:
    config = load_config(values, "my.yaml", SiteSettings(results="/scratch/me"))
    assert config.generations[0].sources[0].inputs["catalog"] == "/scratch/me/world/world/catalog.parquet"


@pytest.mark.parametrize("name", ["config.yaml", "bioclip2.yaml", "bioclip25.yaml", "beetles.yaml"])
def test_a_recipe_gives_the_same_config_in_any_folder(name: str) -> None:
    values = read_yaml(ROOT / "config" / name)
    here, there = SiteSettings(results="/scratch/me", data="/scratch/me/d\u00e9p\u00f4t"), SiteSettings()
    recipe = load_config(values, name, here).recipe(here)
    assert "/scratch" not in recipe
    again = load_config(json.loads(recipe), "recipe", there)
    assert again.recipe(there) == load_config(values, name, there).recipe(there)


@pytest.mark.parametrize(
    ("section", "key", "expected"),
    [
        ("train", "epoch", "my.yaml: train.epoch: unknown key; did you mean epochs?"),
        ("curate", "val_shar", "my.yaml: curate.val_shar: unknown key; did you mean val_share?"),
    ],
)
def test_misspelt_key_is_named_with_its_neighbour(
    values: dict[str, Any], section: str, key: str, expected: str
) -> None:
    values.setdefault(section, {})[key] = 1
    assert error_message(values) == expected


def test_misspelt_top_level_key(values: dict[str, Any]) -> None:
    values["benchmark"] = {}
    assert error_message(values) == "my.yaml: benchmark: unknown key; did you mean benchmarks?"


def test_missing_key_is_named(values: dict[str, Any]) -> None:
    del values["train"]["epochs"]
    assert error_message(values) == "my.yaml: train.epochs: missing"


def test_all_missing_keys_are_named() -> None:
    said = error_message({"run": "mine"})
    assert says(said, "corpus, model, train: missing") and "more" not in said


@pytest.mark.parametrize(
    ("section", "key", "value", "parts"),
    [
        ("train", "epochs", "many", ("train.epochs: ", "number", '"many"')),
        ("train", "global_batch", 2.5, ("train.global_batch: ", "integer", "2.5")),
        ("train", "allow_cpu", "maybe", ("train.allow_cpu: ", "true or false", '"maybe"')),
        ("train", "precision", "fp31", ("train.precision: ", '"fp31"', "did you mean fp32?")),
        ("curate", "clean_of", ["insekts"], ("curate.clean_of: ", "'insekts'", "did you mean insects?")),
        ("curate", "val_share", -1, ("curate.val_share: ", "0", "found -1")),
        ("max_loss", "sources", {"musem": 0.3}, ("max_loss.sources.musem: ", "did you mean museum?")),
        ("shards", "seed", {"a": "b" * 100}, ("shards.seed: ", "integer")),
    ],
)
def test_a_wrong_value_is_named_with_what_is_expected(
    values: dict[str, Any], section: str, key: str, value: Any, parts: tuple[str, ...]
) -> None:
    values.setdefault(section, {})[key] = value
    said = error_message(values)
    assert says(said, *parts) and "nput" not in said and "b" * 100 not in said


def test_a_misspelt_reader_is_named_with_its_neighbour(values: dict[str, Any]) -> None:
    values["generations"] = [{"sources": [{"name": "mine", "reader": "folder", "images": "photos"}]}]
    assert says(error_message(values), "generations.0.sources.0.reader: ", "'folder'", "did you mean folders?")


@pytest.mark.parametrize("reader", ["folders", "table"])
def test_a_missing_folder_of_photos_is_named_by_every_key_that_names_it(
    reader: str, values: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "mine.csv").touch()
    source = {"name": "mine", "reader": reader, "images": f"{tmp_path}/fotos"}
    source |= {"table": f"{tmp_path}/mine.csv"} if reader == "table" else {}
    values["generations"] = [{"sources": [source]}]
    labels = {"labels": f"{tmp_path}/mine.csv", "images": f"{tmp_path}/fotos"}
    values["benchmarks"] |= {"test": {"layout": "csv"} | labels}
    missing = load_config(values, "my.yaml", SiteSettings()).missing_files("results")
    assert {key for key, path in missing.items() if path == f"{tmp_path}/fotos"} == {
        "generations.0.sources.mine.images",
        "benchmarks.test.images",
    }


def test_wrong_value_is_named_and_others_are_counted(values: dict[str, Any]) -> None:
    values["train"]["lr"] = "fast"
    values["train"]["epochs"] = -1
    assert error_message(values).startswith("my.yaml: train.epochs: ")
    assert says(error_message(values), "must be", "-1", "1 more", "train.lr")


@pytest.mark.parametrize(
    ("section", "key", "value", "expected"),
    [
        (None, "benchmarks", "rare_species", "benchmarks: must be a section of keys"),
        (None, "train", 5, "train: must be a section of keys"),
        (None, "runs", "demo", "runs: must be a list"),
        (None, "run", "my run", "run: 'my run'"),
        ("benchmarks", "mine", {"labels": "a.csv"}, "benchmarks.mine.layout: missing"),
        ("benchmarks", "mine", {"layout": "csv", "labels": "a.csv"}, "benchmarks.mine.images: missing"),
        ("train", "betas", [0.9], "train.betas.1: missing"),
    ],
)
def test_errors_name_keys_as_they_are_written(
    values: dict[str, Any], section: str | None, key: str, value: Any, expected: str
) -> None:
    (values[section] if section else values)[key] = value
    assert error_message(values).startswith(f"my.yaml: {expected}")


def test_an_unknown_alternative_is_named_with_those_that_there_are(values: dict[str, Any]) -> None:
    values["benchmarks"]["mine"] = {"layout": "cvs"}
    assert error_message(values).startswith("my.yaml: benchmarks.mine.layout: 'cvs'")
    assert "csv, folders, subsets, " in error_message(values)


def test_command_line_strings_are_read_as_numbers(values: dict[str, Any]) -> None:
    values["train"]["lr"] = "5.0e-4"
    assert load_config(values, "my.yaml", SiteSettings()).train.lr == 5e-4


def test_pretraining_needs_its_sections(values: dict[str, Any]) -> None:
    del values["pretrain"]
    assert "model.start: pretrain needs" in error_message(values)


def test_a_run_may_not_take_a_baselines_name(values: dict[str, Any]) -> None:
    values["run"] = "start"
    assert "also the name of a baseline" in error_message(values)


CLIP = {"judge": "clip", "model": "ViT-B-32-quickgelu:openai", "prompts": {"a plant": ["a plant"], "a page": ["text"]}}
TRAPS = {"judge": "animals", "weights": "detector.onnx"}


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"of": "imgtype = 'x'"}, ("screen.mine.of", "imgtype", "img_type")),
        ({"of": " "}, ("screen.mine.of", "empty")),
        ({"of": "true; DROP TABLE x"}, ("screen.mine.of",)),
        ({"of": "uuid IN (FROM read_text('/etc/passwd'))"}, ("screen.mine.of",)),
        ({"refuse": {"a pge": 0.1}}, ("screen.mine.refuse", "'a pge'", "did you mean a page")),
        ({"judge": "clipp"}, ("screen.mine.judge", "clipp")),
        ({"prompts": None}, ("screen.mine", "classes or prompts")),
        ({"prompts": {"a page": ["text"]}}, ("screen.mine.prompts", "two classes")),
        ({"prompts": {"a page": ["text"], "unjudged": ["?"]}}, ("screen.mine.prompts", "'unjudged'")),
        ({"prompts": {"a page": ["text"], "plant/1": ["leaf"]}}, ("screen.mine.prompts", "'plant/1'")),
        ({"prompts": {"a page": ["text"], "plant": [" "]}}, ("screen.mine.prompts", "plant")),
        ({"refuse": {"a page": 1.5}}, ("screen.mine.refuse.a page",)),
        (TRAPS | {"refuse": {"empty": -0.2}}, ("screen.mine.refuse.empty",)),
        # Otherwise every frame would count as empty.
        (TRAPS | {"classes": ["bird", "person"]}, ("screen.mine", "empty", "animal", "classes")),
        (TRAPS | {"weights": "MDV6-apa-rtdetr-e.pth"}, ("screen.mine.weights", "ONNX", "docs/screening.md")),
    ],
)
def test_a_judge_that_cannot_work_is_refused_before_anything_runs(
    values: dict[str, Any], changed: dict[str, Any], expected: tuple[str, ...]
) -> None:
    values["screen"] = {"mine": CLIP | {"of": "img_type LIKE 'Museum%'", "refuse": {"a page": 0.2}}}
    assert load_config(values, "my.yaml", SiteSettings()).refusals.rules[0].at_least == 0.2
    values["screen"]["mine"] = changed if changed.get("judge") == "animals" else values["screen"]["mine"] | changed
    assert all(part in error_message(values) for part in expected)


@pytest.mark.parametrize("text", ["a: [1", "- 1\n- 2\n", "a: b: c"])
def test_broken_yaml_is_one_line(tmp_path: Path, text: str) -> None:
    file = tmp_path / "broken.yaml"
    file.write_text(text)
    with pytest.raises(InputError, match=r"broken\.yaml") as error:
        read_yaml(file)
    assert "\n" not in str(error.value)


def test_sections_survive_the_command_line(values: dict[str, Any]) -> None:
    config = load_config(values, "my.yaml", SiteSettings())
    for section in (config.train, config.model, config.generations[0], config.taxonomy, config.limits):
        assert type(section).model_validate_json(section.to_json()) == section
    assert Config.model_validate_json(config.to_json()) == config


NO_REPLAY: dict[str, Any] = {
    "replay": None,
    "pretrain": None,
    "model": {"start": None},
    "benchmarks": {"replay": None},
    "ablations": None,
}
TABLE = {"name": "mine", "reader": "table", "table": "mine.csv"}
STAGES: dict[str, Any] = {
    "train": {"templates": {"staged": "a {lifeStage} of {sci}"}},
    "generations": [{"sources": [TABLE]}],
}
CARVED: dict[str, Any] = {"carved": {"layout": "carved", "species": 3, "images": 8}}
REFUSED: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "model.start": ({"pretrain": None}, {"pretrain": None, "model": {"start": None}}),
    "train.replay_batch": (NO_REPLAY, NO_REPLAY | {"train": {"replay_batch": 0}}),
    "curate.hold_out_species_of": (
        {"benchmarks": CARVED},
        {"benchmarks": CARVED, "curate": {"hold_out_species_of": ["carved"]}},
    ),
    "intrinsic.benchmarks": ({"intrinsic": {"benchmarks": ["replay"]}}, {"intrinsic": {"benchmarks": []}}),
    "shards.image_size": ({"shards": {"image_size": 72}}, {"shards": {"image_size": 64}}),
    "replay.shards.image_size": ({"replay": {"shards": {"image_size": 72}}}, {}),
    "download.allow_hosts": (
        {"limits": {"download": {"allow_hosts": ["10.0.0.0/8"]}}},
        {"download": {"allow_hosts": ["10.0.0.0/8"]}, "replay": {"download": {"allow_hosts": ["10.0.0.0/8"]}}},
    ),
    "max_loss.sources": (
        {"max_loss": {"sources": {"musem": 0.3}}},
        {"max_loss": {"sources": {"museum": 0.3, "replay": 1}}},
    ),
    "train.templates": (STAGES, STAGES | {"generations": [{"sources": [TABLE | {"keep": ["lifeStage"]}]}]}),
}
"""By the key that an error names: a change that is refused, and the remedy that is accepted."""


@pytest.mark.parametrize("key", REFUSED)
def test_remedies_in_config_errors_are_accepted(key: str) -> None:
    def changed(values: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
        """Merge sections as Snakemake does; None removes a key."""
        merged = {
            name: changed(values[name], new) if isinstance(new, dict) and name in values else new
            for name, new in changes.items()
        }
        return {name: value for name, value in (values | merged).items() if value is not None}

    def load(changes: dict[str, Any]) -> Config:
        return load_config(changed(read_yaml(ROOT / "config/config.yaml"), changes), "config", SiteSettings())

    refused, asked_for = REFUSED[key]
    with pytest.raises(InputError, match=re.escape(key)):
        load(refused)
    load(asked_for)


def test_a_recipe_that_is_published_names_no_folder_of_a_machine(values: dict[str, Any]) -> None:
    values["curate"] = values.get("curate", {}) | {"verdicts": ['/home/somebody/an "odd" name.parquet']}
    given = {"architecture": "ViT-B-32", "start": "/home/somebody/weights.pt", "mean": [0, 0, 0], "std": [1, 1, 1]}
    values["baselines"] = {"theirs": given}
    config = load_config(values, "my.yaml", SiteSettings())
    found = json.loads(config.recipe(SiteSettings()))
    assert found["curate"]["verdicts"] == ['an "odd" name.parquet']
    assert found["baselines"]["theirs"]["start"] == "weights.pt"
    assert "/home/somebody" not in json.dumps(found)
    values["baselines"]["theirs"] = {"start": "local-dir:/home/somebody/model"}
    values["curate"]["verdicts"] = ["/home"]
    found = json.loads(load_config(values, "my.yaml", SiteSettings()).recipe(SiteSettings()))
    assert (found["curate"]["verdicts"], found["baselines"]["theirs"]["start"]) == (["home"], "local-dir:model")


def test_the_site_to_copy_is_named_from_the_folder_that_a_person_works_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder, example in (
        (ROOT, "copy config/site.example.yaml"),
        (tmp_path, f"copy {ROOT}/config/site.example.yaml"),
    ):
        monkeypatch.chdir(folder)
        with pytest.raises(InputError) as error:
            _ = SiteSettings().cluster
        assert example in str(error.value)
