"""What the pipeline adds to the page: registered models, bulk jobs on Prefect, votes in MLflow.

This package knows none of them. Whoever does adds itself here, as text, so that nothing is imported before a page asks:

    register_services("tasks.page.services:open_services")
"""

import importlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from pcakd.errors import UsageError


class Elsewhere(NamedTuple):
    """What was made in another program. link: where to look at it, "" for nowhere."""

    name: str
    link: str


class PageServices(Protocol):
    """What a page may ask of the pipeline; every method blocks, and raises PcakdError for what is away."""

    def models(self) -> list[str]:
        """Addresses of registered models: their aliases, then their versions."""

    def start_bulk(self, values: Mapping[str, Any], styles: Sequence[tuple[str, bytes]]) -> Elsewhere:
        """Start a bulk job with these fields of a `BucketJob`, all but its styles, which are (name, encoded photo)."""

    def save_votes(self, votes: Sequence[Mapping[str, Any]]) -> Elsewhere:
        """Keep votes as a table."""


_OPENER: list[str] = []


def register_services(target: str) -> None:
    """Let "module:function" give the services: () → `PageServices`, or None where the pipeline is not installed."""
    _OPENER[:] = [target]


def open_services() -> PageServices | None:
    """The services, None where there are none."""
    if not _OPENER:
        return None
    module, _, function = _OPENER[0].partition(":")
    return getattr(importlib.import_module(module), function)()


def needed(services: PageServices | None) -> PageServices:
    """Raises UsageError where there are none."""
    if services is None:
        raise UsageError('this needs the pipeline, which is not installed here: pip install "pcakd[pipeline]"')
    return services
