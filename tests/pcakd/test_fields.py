from dataclasses import dataclass
from typing import Annotated, Literal

import click
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from pcakd.cli.options import field_option, field_options
from pcakd.errors import UsageError
from pcakd.fields import ALLOWANCE, MEMORY, Bounds, check_fields, check_kinds, chosen, declared, help_texts, own_first


@dataclass(frozen=True, kw_only=True)
class Base:
    colour: Literal["red", "blue"] = "red"
    """Which one it is."""


@dataclass(frozen=True, kw_only=True)
class Thing(Base):
    name: str
    """What it is called,
    in words."""
    count: Annotated[int, Bounds(1, 9)] = 3
    """How many."""
    share: Annotated[float | None, Bounds(0, below=1), ALLOWANCE] = None
    """Of the whole."""
    memory: Annotated[int | None, MEMORY] = None
    """How much."""
    tags: tuple[str, ...] = ()
    """Words."""
    loud: bool = False
    """Whether it is."""

    def __post_init__(self) -> None:
        check_fields(self)


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"colour": "green"}, "colour is 'green': use one of red, blue"),
        ({"count": 0}, "count is 0: give 1 to 9"),
        ({"count": 10}, "count is 10: give 1 to 9"),
        ({"share": 1.0}, "share is 1.0: give 0 or more, less than 1"),
        ({"share": float("nan")}, "share is nan"),
        ({"share": "0.5"}, "share is '0.5': give 0 or more, less than 1"),
    ],
)
def test_a_value_that_will_not_do_is_named_with_what_would(values, says):
    with pytest.raises(UsageError) as caught:
        Thing(name="a", **values)
    assert says in str(caught.value)


def test_the_docstring_under_a_field_is_its_help_text_inherited_ones_too():
    assert help_texts(Thing)["name"] == "What it is called, in words."
    assert help_texts(Thing)["colour"] == "Which one it is."


def test_what_a_dataclass_adds_comes_before_what_it_inherits():
    assert own_first(Thing)[0] == "name"
    assert own_first(Thing)[-1] == "colour"


def test_a_dataclass_takes_its_share_of_many_values():
    assert chosen(Base, {"colour": "blue", "name": "a", "size": 4}) == Base(colour="blue")


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"size": 1}, "file: has no field 'size'; fields are name, count"),
        ({"count": "3"}, "file: count is '3': give a whole number"),
        ({"count": True}, "file: count is True: give a whole number"),
        ({"tags": "a"}, "file: tags is 'a': give a list of texts"),
        ({"tags": [1]}, "file: tags is [1]: give a list of texts"),
        ({"loud": 1}, "file: loud is 1: give true or false"),
    ],
)
def test_a_file_with_a_value_of_another_kind_is_one_line(values, says):
    with pytest.raises(UsageError) as caught:
        check_kinds(values, Thing, "file")
    assert says in str(caught.value)


@given(st.floats(allow_nan=False), st.none() | st.integers(-5, 5), st.none() | st.integers(-5, 5))
def test_a_number_is_within_bounds_exactly_if_no_bound_excludes_it(value, low, high):
    assert (value in Bounds(low, high)) == ((low is None or value >= low) and (high is None or value <= high))
    assert (value in Bounds(above=low, below=high)) == ((low is None or value > low) and (high is None or value < high))


def made(*arguments: str):
    found = {}

    @click.command()
    @field_option(Thing, "name", metavar="NAME")
    @field_options(Thing, "colour", "count", "share", "memory", "tags", "loud")
    def command(**values):
        found.update(values)

    return CliRunner().invoke(command, list(arguments)), found


def test_options_have_the_names_kinds_and_defaults_of_the_fields():
    result, found = made("--name", "a", "--share", "5%", "--memory", "2GB", "--tags", "x", "--tags", "y", "--loud")
    assert result.exit_code == 0, result.output
    assert Thing(**found) == Thing(name="a", share=0.05, memory=2 << 30, tags=("x", "y"), loud=True)


def test_the_help_page_says_what_the_fields_say():
    text = " ".join(made("--help")[0].output.split())
    assert "What it is called, in words. [required]" in text
    assert "--colour [red|blue] Which one it is. [default: red]" in text
    assert "--count N How many. [default: 3]" in text


def test_every_field_of_a_dataclass_with_plain_values_is_declared():
    assert set(declared(Thing)) == {"name", "count", "share", "memory", "tags", "loud", "colour"}
