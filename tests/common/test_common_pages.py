"""Commands, files, config keys, messages and figures in README and docs exist and are up to date."""

import ast
import importlib.util
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from snakemake.cli import get_argument_parser

from workflow_scripts.common.config.project import Project, about, citation_head, read_project
from workflow_scripts.common.config.reference import options_of
from workflow_scripts.common.config.root import Config, load_config, read_yaml
from workflow_scripts.common.config.schema import editor_schema
from workflow_scripts.common.config.site import SiteSettings
from workflow_scripts.common.init import with_sections
from workflow_scripts.report.scale import scale

ROOT = Path(__file__).resolve().parents[2]
GENERATED = {"config/README.md", "docs/reference/commands.md", "docs/reference/contracts.md", "docs/faults.md"}
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")])
WRITTEN = [path for path in PAGES if str(path.relative_to(ROOT)) not in GENERATED]
FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.M | re.S)
SPAN = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
# Names of files that readers create themselves.
THEIRS = re.compile(r"[A-Z]{2,}|<|\*|…|config/(mine|site)\.yaml|NNN")
FOLDERS = ("config", "docs", "envs", "profiles", "rules", "tests", "workflow_scripts")


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


@cache
def commands(path: Path) -> list[list[str]]:
    """The command lines of a page, in code blocks and in running text, split into words."""
    text = path.read_text()
    lines = [line for language, block in FENCED.findall(text) if language != "yaml" for line in block.splitlines()]
    lines += SPAN.findall(re.sub(r"^#.*$", "", FENCED.sub("", text), flags=re.M))
    starts = ("snakemake ", "./run ", "make ", "python -m ")
    found = [line.removeprefix(".venv/bin/") for line in lines]
    return [shlex.split(line, comments=True) for line in found if line.startswith(starts)]


def snippets() -> list[Any]:
    return [
        pytest.param(block, id=f"{name_of(path)}-{number}")
        for path in WRITTEN
        for number, (language, block) in enumerate(FENCED.findall(path.read_text()))
        if language == "yaml"
    ]


def without_required(schema: Any) -> Any:
    """The schema for a snippet: only the keys that select an alternative (reader, layout, judge) stay required."""
    if isinstance(schema, dict):
        told_apart = [key for key in schema.get("required", []) if key in ("reader", "layout", "judge")]
        rest = {key: without_required(value) for key, value in schema.items() if key != "required"}
        return rest | ({"required": told_apart} if isinstance(schema.get("required"), list) else {})
    return [without_required(one) for one in schema] if isinstance(schema, list) else schema


@cache
def validator(model: type[Config] | type[SiteSettings], *, complete: bool) -> jsonschema.Draft202012Validator:
    schema = json.loads(editor_schema(model))
    return jsonschema.Draft202012Validator(schema if complete else without_required(schema))


@pytest.mark.parametrize("block", snippets())
def test_each_config_snippet_is_valid(block: str) -> None:
    values = yaml.safe_load(block)
    is_of_site = not set(values) - set(SiteSettings.model_fields)
    validator(SiteSettings if is_of_site else Config, complete=False).validate(values)


@pytest.mark.parametrize("recipe", ["photos", "finetune"])
def test_a_recipe_with_the_sections_of_own_source_is_a_complete_config(recipe: str) -> None:
    page = (ROOT / "docs/own-source.md").read_text()
    sections = next(yaml.safe_load(block) for _, block in FENCED.findall(page) if block.startswith("run: "))
    text = (ROOT / f"config/{recipe}.yaml").read_text()
    config = load_config(yaml.safe_load(with_sections(text, sections, "")), recipe, SiteSettings())
    given = [path for path in config.given_files().values() if not path.startswith("data/models/bioclip-2/")]
    assert config.corpus == sections["corpus"]
    assert given and all(path.startswith("data/beetles/") for path in given), given


def test_a_snippet_with_a_wrong_key_or_value_is_refused() -> None:
    for wrong in ({"train": {"epoch": 3}}, {"train": {"epochs": "many"}}, {"screen": {"a": {"judge": "none"}}}):
        with pytest.raises(jsonschema.ValidationError):
            validator(Config, complete=False).validate(wrong)


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_links_of_a_page_lead_to_existing_files_and_headings(path: Path) -> None:
    for target in LINK.findall(FENCED.sub("", path.read_text())):
        if "://" in target:
            continue
        file, _, anchor = target.partition("#")
        linked = (path.parent / file).resolve() if file else path
        assert linked.exists(), target
        if anchor:
            heads = re.findall(r"^#+ (.*)$", linked.read_text(), re.M)
            assert anchor in [re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in heads], target


