"""What Prefect's interface shows of a run: links and tables; outside a flow run nothing."""

import logging
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from prefect.artifacts import create_link_artifact
from prefect.context import FlowRunContext


def publish(create: Callable[..., Any], **fields: Any) -> None:
    """Call one of Prefect's `create_..._artifact`; an interface that is away must not fail a run whose work is done."""
    try:
        create(**fields)
    except Exception as error:
        logging.getLogger("pcakd").warning("the artifact %s could not be shown: %s", fields["key"], error)


def publish_link(key: str, place: str, description: str) -> None:
    """A link to a file or object, if this is a flow run."""
    if FlowRunContext.get() is not None:
        publish(create_link_artifact, key=key, link=link(place), description=description)


def link(place: str) -> str:
    """A place as a link."""
    return place if re.match(r"[a-z0-9]+://", place) else Path(place).as_uri()
