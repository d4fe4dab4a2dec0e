"""One word, one meaning: no class shares its name with another, and none is imported under another's."""

import ast
from collections import defaultdict

from tests.tree import PACKAGES, modules, parsed

SHARED = {
    # The form of a flow's stage, and what the stage makes: Prefect shows the first under the stage's name.
    "Eigenbases": {"flows.parameters", "pcakd.eigenbases.pca"},
}
"""Class names that are defined more than once, each for a reason, and where."""


def test_each_class_name_is_defined_once():
    homes = defaultdict(set)
    for module, path in modules().items():
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.ClassDef):
                homes[node.name].add(module)
    assert len(homes) > 100
    assert {name: places for name, places in homes.items() if len(places) > 1} == SHARED


def test_no_class_of_the_project_is_imported_under_another_name():
    renamed = [
        f"{module}: {alias.name} as {alias.asname}"
        for module, path in modules().items()
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in PACKAGES
        for alias in node.names
        if alias.asname and alias.name[:1].isupper() and not alias.name.isupper()
    ]
    assert renamed == []
