"""A digest of the code that a step runs, for Snakemake's params and for the keys of work folders.

It covers the complete module of the step and, from the project's other modules, the definitions that it reaches by
name: a contract that download does not use can change without a second download. Modules for progress, locks and work
folders (`MACHINERY`) cannot change outputs and are not covered. Data files beside a module (SQL, templates, tables) are
covered if covered code names them in a string literal, as are statements that run on import and define nothing.
Comments, docstrings, formatting and descriptions of config keys are not covered: code enters as its syntax tree,
without the empty fields in which Python versions differ.

Digests are cached in `__pycache__`, with a digest of all sources as the key: every dry run needs all digests, and
reading the sources is fifty times faster than parsing them.
"""

import ast
import hashlib
import json
import os
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

PACKAGE = "workflow_scripts"
ROOT = Path(__file__).resolve().parents[2]
MACHINERY = {
    f"{PACKAGE}.common.{module}" for module in ("children", "code_digest", "progress", "step_versions", "work_folder")
}
DATA_SUFFIXES = {".sql", ".csv", ".tsv", ".json", ".html", ".j2", ".css", ".js", ".md", ".txt", ".yaml"}


@cache
def code_digest(module: str, root: Path = ROOT) -> str:
    """Digest of the code that `module` (dotted name) below `root` runs: first 16 hex digits of a SHA-256.

    Raises:
        ModuleNotFoundError: the module does not exist.
    """
    cached = _cached_digests(root)
    if module not in cached:
        cached[module] = _digest(module, root)
        _store_digests(cached, root)
    return cached[module]


