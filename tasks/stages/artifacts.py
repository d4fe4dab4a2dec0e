"""What Prefect's interface shows of a run: text, tables, pictures within it, and links to MLflow that open from any
machine; outside a flow run nothing."""

import base64
import io
import logging
from collections.abc import Callable
from typing import Any

from PIL import Image
from prefect.artifacts import create_markdown_artifact
from prefect.context import FlowRunContext

from tasks.tracking.web import RunPage

PICTURE_SIDE = 1000
"""Longest side, pixels, of a picture within an artifact: Prefect keeps it in its database."""


def publish(create: Callable[..., Any], **fields: Any) -> None:
    """Call Prefect's `emit_event` or a `create_..._artifact`, if this is a flow run; an interface that is away must not
    fail a run whose work is done."""
    if FlowRunContext.get() is None:
        return
    try:
        create(**fields)
    except Exception as error:
        logging.getLogger("pcakd").warning("%s could not be shown: %s", fields.get("key") or fields.get("event"), error)


def publish_text(key: str, *paragraphs: str, description: str) -> None:
    """Markdown; empty paragraphs are left out."""
    text = "\n\n".join(filter(None, paragraphs))
    publish(create_markdown_artifact, key=key, markdown=text, description=description)


def picture(data: bytes, title: str) -> str:
    """An encoded picture as Markdown that holds it, shrunk where it is large."""
    return f"![{title}](data:image/webp;base64,{base64.b64encode(shrunk(data)).decode()})"


def shrunk(data: bytes, side: int = PICTURE_SIDE) -> bytes:
    """An encoded picture as a small one for a page, in WebP. side: its longest side at most, pixels."""
    image = Image.open(io.BytesIO(data)).convert("RGB")
    image.thumbnail((side, side))
    small = io.BytesIO()
    image.save(small, "WEBP", quality=80)
    return small.getvalue()


def link(words: str, url: str) -> str:
    return f"[{words}]({url})"


def links(page: RunPage | None, place: str, **files: str) -> str:
    """A line with links to a run in MLflow and to its files, words → path; and the place, as text."""
    found = [f"in `{place}`"] if place else []
    if page is not None:
        found = [link("MLflow run", page.url), *(link(words, page.file(path)) for words, path in files.items()), *found]
    return " · ".join(found)
