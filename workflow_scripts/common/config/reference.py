"""The reference pages: the commands with their options, and the contracts with their columns."""

import ast
import inspect
import itertools
import re
import textwrap
from collections.abc import Iterator

from workflow_scripts import contracts
from workflow_scripts.__main__ import COMMANDS, HERE, summary_of
from workflow_scripts.contracts import Column, Contract, Document

COMMANDS_HEAD = """# Commands

Written by `make docs` from the commands themselves. `python -m workflow_scripts` prints this list,
`python -m workflow_scripts.COMMAND --help` one command's options with their types. `--log FILE` goes with each of them.

Exit status: 0 done, 2 bad input (one line on stderr says what and where), 1 anything unforeseen. Commands that answer a
question (`report.trained_on`, `shards.verify`) say more in their own help.
"""

CONTRACTS_HEAD = """# Files and their columns

Written by `make docs` from `workflow_scripts/contracts.py`. Each table that passes from one stage to another is checked
against its contract when it is written and when it is read. Tables are parquet and sorted by their key.

Types are DuckDB's. Offsets and sizes are bytes of a member's data in its tar; image sizes and crops are pixels of the
original. `where the files are` stands in [Corpus and run](../corpus-and-run.md).
"""


def commands_page() -> str:
    """Every command that a person types, by purpose: what it does, and its options."""
    lines = [COMMANDS_HEAD]
    for purpose, modules in COMMANDS.items():
        lines.append(f"## {purpose}\n")
        for module in modules:
            lines += [f"### {module}\n", f"{summary_of(module)}\n", f"`python -m workflow_scripts.{module}`\n"]
            options = options_of(module)
            if options:
                lines += ["| option | what it takes |", "|---|---|"]
                lines += [f"| `{name}` | {_cell(text)} |" for name, text in options.items()]
                lines.append("")
    return "\n".join(lines)


def options_of(module: str) -> dict[str, str]:
    """The options of a command, and its positional arguments in capitals, each with its line of the docstring."""
    return dict(_options(module))


def _options(module: str) -> Iterator[tuple[str, str]]:
    source = HERE.joinpath(*module.split(".")).with_suffix(".py").read_text(encoding="utf-8")
    tree = ast.parse(source)
    called = next(
        (
            ast.unparse(node.args[0])
            for node in ast.walk(tree)
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("run", "run_command") and node.args
        ),
        None,
    )
    for function in tree.body:
        if isinstance(function, ast.FunctionDef) and function.name == called:
            described = _arguments(ast.get_docstring(function) or "")
            for argument, default in zip(function.args.kwonlyargs, function.args.kw_defaults, strict=True):
                annotation = ast.unparse(argument.annotation) if argument.annotation else ""
                if group := re.match(r"Annotated\[(\w+), tyro\.conf\.OmitArgPrefixes\]", annotation):
                    yield from _group(tree, group[1])
                    continue
                renamed = re.search(r"conf\.arg\(name='([^']+)'", annotation)
                name = renamed[1] if renamed else argument.arg.strip("_").replace("_", "-")
                positional = "Positional" in annotation
                needed = " (required)" if default is None and not positional else ""
                yield name.upper() if positional else f"--{name}", described.get(argument.arg, "") + needed


def _group(tree: ast.Module, name: str) -> Iterator[tuple[str, str]]:
    """The options of a dataclass that a command's module imports, and that other commands have too."""
    source = next(
        node.module
        for node in tree.body
        if isinstance(node, ast.ImportFrom) and node.module and name in {alias.name for alias in node.names}
    )
    body = ast.parse(HERE.parent.joinpath(*source.split(".")).with_suffix(".py").read_text(encoding="utf-8")).body
    options = next(node for node in body if isinstance(node, ast.ClassDef) and node.name == name)
    described = _arguments(ast.get_docstring(options) or "", "Attributes")
    for field in options.body:
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
            needed = " (required)" if field.value is None else ""
            yield f"--{field.target.id.replace('_', '-')}", described.get(field.target.id, "") + needed


def _arguments(docstring: str, head: str = "Args") -> dict[str, str]:
    """Name and text of each argument in a docstring's `Args:`."""
    _, _, rest = docstring.partition(f"{head}:\n")
    found: dict[str, str] = {}
    name = ""
    for line in rest.splitlines():
        if not line.startswith("    "):
            break
        text = line.strip()
        if not line.startswith("     "):
            name, _, text = text.partition(": ")
            found[name] = text
        elif name:
            found[name] += f" {text}"
    return found


def contracts_page() -> str:
    """Every contract: what a row is, its key, its columns, and what its notes say."""
    notes = _notes()
    lines = [CONTRACTS_HEAD]
    for name, value in vars(contracts).items():
        if isinstance(value, Contract):
            further = " Further columns may stand beside these." if value.extra else ""
            key = ", ".join(f"`{column}`" for column in value.key)
            lines += [f"## {name}\n", f"A row is {value.name}. Key: {key}.{further}\n"]
            lines += [notes[name] + "\n"] if name in notes else []
            lines += ["| column | type | may be null |", "|---|---|---|"]
            lines += [_row(column) for column in value.columns]
            lines.append("")
    lines.append("## JSON documents\n")
    for name, value in vars(contracts).items():
        if isinstance(value, Document):
            keys = ", ".join(f"`{key}`" for key in value.keys)
            lines.append(f"- **{name}**: {value.name}. Keys: {keys}.")
    return "\n".join(lines) + "\n"


def _row(column: Column) -> str:
    values = f": {', '.join(f'`{value}`' for value in column.values)}" if column.values else ""
    return f"| `{column.name}` | {_cell(column.type + values)} | {'yes' if column.null else 'no'} |"


def _notes() -> dict[str, str]:
    """The docstring below each constant of the contracts' module."""
    body = ast.parse(inspect.getsource(contracts)).body
    return {
        ast.unparse(before.targets[0]): textwrap.dedent(after.value.value).strip()
        for before, after in itertools.pairwise(body)
        if isinstance(before, ast.Assign)
        and isinstance(after, ast.Expr)
        and isinstance(after.value, ast.Constant)
        and isinstance(after.value.value, str)
    }


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
