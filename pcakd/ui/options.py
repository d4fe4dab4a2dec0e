"""What `pcakd ui` is told: without FastAPI, so that a mistake in it is told at once."""

import ipaddress
from dataclasses import dataclass
from typing import Annotated

from pcakd.errors import UsageError
from pcakd.fields import MEMORY, Bounds, check_fields

PORT = 7860
PAGE_MODELS = ("vgg", "mobilenet")


@dataclass(frozen=True, kw_only=True)
class PageOptions:
    """What the page offers, to whom."""

    model: tuple[str, ...] = ()
    """Model to choose from, the first to begin with: built-in name, checkpoint file, or models:/NAME@ALIAS; again for
    more.  [default: vgg, mobilenet]"""
    photos: str | None = None
    """Folder or s3://bucket/prefix to browse."""
    host: str = "127.0.0.1"
    """Address to listen on. Any but a loopback one lets others in: give --user, too."""
    port: Annotated[int, Bounds(0, 65535)] = PORT
    """Port to listen on; 0: one that is free."""
    name: tuple[str, ...] = ()
    """Host name under which browsers reach the page, beside localhost, this machine's name and plain addresses; again
    for more."""
    user: str | None = None
    """Ask for this user's password, which is read from PCAKD_UI_PASSWORD."""
    max_upload: Annotated[int, Bounds(1 << 20), MEMORY] = 200 << 20
    """Largest photo that is taken, such as 500MB; not given: 200MB."""
    max_pixels: Annotated[int, Bounds(1)] = 1 << 27
    """Refuse photos of more pixels; 16K has 133 million."""

    def __post_init__(self) -> None:
        check_fields(self)
        if self.user is not None and (not self.user or ":" in self.user):
            raise UsageError(f"user is {self.user!r}: give a name without a colon")

    @property
    def models(self) -> tuple[str, ...]:
        return self.model or PAGE_MODELS

    @property
    def loopback(self) -> bool:
        """Whether nobody but this machine can reach the page."""
        return is_loopback(self.host)


def is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