@pytest.mark.parametrize("path", WRITTEN, ids=name_of)
def test_files_that_a_page_names_exist(path: Path) -> None:
    words = [word.strip(".,;:()'\"") for span in SPAN.findall(path.read_text()) for word in span.split()]
    named = {word for word in words if word.split("/")[0] in FOLDERS and "/" in word and not THEIRS.search(word)}
    assert {word for word in named if not (ROOT / word.split("::")[0]).exists()} == set()


def test_make_targets_that_pages_name_exist() -> None:
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.M))
    calls = [words[1:] for path in WRITTEN for words in commands(path) if words[0] == "make"]
    named = {words[2] if words[0] == "-C" else words[0] for words in calls}
    assert len(named) > 10
    assert named <= targets


def test_commands_that_pages_name_have_the_given_options() -> None:
    calls = [words for path in WRITTEN for words in commands(path) if words[:2] == ["python", "-m"]]
    assert len(calls) > 20
    for _, _, module, *words in calls:
        if not module.startswith("workflow_scripts.") or THEIRS.search(module):
            continue
        assert importlib.util.find_spec(module) is not None, module
        given = {word.partition("=")[0] for word in words if word.startswith("--")} - {"--help", "--log"}
        assert given <= set(options_of(module.removeprefix("workflow_scripts."))), (module, given)


def test_the_reference_has_json_under_the_name_that_commands_accept() -> None:
    assert ["--json" in options_of(module) for module in ("report.compare", "evaluate.embed_images")] == [True, True]
    assert not re.search(r"--(?:json-lines|as-json)", (ROOT / "docs/reference/commands.md").read_text())


def snakemake_calls() -> list[Any]:
    """The Snakemake command lines of all pages, parsed by Snakemake, which exits at an unknown option."""
    parser = get_argument_parser()
    lines = [words for path in WRITTEN for words in commands(path) if words[0] in ("snakemake", "./run")]
    return [parser.parse_args([word for word in words[1:] if word != "..."]) for words in lines]


