"""How a result is written, as options."""

from dataclasses import dataclass
from typing import Annotated

from pcakd.fields import Bounds, check_fields


@dataclass(frozen=True, kw_only=True)
class WriteOptions:
    """How a result is written."""

    quality: Annotated[int, Bounds(1, 100)] = 95
    """Of JPEG, AVIF and WebP results."""

    def __post_init__(self) -> None:
        check_fields(self)
