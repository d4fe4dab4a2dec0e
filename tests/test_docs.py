"""What the pages tell people to open, import and type is there."""

import importlib
import re
import shlex
from functools import cache

import click
import pytest

from pcakd.photos.outcomes import BULK_STATUSES, MAY_PASS, PENDING, SHARD_STATUSES
from tests.tree import ROOT, modules, names_of

PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted(ROOT.glob("docs/*.md")),
    *sorted(ROOT.glob("infra/*.md")),
]
ARCHITECTURE = ROOT / "docs" / "architecture.md"
FOLDERS = "pcakd|tasks|flows|infra|tests|docs|benchmarks|[.]ci"

MADE = {"infra/.env"}
"""Named, but made on the way: in no checkout."""

SERVERS = {"MLFLOW_BACKEND_STORE_URI", "PREFECT_SERVER_DATABASE_CONNECTION_URL"}
"""Variables of servers that somebody else starts."""

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


@each_page
def test_links_lead_to_files_and_headings_that_are_there(page):
    for target, heading in re.findall(r"\]\((?!https?:)([^)#]*)(?:#([^)]*))?\)", page.read_text()):
        there = page.parent / target if target else page
        assert there.exists(), target
        if heading:
            headings = re.findall(r"^#+ (.*)$", there.read_text(), re.MULTILINE)
            anchors = {re.sub(r"[^\w -]", "", text.lower()).replace(" ", "-") for text in headings}
            assert heading in anchors, f"{target}#{heading}"


def test_the_readme_leads_to_every_page():
    told = (ROOT / "README.md").read_text()
    assert [page for page in PAGES[1:] if f"({page.relative_to(ROOT)})" not in told] == []


@each_page
def test_paths_that_are_named_exist(page):
    for path in re.findall(rf"(?<![\w/:.@<>-])((?:{FOLDERS})/[\w./-]*[\w/])(?![\w/<*])", page.read_text()):
        assert path in MADE or (ROOT / path).exists(), path


@each_page
def test_modules_and_names_that_are_named_exist(page):
    for name in re.findall(r"(?<![\w/.-])((?:pcakd|tasks|flows|infra)(?:\.[A-Za-z_]\w*)+)(?![\w/-])", page.read_text()):
        module = name
        while module not in modules():
            module = module.rpartition(".")[0]
        rest = name[len(module) + 1 :]
        assert not rest or rest in names_of(modules()[module]), name


@cache
def options() -> dict[str, set[str]]:
    """Command of `pcakd` → the options that it takes; and of the modules that `make` runs."""
    from flows.cli import PIPELINE_COMMANDS
    from infra.automations import main as automations
    from pcakd.cli.main import COMMANDS

    found = {"make automations": options_of(automations)}
    for name, (place, _) in (COMMANDS | PIPELINE_COMMANDS).items():
        module, _, attribute = place.partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        found[name] = {"--help"} | options_of(command)
    return found


def options_of(command: click.Command) -> set[str]:
    """Of a command; of a group, those of all its commands."""
    found = {option for parameter in command.params for option in parameter.opts}
    for below in command.commands.values() if isinstance(command, click.Group) else ():
        found |= options_of(below)
    return found


@each_page
def test_commands_and_options_that_are_shown_exist(page):
    text = page.read_text().replace("\\\n", " ")
    shown = re.findall(r"^(?:    |)pcakd ([a-z-].*)$", text, re.MULTILINE) + re.findall(r"`pcakd ([^`]+)`", text)
    for line in shown:
        name, *words = shlex.split(line, comments=True)
        assert {word for word in words if word.startswith("--")} <= options()[name], line
    for option in re.findall(r"`(--[a-z-]+)\b[^`]*`", text):
        assert any(option in known for known in options().values()), option


@each_page
def test_make_targets_and_python_programs_that_are_shown_exist(page):
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"(?:^|`|    )make ([a-z-]+)", page.read_text(), re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
    for program in re.findall(rf"python -m ((?:{FOLDERS})[\w.]*)", page.read_text()):
        path = ROOT / program.replace(".", "/")
        assert path.with_suffix(".py").is_file() or (path / "__main__.py").is_file(), program


@each_page
def test_environment_variables_that_are_named_exist(page):
    from infra.check.settings import OTHERS
    from pcakd.environment import VARIABLES

    for name in re.findall(r"\b(?:PCAKD|AWS|MLFLOW|PREFECT|RAY)_[A-Z0-9_]*[A-Z0-9]\b(?!_?\.\.\.)", page.read_text()):
        assert name in VARIABLES or name in OTHERS or name in SERVERS, name


@pytest.mark.parametrize(("name", "statuses"), [("sharding", SHARD_STATUSES), ("bulk", BULK_STATUSES)])
def test_the_tables_of_statuses_are_those_of_the_code(name, statuses):
    section = (ROOT / f"docs/{name}.md").read_text().partition("## Statuses\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| ((?!status|---)[\w, -]+) \|.*\| ?([\w ]*) ?\|$", section, re.MULTILINE)
    told = {status: again.strip() == "yes" for names, again in rows for status in names.split(", ")}
    assert told == {status: status in MAY_PASS for status in statuses if status != PENDING}


@each_page
def test_lines_fit_a_window_of_120_columns(page):
    long = [line for line in page.read_text().splitlines() if len(line) > 120 and not line.startswith(("|", "!["))]
    assert long == []


def test_the_files_and_functions_on_the_ways_exist():
    steps = re.findall(r"^    (\w+/[\w/.]+\.py) +([\w., ]+?)   *\S", ARCHITECTURE.read_text(), re.MULTILINE)
    assert len(steps) > 35
    for path, names in steps:
        assert set(names.split(", ")) <= names_of(ROOT / path), f"{path}: {names}"


def test_the_words_and_the_answers_name_what_is_there():
    rows = re.findall(r"^\| (?!word|…|---)(.*) \|$", ARCHITECTURE.read_text(), re.MULTILINE)
    assert len(rows) > 50
    for row in rows:
        path = ""
        for word in re.findall(r"`([^`]+)`", row):
            if re.fullmatch(r"\w+/[\w/.]+\.py", word):
                path = word
            elif path and re.fullmatch(r"[\w.]+", word) and not word.endswith(".py"):
                assert word in names_of(ROOT / path), f"{path}: {word}"


def test_fifteen_questions_are_answered_with_a_file():
    answers = ARCHITECTURE.read_text().partition("## Where do I change")[2]
    files = re.findall(r"^\| [^|`]*(?:`[^|]*)?\| `([\w/.]+)` \|", answers, re.MULTILINE)
    assert len(files) == 15
    assert all((ROOT / path).is_file() for path in files)
