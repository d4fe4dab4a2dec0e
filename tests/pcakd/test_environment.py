import ast
import re
from pathlib import Path

import pytest

from pcakd.environment import VARIABLES, setting, whole_number
from pcakd.errors import UsageError

ROOT = Path(__file__).resolve().parents[2]
OWN = re.compile(r"\bPCAKD_[A-Z0-9_]+\b")
MODULES = [module for package in ("pcakd", "tasks", "flows", "infra") for module in (ROOT / package).rglob("*.py")]


def test_the_code_mentions_no_variable_of_its_own_that_is_not_in_the_table():
    for module in MODULES:
        unnamed = {name.rstrip("_") for name in OWN.findall(module.read_text())} - set(VARIABLES) - {"PCAKD"}
        assert not unnamed, f"{module}: name {sorted(unnamed)} in pcakd/environment.py"


def test_every_variable_of_the_table_is_used_by_the_code_or_the_deployments():
    text = "".join(module.read_text() for module in MODULES if module.name != "environment.py")
    text += (ROOT / "prefect.yaml").read_text()
    for name in VARIABLES:
        assert re.search(rf"\b{name}\b", text), f"{name} is read by nothing"


def test_the_code_reads_its_variables_through_the_table_alone():
    for module in MODULES:
        for node in ast.walk(ast.parse(module.read_text())):
            if isinstance(node, ast.Call) and re.search(r"environ\.get$|getenv$", ast.unparse(node.func)):
                name = node.args[0]
                named = isinstance(name, ast.Constant) and str(name.value) in VARIABLES
                # Saved before it is replaced for a moment, and restored as it was: the raw value.
                assert not named or module.name == "session.py", f"{module}:{node.lineno}"


def test_every_variable_says_what_it_sets_and_what_counts_without_it():
    for name, variable in VARIABLES.items():
        assert variable.name == name
        assert variable.what
        assert variable.default


def test_space_around_a_value_does_not_count(monkeypatch):
    monkeypatch.setenv("PCAKD_HOME", " /data \n")
    assert setting("PCAKD_HOME") == "/data"
    monkeypatch.setenv("PCAKD_NUM_CPUS", " ")
    assert whole_number("PCAKD_NUM_CPUS") is None


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "many"])
def test_a_number_that_is_none_is_said(text, monkeypatch):
    monkeypatch.setenv("PCAKD_NUM_CPUS", text)
    with pytest.raises(UsageError, match=f"PCAKD_NUM_CPUS is '{text}'"):
        whole_number("PCAKD_NUM_CPUS")


def test_a_name_that_is_not_in_the_table_cannot_be_read():
    with pytest.raises(KeyError):
        setting("PCAKD_NEW")
