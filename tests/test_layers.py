"""The direction of imports: flows → tasks → pcakd, and nothing of the pipeline in pcakd."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FORBIDDEN = {
    "pcakd": {"tasks", "flows", "ray", "prefect", "mlflow"},
    "tasks": {"flows"},
}


def imported_packages(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.split(".")[0])
    return found


@pytest.mark.parametrize("package", FORBIDDEN)
def test_imports_point_from_flows_to_tasks_to_pcakd_and_never_back(package):
    modules = list((ROOT / package).rglob("*.py"))
    assert modules
    for module in modules:
        assert not imported_packages(module) & FORBIDDEN[package], module


def test_importing_the_method_loads_nothing_of_the_pipeline():
    code = "import sys, pcakd; pcakd.Stylizer; print([m for m in ('ray', 'prefect', 'mlflow') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_help_page_does_not_wait_for_pytorch():
    code = "import sys, flows.cli; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_the_public_names_are_what_the_readme_teaches():
    import pcakd

    assert pcakd.__all__ == ["Style", "StylizeOptions", "Stylizer"]
    for name in pcakd.__all__:
        assert getattr(pcakd, name).__name__ == name


def test_the_lock_file_pins_exact_versions_and_names_no_index():
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    assert lines
    for line in lines:
        assert "==" in line, line
        assert "://" not in line, line
