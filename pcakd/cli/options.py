"""Command-line options made from the fields that a dataclass declares (see `pcakd.fields`)."""

import os
from collections.abc import Callable
from typing import Any

import click

from pcakd.errors import UsageError
from pcakd.fields import ALLOWANCE, MEMORY, Declared, declared, help_texts
from pcakd.units import parse_allowance, parse_memory

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


class Written(click.ParamType):
    """A number that people write in a way of their own."""

    def __init__(self, name: str, parse: Callable[[str], float]) -> None:
        self.name, self.parse = name, parse

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, int | float):
            return value
        try:
            return self.parse(str(value))
        except UsageError as error:
            self.fail(str(error), param, ctx)


WRITTEN = {MEMORY: Written("SIZE", parse_memory), ALLOWANCE: Written("N|P%", parse_allowance)}
"""Way of writing → the type of its options."""
LETTERS = {int: "N", float: "X"}


def field_option(cls: type, name: str, *flags: str, **changes: Any) -> Decorator:
    """One field of a dataclass as an option: its type, choices, default and help text.

    flags: as `click.option` takes them; none: --the-name. changes: keywords of `click.option` that differ here.
    """
    one = declared(cls)[name]
    flags = flags or (f"--{name.replace('_', '-')}",)
    keywords = _keywords(one, help_texts(cls).get(name, "")) | changes
    return click.option(*flags, name, **keywords)


def field_options(cls: type, *names: str) -> Decorator:
    """Several fields as options, in this order; no names: all of them."""

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        for name in reversed(names or tuple(declared(cls))):
            command = field_option(cls, name)(command)
        return command

    return decorate


def _keywords(one: Declared, text: str) -> dict[str, Any]:
    keywords: dict[str, Any] = {"help": text, "required": one.required}
    if one.kind is bool:
        return keywords | {"is_flag": True, "default": one.default}
    if one.choices is not None:
        keywords["type"] = click.Choice(one.choices)
    elif one.written is not None:
        keywords["type"] = WRITTEN[one.written]
    else:
        keywords |= {"type": one.kind} | ({"metavar": LETTERS[one.kind]} if one.kind in LETTERS else {})
    if one.many:
        keywords["multiple"] = True
    elif not one.required:
        keywords |= {"default": one.default, "show_default": one.default not in (None, "")}
    return keywords


request_payer_option = click.option(
    "--request-payer",
    is_flag=True,
    expose_value=False,
    callback=lambda ctx, param, value: value and os.environ.update(PCAKD_S3_REQUEST_PAYER="requester"),
    help="Pay for requests to S3 buckets whose owners ask for it (PCAKD_S3_REQUEST_PAYER=requester).",
)
"""Storages read the environment where they are opened, and carry what it says to the workers."""
