"""A digest of the code that a step runs, for Snakemake's params and for the keys of work folders.

It covers the import closure of the step's module within the project, and every data file that stands beside one of
those modules and is named in it by a string literal (SQL, templates, tables). Comments, docstrings and formatting do
not count: a module enters as its syntax tree, without the empty fields in which Python versions differ.
"""

import ast
import hashlib
from functools import cache
from pathlib import Path

PACKAGE = "workflow_scripts"
ROOT = Path(__file__).resolve().parents[2]
DATA_SUFFIXES = {".sql", ".csv", ".tsv", ".json", ".html", ".j2", ".css", ".js", ".md", ".txt", ".yaml"}


def code_digest(module: str, root: Path = ROOT) -> str:
    """The first 16 hex digits of the SHA-256 over the closure of `module` (dotted name) below `root`.

    Raises:
        ModuleNotFoundError: there is no such module.
    """
    if _file_of(module, root) is None:
        raise ModuleNotFoundError(f"no module {module} below {root}")
    return _code_digest(module, root)


def closure(module: str, root: Path = ROOT) -> dict[str, list[Path]]:
    """The project's modules that `module` imports, itself included, each with its file and the data files it names."""
    found: dict[str, list[Path]] = {}
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        file = _file_of(name, root)
        if file is None:
            continue
        tree = ast.parse(file.read_text(encoding="utf-8"))
        found[name] = [file, *_data_files(tree, file)]
        # Importing a.b.c also runs a and a.b.
        parts = name.split(".")
        waiting.extend(".".join(parts[:length]) for length in range(1, len(parts)))
        waiting.extend(_imports(tree, name, is_package=file.name == "__init__.py"))
    return found


@cache
def _code_digest(module: str, root: Path) -> str:
    sums = hashlib.sha256()
    for name, (file, *data) in sorted(closure(module, root).items()):
        sums.update(f"module {name}\n{_bare_source(file)}\n".encode())
        for path in data:
            sums.update(f"data {path.name} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return sums.hexdigest()[:16]


def _file_of(module: str, root: Path) -> Path | None:
    path = root.joinpath(*module.split("."))
    for candidate in (path.with_suffix(".py"), path / "__init__.py"):
        if candidate.is_file():
            return candidate
    return None


def _imports(tree: ast.AST, module: str, *, is_package: bool) -> set[str]:
    """Dotted names that may be modules of the project; names that are not modules are dropped by the caller."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = module.split(".")
                kept = len(parts) - node.level + (1 if is_package else 0)
                base = ".".join([*parts[:kept], *([node.module] if node.module else [])])
            names.add(base)
            names.update(f"{base}.{alias.name}" for alias in node.names)
    return {name for name in names if name.split(".")[0] == PACKAGE}


def _data_files(tree: ast.AST, file: Path) -> list[Path]:
    literals = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    named = {text for text in literals if "\n" not in text and Path(text).suffix in DATA_SUFFIXES}
    return sorted(path for text in named if (path := file.parent / text).is_file())


def _bare_source(file: Path) -> str:
    """A module's syntax tree as text, without docstrings and other strings that stand alone and describe constants."""
    return _text_of(ast.parse(file.read_text(encoding="utf-8")))


def _text_of(node: object) -> str:
    if isinstance(node, ast.AST):
        fields = ((name, value) for name, value in ast.iter_fields(node) if value not in (None, []))
        return f"{type(node).__name__}({', '.join(f'{name}={_text_of(value)}' for name, value in fields)})"
    if isinstance(node, list):
        return f"[{', '.join(_text_of(entry) for entry in node if not _is_text(entry))}]"
    return repr(node)


def _is_text(line: object) -> bool:
    return isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant) and isinstance(line.value.value, str)
