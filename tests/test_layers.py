"""The order of the tree: flows → tasks → pcakd, and of the rooms in each, as docs/architecture.md draws it."""

import re
from collections.abc import Iterator

from tests.tree import ROOT, imports_of, modules, names_of, parsed

ABOVE = {"infra": {"flows"}, "flows": {"infra"}}
"""Beside the floors: neither imports the other, whichever is drawn above."""

PIPELINE = {"ray", "prefect", "mlflow"}


def floors() -> list[tuple[str, list[str]]]:
    """(package, its rooms there) of every floor in the picture of docs/architecture.md, the ground last."""
    picture = re.search(r"<!-- floors -->(.*?)<!-- /floors -->", (ROOT / "docs/architecture.md").read_text(), re.DOTALL)
    assert picture
    found, package = [], ""
    for line in picture[1].splitlines():
        if match := re.fullmatch(r"    (\w*) +(\w[\w ·]*\w)", line):
            package = match[1] or package
            found.append((package, re.split(" +· +", match[2])))
    return found


def room_of(module: str) -> tuple[str, str]:
    """(package, room): the package's own `__init__`, a folder of it, or a module that lies loose in it."""
    package, _, rest = module.partition(".")
    return package, rest.partition(".")[0] or "__init__"


def floor_numbers() -> dict[tuple[str, str], int]:
    numbers = {}
    for number, (package, rooms) in enumerate(reversed(floors())):
        numbers |= {(package, room): number for room in rooms}
    for package, _ in reversed(floors()):  # an `__init__` that is not drawn comes before all of its package
        numbers.setdefault((package, "__init__"), min(n for (name, _), n in numbers.items() if name == package))
    return numbers


def test_every_room_of_the_tree_is_drawn_once_and_every_room_drawn_is_there():
    drawn = [(package, room) for package, rooms in floors() for room in rooms]
    assert len(drawn) == len(set(drawn))
    there = {room_of(module) for module in modules()}
    assert set(drawn) - there == set()
    assert {room for room in there if room[1] != "__init__"} - set(drawn) == set(), "draw it in docs/architecture.md"


def test_a_module_imports_only_from_its_own_room_and_from_lower_floors():
    numbers = floor_numbers()
    wrong = []
    for module, path in modules().items():
        here = room_of(module)
        for found in imports_of(module):
            there = room_of(found.module)
            beside = there[0] in ABOVE.get(here[0], set())
            if there != here and (numbers[there] >= numbers[here] or beside):
                wrong.append(f"{path.relative_to(ROOT)}:{found.line}: {'.'.join(here)} imports {found.module}")
    assert wrong == []


def test_no_module_imports_itself_by_way_of_others():
    graph = {module: [found.module for found in imports_of(module) if not found.deferred] for module in modules()}
    finished: set[str] = set()

    def cycle(way: list[str]) -> Iterator[list[str]]:
        for following in graph[way[-1]]:
            if following in way:
                yield [*way[way.index(following) :], following]
            elif following not in finished:
                yield from cycle([*way, following])
        finished.add(way[-1])

    assert [" → ".join(found) for module in graph for found in cycle([module])] == []


def test_the_frame_of_the_stages_re_exports_nothing():
    (docstring,) = parsed(ROOT / "tasks/stages/__init__.py").body
    assert docstring.value.value.startswith("The frame")


def test_stage_and_command_know_the_job_and_nothing_under_them_knows_who_calls():
    """A job can be run without Prefect and without a command line: no module of tasks imports a stage or a command."""
    doors = {module for module in modules() if re.fullmatch(r"tasks\.\w+\.(stage|command)", module)}
    assert len(doors) > 8
    callers = {module for module in modules() for found in imports_of(module) if found.module in doors}
    assert {room_of(module)[0] for module in callers} == {"flows"}


def test_what_is_named_as_text_to_be_imported_later_is_there():
    named = []
    for path in modules().values():
        named += re.findall(r'"((?:pcakd|tasks|flows)\.[\w.]+):(\w+)"', path.read_text())
    assert len(named) > 8
    for module, name in named:
        assert name in names_of(modules()[module]), f"{module}:{name}"


def test_the_method_imports_nothing_of_the_pipeline():
    for path in (ROOT / "pcakd").rglob("*.py"):
        imported = re.findall(r"^\s*(?:import|from) (\w+)", path.read_text(), re.MULTILINE)
        assert not set(imported) & PIPELINE, path
