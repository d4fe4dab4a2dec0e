"""Pages made of a package's templates: every value escaped, none left out unseen."""

from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from pcakd.storage.base import shown


def page_environment(package: str) -> Environment:
    """Jinja's environment for the templates that lie in a package."""
    return Environment(
        loader=PackageLoader(package, "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_printable,
    )


def _printable(value: Any) -> Any:
    """Control characters and those that turn the direction of text become visible escapes."""
    return shown(value) if isinstance(value, str) and not isinstance(value, Markup) else value
