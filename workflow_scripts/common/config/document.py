"""Write the documents that follow from the code: the config's keys and schemas, benchmarks, commands, contracts."""

from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from workflow_scripts.common.cli import run
from workflow_scripts.common.config.base import Section
from workflow_scripts.common.config.benchmark_sources import benchmark_table
from workflow_scripts.common.config.project import about, citation_head, read_project
from workflow_scripts.common.config.reference import commands_page, contracts_page
from workflow_scripts.common.config.root import Config, read_yaml, sections
from workflow_scripts.common.config.schema import editor_schema
from workflow_scripts.common.config.site import SiteSettings
from workflow_scripts.common.errors import InputError
from workflow_scripts.common.files import write_text
from workflow_scripts.common.table_columns import TABLE_COLUMNS

HEAD = """# Config

Written by `make docs` from the config model (`workflow_scripts/common/config/`); `make test` fails when it is behind.

- A config is one YAML file given with `--configfile`; without one, `config/config.yaml` (the embedded world) is read.
- `--config run=NAME 'train={lr: 5.0e-4}'` changes single keys on the command line.
- In any string, `{results}` and `{data}` stand for the folders of `config/site.yaml`, `{world}` for the folder of the
  embedded world, and in a benchmark `{fetched}` for the folder of its downloaded files.
- An unknown key, a missing key or a wrong value is reported in one line, and nothing runs.
- A missing file or folder stops a run; a dry run reports it and plans the rest.
- Settings of one place (folders, memory, partitions, contact) are in `config/site.yaml`, which git ignores;
  `config/site.example.yaml` is a template.
- `limits` never changes results; changing it reruns nothing. Any other key reruns the steps that use it.
- `config/schema.json` and `config/site.schema.json` are for editors: the first line of each config names its schema.
"""


# The table stands between these two, both lines of the page itself.
TABLE_BEGINS = "<!-- Written by `make docs`"
TABLE_ENDS = "## What to write"
# A section that may stand in more places has them below its title.
MOST_PLACES = 2
ABOUT_BEGINS = "<!-- Written by `make docs` from pyproject.toml -->"
ABOUT_ENDS = "<!-- end -->"


def document(*, root: Path = Path(), check: bool = False) -> None:
    """Write every document, or the part of one, that is made from the code.

    Args:
        root: the project's folder.
        check: write nothing; fail when a file is not what would be written.

    Raises:
        InputError: with `check`, a file is behind the code.
    """
    for name, text in documents(root).items():
        path = root / name
        if not check:
            write_text(path, text)
        elif not path.exists() or path.read_text(encoding="utf-8") != text:
            raise InputError(f"{name}: behind the code; run `make docs`")


def documents(root: Path) -> dict[str, str]:
    """The whole text of each document, by its path in the project."""
    project = read_project(root)
    table = benchmark_table(read_yaml(root / "config/bioclip2.yaml")["benchmarks"])
    references = _text(root / "CITATION.cff").partition("references:\n")
    return {
        "config/README.md": "\n".join([HEAD, *_tables()]),
        "config/schema.json": editor_schema(Config),
        "config/site.schema.json": editor_schema(SiteSettings),
        "docs/benchmarks.md": _between(_text(root / "docs/benchmarks.md"), TABLE_BEGINS, TABLE_ENDS, table),
        "docs/reference/commands.md": commands_page(),
        "docs/reference/contracts.md": contracts_page(),
        "README.md": _between(_text(root / "README.md"), ABOUT_BEGINS, ABOUT_ENDS, about(project)),
        "CITATION.cff": citation_head(project) + "".join(references[1:]),
    }


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def _between(page: str, begins: str, ends: str, text: str) -> str:
    """A page with other text between the line that begins with `begins` and the one that begins with `ends`."""
    before, begins, rest = page.partition(begins)
    line, _, rest = rest.partition("\n")
    return f"{before}{begins}{line}\n\n{text}\n{ends}{rest.partition(ends)[2]}"


def _tables() -> list[str]:
    blocks = [_table("Top level", Config)]
    # A section that stands in several places has one table.
    places: dict[type[Section], list[str]] = {}
    for path, section in sections():
        if path not in (known := places.setdefault(section, [])):
            known.append(path)
    blocks += [_table(_title(paths, section), section, paths) for section, paths in places.items()]
    blocks.append(_columns())
    blocks.append(_table("`config/site.yaml`", SiteSettings))
    blocks += [_table(f"`config/site.yaml`: `{path}`", section) for path, section in sections(SiteSettings)]
    return blocks


def _columns() -> str:
    rows = [
        f"| `{column.name}` | {', '.join(f'`{name}`' for name in column.spellings)} | {column.holds} |"
        for column in TABLE_COLUMNS
    ]
    return "\n".join(
        [
            "## Columns of a table of images",
            "",
            "For `reader: table`. A table needs `url` or `path`, and a column that names the organism. Case, `_` and "
            "blanks in column names are ignored; a source's `columns` maps other names. Further columns can be used "
            "in `select` and `keep`.",
            "",
            "| column | also found as | what it holds |",
            "|---|---|---|",
            *rows,
            "",
        ]
    )


def _title(paths: list[str], section: type[Section]) -> str:
    shown = ", ".join(f"`{path}`" for path in paths[:MOST_PLACES])
    return f"{shown}{' and others' if len(paths) > MOST_PLACES else ''}{_kind(section)}"


def _kind(section: type[Section]) -> str:
    """What tells one alternative from the others: the one value of its `reader`, `layout` or `judge`."""
    for name in ("reader", "layout", "judge"):
        if (field := section.model_fields.get(name)) and len(values := get_args(field.annotation)) == 1:
            return f" with `{name}: {values[0]}`"
    return ""


def _table(title: str, section: type[Section], places: list[str] | None = None) -> str:
    summary = (section.__doc__ or "").strip().splitlines()[0]
    if places and len(places) > MOST_PLACES:
        summary += f" It stands at {', '.join(f'`{path}`' for path in places)}."
    rows = [
        f"| `{name}` | {_type(field)} | {_default(field)} | {field.description} |"
        for name, field in section.model_fields.items()
    ]
    return "\n".join(
        [f"## {title}", "", summary, "", "| key | type | default | meaning |", "|---|---|---|---|", *rows, ""]
    )


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value: Any = field.get_default(call_default_factory=True, validated_data={})
    if value is PydanticUndefined or isinstance(value, Section):
        return ""
    if value is None:
        return "none"
    return f"`{value}`"


def _type(field: FieldInfo) -> str:
    return _name(field.annotation).replace("|", "\\|")


def _name(annotation: Any) -> str:
    """A type as a person writes it."""
    if annotation is type(None):
        return "none"
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return "section"
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return " | ".join(map(str, arguments))
    if origin is Annotated:
        return _name(arguments[0])
    if origin in (list, tuple, dict):
        return f"{origin.__name__} of {', '.join(_name(argument) for argument in arguments)}"
    if arguments:
        return " | ".join(dict.fromkeys(_name(argument) for argument in arguments))
    return str(getattr(annotation, "__name__", annotation))


if __name__ == "__main__":
    run(document)
