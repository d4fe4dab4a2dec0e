"""The source tree as tests look at it: its modules, what each imports, which names each defines."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("pcakd", "tasks", "flows", "infra")


class Import(NamedTuple):
    """One import statement's target, the deepest module of this tree that it names.

    deferred: within a function, or for type checkers alone: it does not run when the module is imported.
    """

    module: str
    deferred: bool
    line: int


@cache
def modules() -> dict[str, Path]:
    """Dotted name → file, of every module of the packages."""
    found = {}
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def imports_of(module: str) -> list[Import]:
    """What a module imports of this tree."""
    return list(_imports(parsed(modules()[module]), deferred=False))


def _imports(node: ast.AST, deferred: bool) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            names = [alias.name for alias in child.names]
        elif isinstance(child, ast.ImportFrom):
            assert not child.level, f"line {child.lineno}: a relative import; write the whole name"
            names = [f"{child.module}.{alias.name}" for alias in child.names]
        else:
            inner = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            checking = isinstance(child, ast.If) and ast.unparse(child.test).endswith("TYPE_CHECKING")
            yield from _imports(child, deferred or inner or checking)
            continue
        for name in names:
            if target := _deepest(name):
                yield Import(target, deferred, child.lineno)


def _deepest(name: str) -> str:
    while name and name not in modules():
        name = name.rpartition(".")[0]
    return name


def names_of(path: Path) -> set[str]:
    """The names that a file binds at its top level, and `Class.member` of its classes."""
    found: set[str] = set()
    for statement in parsed(path).body:
        found |= _bound(statement)
        if isinstance(statement, ast.ClassDef):
            members = (name for member in statement.body for name in _bound(member))
            found |= {f"{statement.name}.{name}" for name in members}
    return found


def _bound(statement: ast.stmt) -> set[str]:
    match statement:
        case ast.ClassDef() | ast.FunctionDef() | ast.AsyncFunctionDef():
            return {statement.name}
        case ast.Import() | ast.ImportFrom():
            return {alias.asname or alias.name for alias in statement.names}
        case ast.Assign(targets=targets):
            return {node.id for target in targets for node in ast.walk(target) if isinstance(node, ast.Name)}
        case ast.AnnAssign(target=ast.Name(id=name)):
            return {name}
        case ast.If(body=body):
            return {name for inner in body for name in _bound(inner)}
    return set()