def _digest(module: str, root: Path) -> str:
    sums = hashlib.sha256()
    for name, statements in sorted(code_of(module, root).items()):
        source = _read(name, root)
        assert source is not None
        sums.update(f"module {name}\n".encode())
        data: set[Path] = set()
        for number in sorted(statements):
            sums.update(f"{source.text(number)}\n".encode())
            data |= source.data_files(number)
        for path in sorted(data):
            sums.update(f"data {path.name} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return sums.hexdigest()[:16]


@cache
def _sum_of_sources(root: Path) -> str:
    """SHA-256 of the names and contents of all files that a digest may cover."""
    sums = hashlib.sha256()
    for folder, folders, names in os.walk(root / PACKAGE):
        folders[:] = sorted(set(folders) - {"__pycache__"})
        for path in (Path(folder, name) for name in sorted(names)):
            if path.suffix in {".py", *DATA_SUFFIXES}:
                content = path.read_bytes()
                sums.update(f"{path.relative_to(root)} {len(content)}\n".encode())
                sums.update(content)
    return sums.hexdigest()


def _cache_file(root: Path) -> Path:
    return root / PACKAGE / "__pycache__" / "code_digests.kept"


@cache
def _cached_digests(root: Path) -> dict[str, str]:
    """Digests by module that an earlier process cached for the same sources."""
    sources = _sum_of_sources(root)
    with suppress(OSError, ValueError, KeyError, TypeError):
        cached = json.loads(_cache_file(root).read_text(encoding="utf-8"))
        if cached["sources"] == sources:
            return dict(cached["digests"])
    return {}


def _store_digests(digests: dict[str, str], root: Path) -> None:
    """Cache the digests for later processes, if the folder is writable."""
    path = _cache_file(root)
    cache_entry = {"sources": _sum_of_sources(root), "digests": digests}
    with suppress(OSError):
        if _sum_of_sources.__wrapped__(root) != cache_entry["sources"]:
            # A file was saved meanwhile: the digests may be of neither its old nor its new contents.
            return
        path.parent.mkdir(exist_ok=True)
        temporary = path.with_suffix(f".{os.getpid()}")
        temporary.write_text(json.dumps(cache_entry), encoding="utf-8")
        temporary.replace(path)


def code_of(module: str, root: Path = ROOT) -> dict[str, set[int]]:
    """The code that the digest of `module` covers: numbers of top-level statements, by module of the project.

    Raises:
        ModuleNotFoundError: the module does not exist.
    """
    if _read(module, root) is None:
        raise ModuleNotFoundError(f"no module {module} below {root}")
    covered: dict[str, set[int]] = {}
    # None means all definitions of a module.
    remaining: list[tuple[str, str | None]] = [(module, None)]
    seen: set[tuple[str, str | None]] = set()
    while remaining:
        current = remaining.pop()
        name, definition = current
        source = _read(name, root)
        if current in seen or source is None or name in MACHINERY - {module}:
            continue
        seen.add(current)
        numbers: set[int] = set()
        if name not in covered:
            covered[name] = set()
            # Importing a.b.c also runs a and a.b, and the modules that they import.
            remaining += [(parent, "") for parent in _parents(name)] + [(other, "") for other in source.imported]
            numbers |= source.effects
        if definition is None:
            numbers |= source.all_statements(is_step=name == module)
        elif definition in source.defined:
            numbers |= source.defined[definition]
        elif definition in source.bound:
            remaining.append(source.bound[definition])
        elif definition:
            remaining.append((f"{name}.{definition}", None))
        for number in numbers - covered[name]:
            remaining += [(name, used) for used in source.names_in(number) if used in source.defined]
            remaining += source.reached_from(number)
        covered[name] |= numbers
    return covered


def _parents(module: str) -> list[str]:
    parts = module.split(".")
    return [".".join(parts[:length]) for length in range(1, len(parts))]


@dataclass(frozen=True)
class _Uses:
    """Names, strings and imports anywhere in a statement.

    Attributes:
        names: names without an attribute.
        members: names, each with an attribute.
        strings: string literals.
        imports: import statements.
    """

    names: set[str] = field(default_factory=set)
    members: set[tuple[str, str]] = field(default_factory=set)
    strings: set[str] = field(default_factory=set)
    imports: list[ast.Import | ast.ImportFrom] = field(default_factory=list)

    @classmethod
    def of(cls, statement: ast.stmt) -> "_Uses":
        """Collect all of them in one walk; one `ast.walk` each took half of a dry run's start."""
        found = cls()
        nodes: list[ast.AST] = [statement]
        for node in nodes:
            match node:
                case ast.Attribute(value=ast.Name(id=name), attr=attribute):
                    found.members.add((name, attribute))
                    continue
                case ast.Name():
                    found.names.add(node.id)
                case ast.Constant(value=str() as text):
                    found.strings.add(text)
                case ast.Import() | ast.ImportFrom():
                    found.imports.append(node)
            for name in node._fields:
                value = getattr(node, name, None)
                if isinstance(value, ast.AST):
                    nodes.append(value)
                elif isinstance(value, list):
                    nodes += [entry for entry in value if isinstance(entry, ast.AST)]
        return found


@dataclass(eq=False)
class _Source:
    """A module's top-level statements, by number, and what each defines, binds and uses."""

    file: Path
    module: str
    statements: list[ast.stmt]
    # Name -> statements that define it.
    defined: dict[str, set[int]] = field(default_factory=dict)
    # Local name -> (module, name in it or None for the module itself), wherever in the file it is imported.
    bound: dict[str, tuple[str, str | None]] = field(default_factory=dict)
    imported: set[str] = field(default_factory=set)
    # Statements that run on import and define nothing.
    effects: set[int] = field(default_factory=set)
    is_main: set[int] = field(default_factory=set)
    imports: set[int] = field(default_factory=set)
    uses: list[_Uses] = field(default_factory=list)

    def __post_init__(self) -> None:
        for number, statement in enumerate(self.statements):
            self.uses.append(_Uses.of(statement))
            for node in self.uses[number].imports:
                self._bind(node)
            names = _definitions(statement)
            for name in names:
                self.defined.setdefault(name, set()).add(number)
            if isinstance(statement, ast.Import | ast.ImportFrom):
                self.imports.add(number)
            elif _runs_as_main(statement):
                self.is_main.add(number)
            elif not names and not _is_text(statement):
                self.effects.add(number)

    def all_statements(self, *, is_step: bool) -> set[int]:
        """All statements except texts and imports; `if __name__ == "__main__"` only in the step's own module."""
        numbers = {number for number, statement in enumerate(self.statements) if not _is_text(statement)}
        return numbers - self.imports - (set() if is_step else self.is_main)

    @cache  # noqa: B019 (sources live as long as the process)
    def names_in(self, number: int) -> set[str]:
        """Names and strings in a statement; a string may be a quoted annotation."""
        uses = self.uses[number]
        return uses.names | {name for name, _ in uses.members} | uses.strings

    @cache  # noqa: B019 (sources live as long as the process)
    def reached_from(self, number: int) -> list[tuple[str, str | None]]:
        """Definitions of other modules that a statement uses."""
        uses = self.uses[number]
        reached = [self.bound[name] for name in uses.names if name in self.bound]
        for name, attribute in uses.members:
            if name in self.bound:
                module, definition = self.bound[name]
                reached.append((module, attribute) if definition is None else (module, definition))
        return reached

    @cache  # noqa: B019 (sources live as long as the process)
    def text(self, number: int) -> str:
        return _text_of(self.statements[number])

    @cache  # noqa: B019 (sources live as long as the process)
    def data_files(self, number: int) -> set[Path]:
        """Files beside the module that a statement names."""
        strings = self.uses[number].strings
        names = {name for name in strings if "\n" not in name and Path(name).suffix in DATA_SUFFIXES}
        return {path for name in names if (path := self.file.parent / name).is_file()}

    def _bind(self, node: ast.Import | ast.ImportFrom) -> None:
        names: list[tuple[str, str, str | None]]
        if isinstance(node, ast.Import):
            names = [(alias.asname or alias.name.split(".")[0], alias.name, None) for alias in node.names]
        else:
            base = _imported_from(node, self.module, is_package=self.file.name == "__init__.py")
            names = [(alias.asname or alias.name, base, alias.name) for alias in node.names]
        for local, module, name in names:
            if module.split(".")[0] == PACKAGE:
                self.imported.add(module)
                self.bound[local] = (module, name)


@cache
def _read(module: str, root: Path) -> _Source | None:
    path = root.joinpath(*module.split("."))
    for file in (path.with_suffix(".py"), path / "__init__.py"):
        if file.is_file():
            source = _Source(file, module, ast.parse(file.read_text(encoding="utf-8")).body)
            for local, (base, name) in source.bound.items():
                # `from package import module` binds a module, not a name defined in the package.
                if name is not None and root.joinpath(*base.split("."), f"{name}.py").is_file():
                    source.bound[local] = (f"{base}.{name}", None)
                    source.imported.add(f"{base}.{name}")
            return source
    return None


def _imported_from(node: ast.ImportFrom, module: str, *, is_package: bool) -> str:
    if not node.level:
        return node.module or ""
    parts = module.split(".")
    kept = len(parts) - node.level + (1 if is_package else 0)
    return ".".join([*parts[:kept], *([node.module] if node.module else [])])


def _definitions(statement: ast.stmt) -> set[str]:
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return {statement.name}
    if isinstance(statement, ast.Assign | ast.AnnAssign):
        targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
        names = [node for target in targets for node in ast.walk(target)]
        if all(isinstance(target, ast.Name | ast.Tuple) for target in targets):
            return {node.id for node in names if isinstance(node, ast.Name)}
    return set()


def _runs_as_main(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.If) and ast.unparse(statement.test) in (
        "__name__ == '__main__'",
        "TYPE_CHECKING",
    )


def _text_of(node: object) -> str:
    """A syntax tree as text, without docstrings and without strings that document constants."""
    if isinstance(node, ast.AST):
        fields = ((name, value) for name, value in ast.iter_fields(node) if value not in (None, []))
        return f"{type(node).__name__}({', '.join(f'{name}={_text_of(value)}' for name, value in fields)})"
    if isinstance(node, list):
        kept = (entry for entry in node if not _is_text(entry) and not _is_description(entry))
        return f"[{', '.join(map(_text_of, kept))}]"
    return repr(node)


def _is_text(line: object) -> bool:
    return isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant) and isinstance(line.value.value, str)


def _is_description(argument: object) -> bool:
    return isinstance(argument, ast.keyword) and argument.arg == "description"
