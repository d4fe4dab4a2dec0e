"""Models named by an address, such as `models:/pcakd-vgg@champion`: who looks up which scheme.

This package knows files and built-in names. Whoever knows more adds itself here, as text, so that nothing
is imported before such a name is used:

    register_resolver("models", "tasks.registry.resolve:resolve_model")
"""

import importlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from pcakd.errors import UsageError


class Located(NamedTuple):
    """The file of a model, and its name with every alias resolved: what a record of the work keeps."""

    path: Path
    source: str


_RESOLVERS: dict[str, str] = {}
_ADDRESS = re.compile(r"([a-z][a-z0-9]+):/")


def register_resolver(scheme: str, target: str) -> None:
    """Let "module:function" look up names that start with `scheme:/`. The function: name → `Located`."""
    _RESOLVERS[scheme] = target


def is_address(name: str) -> bool:
    """Whether a name is an address rather than a file or a built-in name."""
    return _ADDRESS.match(name) is not None


def resolve(name: str) -> Located:
    """Look up an address. Raises UsageError for a scheme that nobody looks up, and what its resolver raises."""
    match = _ADDRESS.match(name)
    scheme = match[1] if match else ""
    if scheme not in _RESOLVERS:
        raise UsageError(
            f"{name}: nobody here can look up {scheme}:/ addresses; use the `pcakd` command, or `import tasks.registry`"
        )
    module, _, function = _RESOLVERS[scheme].partition(":")
    resolver: Callable[[str], Located] = getattr(importlib.import_module(module), function)
    return resolver(name)
