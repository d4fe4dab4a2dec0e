"""What the README teaches works as it stands there."""

import re
import shlex
from glob import glob

import pytest

from pcakd import errors
from tests.command import pcakd
from tests.conftest import ROOT
from tests.corpus import photograph

README = (ROOT / "README.md").read_text()


def blocks(heading: str, language: str) -> list[str]:
    """The code blocks of a section."""
    section = README.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    return re.findall(rf"```{language}\n(.*?)```", section, re.DOTALL)


@pytest.fixture
def album(tmp_path, monkeypatch):
    """A working folder with the photos that the examples name."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "album").mkdir()
    for number, name in enumerate(["street.jpg", "evening.jpg", "album/a.jpg", "album/b.jpg"]):
        photograph(number).save(name)
    return tmp_path


def test_the_two_photos_commands_write_what_they_say(album):
    for line in blocks("Two photos", "bash")[0].splitlines():
        words = [word for text in shlex.split(line, comments=True) for word in (glob(text) or [text])]
        done = pcakd(*words[1:], cwd=album)
        assert done.returncode == 0, done.stderr
    assert {path.name for path in album.glob("stylized/*")} == {"a.jpg", "b.jpg"}
    assert (album / "street-evening.jpg").is_file()


def test_the_three_lines_of_python_write_a_photo_and_use_public_names(album):
    import pcakd

    (example,) = blocks("Two photos", "python")
    assert set(re.findall(r"^from pcakd import (\w+)$", example, re.MULTILINE)) <= set(pcakd.__all__)
    exec(example, {})
    assert (album / "street-evening.jpg").is_file()
    assert pcakd.__all__ == ["Style", "StylizeOptions", "Stylizer"]
    assert [getattr(pcakd, name).__name__ for name in pcakd.__all__] == pcakd.__all__


def test_the_table_of_exit_codes_is_that_of_the_errors():
    section = README.partition("## Exit codes\n")[2].partition("\n## ")[0]
    told = {int(code) for code in re.findall(r"^\| (\d+) \|", section, re.MULTILINE)}
    assert told == {value for name, value in vars(errors).items() if name.startswith("EXIT_")}
