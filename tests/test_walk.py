"""The pages walked line by line: every command that they print is run here, or held to what its program takes."""

import re
import shlex
import tomllib
from collections import Counter
from glob import glob
from pathlib import Path
from typing import NamedTuple

import click
import pytest

from pcakd.student.checkpoint import save_checkpoint
from tests.command import pcakd
from tests.corpus import photograph
from tests.models import random_checkpoint
from tests.test_docs import PAGES
from tests.tree import ROOT

PROGRAMS = ("pcakd", "make", "python", "pip", "prefect", "mlflow", "sh", "docker", "kubectl", "helm", "aws", "curl")
OTHERS = ("docker", "kubectl", "helm", "aws", "curl")
"""Programs that are not this project's: of theirs only the files that a command names are looked at."""
ENDED = ("&&", "|", ";", ")")
RUN = re.compile(r"pcakd (look|apply|stylize) (?!.*(models:/|released|-video))")
"""Commands that take photos and little time: they are run."""
RUN_ELSEWHERE = 4
"""README's first ones, in tests/test_readme.py."""


class Shown(NamedTuple):
    """A command as a page prints it."""

    page: str
    line: str
    program: str
    words: list[str]


def commands() -> list[Shown]:
    """All commands of the code blocks, in order; `a && b` is two."""
    found = []
    for page in PAGES:
        if page.name == "architecture.md":  # its blocks are tables
            continue
        text = re.sub(r"\\\n *", " ", page.read_text())
        for block in re.findall(r"```bash\n(.*?)```", text, re.DOTALL) + re.findall(
            r"(?:^    .*\n)+", text, re.MULTILINE
        ):
            # An option in brackets may be left out; what continues on a next line begins with one.
            for line in re.sub(r"\n +(?=\[--)", " ", block).splitlines():
                if not re.match(rf"\s*(\w+=\S+\s+)*({'|'.join(PROGRAMS)})\s", line):
                    continue
                # What stands far to the right is said of the command, with # or without.
                line = re.sub(r"(?<=\S) {3,}.*", "", line)
                words = shlex.split(re.sub(r"[\[\]](?!\w*\])|\.\.\.", " ", line), comments=True)
                for part in parts(words):
                    while part and re.match(r"\w+=", part[0]):
                        part = part[1:]
                    if part and part[0] in PROGRAMS:
                        found.append(Shown(page.name, line.strip(), part[0], part[1:]))
    return found


def parts(words: list[str]) -> list[list[str]]:
    found: list[list[str]] = [[]]
    for word in words:
        if word in ENDED:
            found.append([])
        else:
            found[-1].append(word)
    return found


def parsed(command: click.Command, words: list[str]) -> None:
    """Hold a command line to what a command takes. Raises click's errors."""
    context = click.Context(command, info_name=command.name)
    given, rest, _ = command.make_parser(context).parse_args(list(words))
    if isinstance(command, click.Group):
        below = command.get_command(context, rest[0]) if rest else None
        assert below is not None, f"{command.name} has no {rest[:1]}"
        parsed(below, rest[1:])
        return
    assert not rest, f"{command.name} does not take {rest}"
    missing = [one.name for one in command.params if one.required and not given.get(one.name or "")]
    assert not missing, f"{command.name} wants {missing}"


def test_every_command_of_the_pages_is_one_that_its_program_takes():
    from flows.cli import PIPELINE_COMMANDS
    from pcakd.cli.main import COMMANDS, make_group

    makefile = (ROOT / "Makefile").read_text()
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    own = make_group(COMMANDS | PIPELINE_COMMANDS)
    shown, checked = commands(), Counter[str]()
    for one in shown:
        try:
            if one.program == "pcakd":
                parsed(own, one.words)
            elif one.program == "make":
                for word in one.words:
                    wanted = rf"^{word}:" if "=" not in word else rf"\$\({word.partition('=')[0]}\)"
                    assert re.search(wanted, makefile, re.MULTILINE), word
            elif one.program == "python" and one.words[0] != "-m":
                assert_options(ROOT / one.words[0], one.words)
            elif one.program == "python" and one.words[1] != "pytest":
                path = ROOT / one.words[1].replace(".", "/")
                assert_options(path / "__main__.py" if path.is_dir() else path.with_suffix(".py"), one.words)
            elif one.program == "pip":
                for extra in re.findall(r"\[(\w+)\]", one.line):
                    assert extra in extras, extra
            elif one.program in (*OTHERS, "sh"):
                for word in one.words:
                    assert not word.startswith("infra/") or (ROOT / word).exists(), word
            else:
                continue
        except (AssertionError, click.ClickException) as error:
            raise AssertionError(f"{one.page}: {one.line}: {error}") from error
        checked[one.program] += 1
    print(f"{len(shown)} commands on {len(PAGES)} pages; held to what their programs take: {dict(checked)}")
    assert len(shown) >= 80
    assert checked["pcakd"] >= 35


def assert_options(program: Path, words: list[str]) -> None:
    text = program.read_text()
    for option in [word for word in words if word.startswith("--")]:
        assert option == "--help" or f'"{option.partition("=")[0]}"' in text, option


@pytest.mark.slow
def test_the_commands_that_take_photos_alone_are_run_as_they_are_printed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for folder in ("album", "photos"):
        Path(folder).mkdir()
    for number, name in enumerate(["street.jpg", "evening.jpg", "album/a.jpg", "album/b.jpg"]):
        photograph(number).save(name)
    checkpoint = random_checkpoint()
    save_checkpoint(Path("model.safetensors"), checkpoint.student, checkpoint.metadata)
    run = []
    for one in [one for one in commands() if one.program == "pcakd" and RUN.match(f"pcakd {' '.join(one.words)} ")]:
        words = [word for text in one.words for word in (glob(text) or [text])]
        if one.page == "README.md" and one.words[0] == "stylize" and "model.safetensors" not in one.words:
            continue  # tests/test_readme.py runs it
        done = pcakd(*words, cwd=tmp_path)
        assert done.returncode == 0, f"{one.page}: {one.line}: {done.stderr}"
        run.append(one.line)
    print(f"{len(run)} commands run here, {RUN_ELSEWHERE} in tests/test_readme.py")
    assert len(run) >= 5