def test_snakemake_plans_the_targets_that_pages_name() -> None:
    calls = snakemake_calls()
    assert len(calls) > 30
    targets = {target for call in calls for target in call.targets if not THEIRS.search(target)}
    mine = {target for target in targets if target.startswith("eval_")} - {"eval_rare_species"}
    targets -= mine
    assert {"all", "fetch", "data", "estimate", "verify"} <= targets
    snakemake = str(Path(sys.executable).with_name("snakemake"))
    done = subprocess.run(
        [snakemake, "-n", *sorted(targets), "-c2", "--quiet", "all", "--nolock"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def test_configs_that_pages_give_to_snakemake_exist() -> None:
    files = {str(file) for call in snakemake_calls() for file in call.configfile or []}
    assert {file for file in files if not THEIRS.search(file) and not (ROOT / file).exists()} == set()


SCALE = re.compile(
    r"^python -m workflow_scripts\.report\.scale (--.*)\n```\n((?:[^|\n].*|)\n)*?(\|(?:.*\n\|)*.*)$", re.M
)


def tables_of_scale() -> list[Any]:
    return [
        pytest.param(options, table, id=f"{path.stem}-{number}")
        for path in WRITTEN
        for number, (options, _, table) in enumerate(SCALE.findall(path.read_text()))
    ]


@pytest.mark.parametrize(("options", "table"), tables_of_scale())
def test_cost_tables_match_the_output_of_their_command(
    options: str, table: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = options.split()
    scale(**{key.removeprefix("--"): int(value) for key, value in zip(words[::2], words[1::2], strict=True)})
    assert capsys.readouterr().out.strip() == table


def texts(file: Path) -> Iterator[str]:
    """The string literals of a module, with `…` for each placeholder."""

    def written(node: ast.expr) -> str:
        if isinstance(node, ast.JoinedStr):
            return "".join(map(written, node.values))
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
            return written(node.left) + written(node.right)
        return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else "…"

    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.JoinedStr | ast.Constant | ast.BinOp):
            yield written(node)


@cache
def all_texts() -> str:
    files = [*(ROOT / "workflow_scripts").rglob("*.py")]
    return "\n".join(text for file in files for text in texts(file))


@pytest.mark.parametrize("message", re.findall(r"^### `(.*)`$", (ROOT / "docs/troubleshooting.md").read_text(), re.M))
def test_messages_in_troubleshooting_exist_in_the_code(message: str) -> None:
    for piece in filter(None, (piece.strip("? ") for piece in message.split("…"))):
        assert piece in all_texts(), piece


def test_diagrams_are_up_to_date() -> None:
    spec = importlib.util.spec_from_file_location("draw", ROOT / "docs/pictures/draw.py")
    assert spec and spec.loader
    draw = importlib.util.module_from_spec(spec)
    sys.modules["draw"] = draw
    spec.loader.exec_module(draw)
    for name, picture in draw.PICTURES.items():
        assert (ROOT / f"docs/pictures/{name}.svg").read_text() == picture().svg(), "run docs/pictures/draw.py"


@pytest.mark.parametrize("path", sorted((ROOT / "config").glob("*.yaml")), ids=name_of)
def test_configs_are_valid_and_name_their_schema_for_editors(path: Path) -> None:
    first = path.read_text().partition("\n")[0]
    schema = first.removeprefix("# yaml-language-server: $schema=")
    is_of_site = path.name.startswith("site.")
    assert schema == ("site.schema.json" if is_of_site else "schema.json")
    validator(SiteSettings if is_of_site else Config, complete=True).validate(read_yaml(path))


@pytest.mark.parametrize(("model", "name"), [(Config, "schema.json"), (SiteSettings, "site.schema.json")])
def test_the_schemas_are_valid_and_up_to_date(model: type[Config] | type[SiteSettings], name: str) -> None:
    schema = json.loads((ROOT / "config" / name).read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema == validator(model, complete=True).schema, "run `make docs`"


def test_every_page_is_on_the_site_once() -> None:
    nav = yaml.safe_load(re.sub(r"^theme:.*?^(?=extra:)", "", (ROOT / "mkdocs.yml").read_text(), flags=re.M | re.S))[
        "nav"
    ]
    listed = re.findall(r"[\w/-]+\.md", json.dumps(nav))
    outside = {"index.md", "contributing.md", "changelog.md", "reference/config.md"}
    assert sorted(listed) == sorted(
        {str(path.relative_to(ROOT / "docs")) for path in (ROOT / "docs").rglob("*.md")} | outside
    )


def test_public_ci_runs_the_script_of_the_projects_own_ci() -> None:
    jobs = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())["jobs"]
    steps = [step for job in jobs.values() for step in job["steps"]]
    assert {"bash .ci/run", "make site"} <= {step["run"] for step in steps if "run" in step}
    made = re.search(r"^site_dir: (.*)$", (ROOT / "mkdocs.yml").read_text(), re.M)
    assert made and [step["with"]["path"] for step in steps if "upload-artifact" in step.get("uses", "")] == [made[1]]
    makefile = (ROOT / "Makefile").read_text()
    for job in jobs.values():
        image = re.search(r"python:(3\.\d+)", str(job["container"]))
        assert image and f"python{image[1]}" in makefile
        assert all(name in makefile for name in job.get("env", {}))
    for form in (ROOT / ".github/ISSUE_TEMPLATE").glob("*.yml"):
        assert yaml.safe_load(form.read_text())


def test_missing_project_metadata_stays_empty(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(
        '[project]\nversion = "1.2.3"\ndescription = "d"\nlicense = "MIT"\nauthors = []\n[project.urls]\n'
    )
    empty = read_project(tmp_path)
    assert about(empty) == "Version 1.2.3"
    assert not {"doi", "url", "repository-code"} & set(yaml.safe_load(citation_head(empty)))
    (tmp_path / "pyproject.toml").write_text(
        '[project]\nversion = "1.2.3"\ndescription = "d"\nlicense = "MIT"\nauthors = [{name = "A. Person"}]\n'
        '[project.urls]\nRepository = "https://example.org/r/"\nDOI = "https://doi.org/10.1/x"\n'
    )
    filled = read_project(tmp_path)
    assert filled == Project("1.2.3", "d", "MIT", ("A. Person",), "https://example.org/r", "", "10.1/x")
    cited = yaml.safe_load(citation_head(filled))
    assert cited["authors"] == [{"name": "A. Person"}]
    assert (cited["doi"], cited["repository-code"]) == ("10.1/x", "https://example.org/r")
    assert "(https://example.org/r)" in about(filled)
