"""What infra/README.md says of security, held against the code."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from tests.conftest import ROOT

RUNS_CODE = {
    "pickle": {"load", "loads", "Unpickler"},
    "torch": {"load"},
    "numpy": {"load"},
    "np": {"load"},
    "joblib": {"load"},
    "yaml": {"load", "unsafe_load", "full_load"},
    "pandas": {"read_pickle"},
}
"""Calls that can run code which the data they read holds."""

BETWEEN_PROCESSES = {"tasks/distillation/inbox.py", "tasks/bulk/workers.py", "tasks/bulk/carried.py"}
"""Modules that unpickle what another process of the same run sent through Ray, never what a storage holds."""


def calls(path: Path) -> Iterator[tuple[str, ast.Call]]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            yield ast.unparse(node.func), node


def test_nothing_that_a_storage_holds_is_unpickled():
    for package in ("pcakd", "tasks", "flows", "infra"):
        for path in sorted((ROOT / package).rglob("*.py")):
            where = str(path.relative_to(ROOT))
            for name, node in calls(path):
                module, _, function = name.rpartition(".")
                if function not in RUNS_CODE.get(module, ()):
                    continue
                words = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
                harmless = words.get("weights_only") == "True" if module == "torch" else "Loader" in words
                if module == "pickle":
                    harmless = where in BETWEEN_PROCESSES
                assert harmless, f"{where}:{node.lineno}: {name} can run code that the data holds"


def test_modules_that_unpickle_between_processes_read_no_storage_in_it():
    for where in BETWEEN_PROCESSES:
        for name, node in calls(ROOT / where):
            if name.startswith("pickle.load"):
                assert not re.search(r"\bread\(|\bopen\(|storage", ast.unparse(node)), f"{where}:{node.lineno}"


def test_no_yaml_loader_builds_objects():
    for path in sorted((ROOT / "infra").rglob("*.py")):
        assert not re.search(r"yaml\.(Unsafe|Full)?Loader\b|CLoader\b", path.read_text()), path
