"""Names of a package that are imported when they are asked for: PyTorch takes seconds, and a mistake in an option, or
`--help`, must not wait for it."""

import importlib
from collections.abc import Callable, Mapping
from typing import Any


def lazy_names(package: str, homes: Mapping[str, tuple[str, ...]]) -> Callable[[str], Any]:
    """A package's `__getattr__`. homes: module, as its name within the package → the names that it holds."""

    def look_up(name: str) -> Any:
        for module, names in homes.items():
            if name in names:
                return getattr(importlib.import_module(f"{package}.{module}"), name)
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    return look_up
