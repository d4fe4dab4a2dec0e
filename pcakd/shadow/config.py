"""What a shadow run is told."""

from dataclasses import dataclass
from typing import Annotated

from pcakd.bulk.styles import StyleSpec, parse_styles
from pcakd.errors import UsageError
from pcakd.fields import Bounds, check_fields
from pcakd.stylize.options import StylizeOptions


@dataclass(frozen=True, kw_only=True)
class ShadowJob(StylizeOptions):
    """Two students on the same photos."""

    challenger: str
    """models:/NAME@ALIAS, models:/NAME/VERSION, or a checkpoint file."""
    source: str
    """Folder or s3://bucket/prefix with photos as production has them."""
    styles: tuple[str, ...]
    """Style photo as PLACE or NAME=PLACE, a file or s3:// address; again for more, each photo in every style."""
    champion: str = ""
    """Beside whom; not given: the champion of the challenger's registered model."""
    sample: Annotated[int, Bounds(1, 100_000)] = 200
    """How many photos of the source, chosen by their keys: the same ones each time."""
    include: tuple[str, ...] = ()
    """Take only keys that a glob matches, as 'album/*.jpg'; not given: all."""
    exclude: tuple[str, ...] = ()
    """Leave out keys that a glob matches."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_fields(self)
        for name in ("challenger", "source"):
            if not getattr(self, name):
                raise UsageError(f"{name} is empty: give one")
        object.__setattr__(self, "styles", tuple(self.styles))
        self.style_specs()

    def style_specs(self) -> dict[str, StyleSpec]:
        """Name → style. Raises UsageError."""
        return parse_styles(self.styles, "each", ())
