"""Fields of a configuration, declared once, in a dataclass; checks, command-line options and forms are read from there.

    @dataclass(frozen=True, kw_only=True)
    class ShardConfig:
        shortest_side: Annotated[int, Bounds(8, 16384)] = 512
        '''Photos are shrunk to this shortest side, pixels; smaller ones stay as they are.'''

        def __post_init__(self) -> None:
            check_fields(self)

The type says what a value is: `Literal` lists choices, `Annotated` adds `Bounds` or a way of writing it (`MEMORY`,
`ALLOWANCE`), `| None` lets it be left out, `tuple[X, ...]` takes several. The docstring under a field is its help text.
"""

import ast
import inspect
import textwrap
import types
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from functools import cache
from numbers import Number
from typing import Annotated, Any, Literal, NamedTuple, TypeVar, Union, get_args, get_origin, get_type_hints

from pcakd.checks import one_of
from pcakd.errors import UsageError

T = TypeVar("T")

MEMORY = "memory"
"""Bytes, which people write as 1500MB or 2GB."""
ALLOWANCE = "allowance"
"""A number, or a share that people write as 5%."""


@dataclass(frozen=True)
class Bounds:
    """Between which numbers a field may lie; None: no bound. `below` and `above` are not reached themselves."""

    low: float | None = None
    high: float | None = None
    below: float | None = None
    above: float | None = None

    def __contains__(self, value: Any) -> bool:
        return (
            (self.low is None or value >= self.low)
            and (self.high is None or value <= self.high)
            and (self.below is None or value < self.below)
            and (self.above is None or value > self.above)
        )

    def words(self) -> str:
        """What would do, for an error."""
        if self.low is not None and self.high is not None:
            return f"{self.low} to {self.high}"
        ends = [
            (self.low, "{} or more"),
            (self.above, "above {}"),
            (self.high, "up to {}"),
            (self.below, "less than {}"),
        ]
        return ", ".join(text.format(end) for end, text in ends if end is not None)


class Declared(NamedTuple):
    """One field as its dataclass declares it."""

    name: str
    kind: type  # str, int, float or bool: of one value
    many: bool  # several values: a tuple
    optional: bool  # may be None
    choices: tuple[str, ...] | None
    bounds: Bounds | None
    written: str | None  # MEMORY, ALLOWANCE or None
    required: bool
    default: Any
    annotation: Any  # the type without what `Annotated` adds

    def check(self, value: Any) -> None:
        """Raise UsageError for a value that is not one of the choices, or out of bounds."""
        if value is None and self.optional:
            return
        for one in value if self.many else (value,):
            if self.choices is not None:
                one_of(self.name, one, self.choices)
            elif self.bounds is not None and (not isinstance(one, Number) or one not in self.bounds):
                shown = one if isinstance(one, Number) else repr(one)
                raise UsageError(f"{self.name} is {shown}: give {self.bounds.words()}")

    def check_kind(self, value: Any) -> None:
        """Raise UsageError for a value of another kind, as a file may have it: 1 is a number, "1" is not."""
        word = {str: "text", int: "whole number", float: "number", bool: "yes or no"}[self.kind]
        accepted = (int, float) if self.kind is float else (self.kind,)
        values = value if self.many and isinstance(value, list | tuple) else [value]
        good = isinstance(value, list | tuple) == self.many and all(
            isinstance(one, accepted) and (self.kind is bool or not isinstance(one, bool)) for one in values
        )
        if not good:
            wanted = f"a list of {word}s" if self.many else f"a {word}" if self.kind is not bool else "true or false"
            raise UsageError(f"{self.name} is {value!r}: give {wanted}")


@cache
def declared(cls: type) -> dict[str, Declared]:
    """Name → field of a dataclass whose fields are plain values; others, as nested dataclasses, are left out."""
    assert is_dataclass(cls)
    hints = get_type_hints(cls, include_extras=True)
    found = {}
    for field in fields(cls):
        if (one := _read(field.name, hints[field.name])) is not None:
            required = field.default is MISSING and field.default_factory is MISSING
            default = field.default_factory() if field.default_factory is not MISSING else field.default
            found[field.name] = one._replace(required=required, default=None if required else default)
    return found


def own_first(cls: type) -> list[str]:
    """The names of a dataclass's plain fields; what it inherits comes after what it adds."""
    return sorted(declared(cls), key=lambda name: name not in cls.__annotations__)


def check_fields(instance: Any) -> None:
    """Hold every field of a dataclass against its declaration. Raises UsageError naming field, value and remedy."""
    cls: Any = type(instance)
    for name, one in declared(cls).items():
        one.check(getattr(instance, name))


def chosen(cls: type[T], values: Mapping[str, Any]) -> T:
    """A dataclass made from those of the values that are its fields."""
    names = cls.__dataclass_fields__  # type: ignore[attr-defined]
    return cls(**{name: value for name, value in values.items() if name in names})


def check_kinds(values: Mapping[str, Any], cls: type, name: str) -> None:
    """Hold values from a file against a dataclass's fields: known names, right kinds. Raises UsageError.

    name: of the file, which errors begin with.
    """
    known = declared(cls)
    if unknown := sorted(set(values) - set(known)):
        raise UsageError(f"{name}: has no field {unknown[0]!r}; fields are {', '.join(own_first(cls))}")
    for key, value in values.items():
        try:
            known[key].check_kind(value)
        except UsageError as error:
            raise UsageError(f"{name}: {error}") from None


@cache
def help_texts(cls: type) -> dict[str, str]:
    """Name → the docstring under the field, on one line; bases' fields, too."""
    found: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        if not is_dataclass(base):
            continue
        (tree,) = ast.parse(textwrap.dedent(inspect.getsource(base))).body
        assert isinstance(tree, ast.ClassDef)
        for node, after in zip(tree.body, tree.body[1:], strict=False):
            if (
                isinstance(node, ast.AnnAssign)
                and isinstance(node.target, ast.Name)
                and isinstance(after, ast.Expr)
                and isinstance(after.value, ast.Constant)
                and isinstance(after.value.value, str)
            ):
                found[node.target.id] = " ".join(after.value.value.split())
    return found


def _read(name: str, hint: Any) -> Declared | None:
    bounds, written = None, None
    hint, optional = _without_none(hint)
    if get_origin(hint) is Annotated:
        hint, *extras = get_args(hint)
        bounds = next((extra for extra in extras if isinstance(extra, Bounds)), None)
        written = next((extra for extra in extras if isinstance(extra, str)), None)
    hint, inner_optional = _without_none(hint)
    annotation = hint
    many = get_origin(hint) is tuple
    if many:
        hint = get_args(hint)[0]
    choices = get_args(hint) if get_origin(hint) is Literal else None
    kind = str if choices else hint
    if kind not in (str, int, float, bool):
        return None
    optional = optional or inner_optional
    return Declared(name, kind, many, optional, choices, bounds, written, False, None, annotation)


def _without_none(hint: Any) -> tuple[Any, bool]:
    """`X | None` as (X, True)."""
    if get_origin(hint) in (Union, types.UnionType) and type(None) in get_args(hint):
        (rest,) = (part for part in get_args(hint) if part is not type(None))
        return rest, True
    return hint, False
