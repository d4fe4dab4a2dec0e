"""How a photo is stylized, as options: without PyTorch, so that a mistake in them is told at once."""

from dataclasses import dataclass
from typing import Annotated, Literal, get_args

from pcakd.errors import UsageError
from pcakd.fields import MEMORY, Bounds, check_fields
from pcakd.photos.photo import Depth, Gamut

Transform = Literal["zca", "ot", "adain", "lsft"]
TRANSFORMS: tuple[Transform, ...] = get_args(Transform)
Smoothing = Literal["guided", "none"]
Compat = Literal["auto", "released", "pcakd"]
Render = Literal["auto", "look", "full"]
Device = Literal["auto", "cpu", "cuda"]
DEVICES: tuple[Device, ...] = get_args(Device)
Precision = Literal["auto", "fp32", "bf16"]


@dataclass(frozen=True, kw_only=True)
class StylizeOptions:
    """How a photo is stylized."""

    transform: Transform = "zca"
    """How each level's features take the style's statistics."""
    balance: Annotated[float, Bounds(0, 1)] = 1.0
    """Of lsft alone: 0 holds the content, 1 is after the style alone. With render full it gives content back, which a
    lower strength does not."""
    strength: Annotated[float, Bounds(0, 1)] = 1.0
    """1: the full style. 0: the content as it is, where a look is applied; encoded and decoded, with render full."""
    smoothing: Smoothing = "guided"
    """guided: a guided filter restores the content's edges; none: the decoder's output as it is."""
    compat: Compat = "auto"
    """released: the paper's method alone. pcakd: where the photos show the same things, a colour grade read off
    matching places takes over. auto: what the model says: released for imported models, else pcakd."""

    depth: Depth = "same"
    """Bits a channel of PNG and TIFF results: same as the content's, 8 or 16."""

    colour: Gamut = "srgb"
    """Colour space of results. source: the content's own (Display P3, Adobe RGB, ...), colours outside sRGB kept."""

    render: Render = "auto"
    """look: the student decides on a small copy, and colour maps carry it to the photo's size; full: it stylizes every
    pixel. auto: look, but full with compat released and without smoothing."""

    def __post_init__(self) -> None:
        check_fields(self)
        if self.balance != 1 and self.transform != "lsft":
            raise UsageError(f"balance is {self.balance}: it needs transform lsft, not {self.transform}")

    def rendered_by(self, model_compat: str) -> Render:
        """ "look" or "full" for a model whose checkpoint says so."""
        if self.render != "auto":
            return self.render
        compat = model_compat if self.compat == "auto" else self.compat
        return "full" if compat == "released" or self.smoothing == "none" else "look"


@dataclass(frozen=True, kw_only=True)
class ModelChoice:
    """Which model stylizes, and how exactly it computes."""

    model: str = "vgg"
    """Built-in name (vgg, mobilenet), checkpoint file, or models:/NAME@ALIAS."""
    precision: Precision = "auto"
    """Of convolutions. fp32: exact; bf16: fastest where the processor has it, slow elsewhere; auto: bf16 where it is
    fast and hardly shows (docs/performance.md)."""

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True, kw_only=True)
class MachineLimits:
    """Where a stylizer works, and how much of the machine it may take; the results do not depend on it."""

    device: Device = "auto"
    """auto: a GPU if there is one."""
    memory_limit: Annotated[int | None, Bounds(64 << 20), MEMORY] = None
    """Memory that a stylizer should stay below, such as 2GB. Less is slower, the result is the same. Not given:
    2500MB, above 8K more."""

    def __post_init__(self) -> None:
        check_fields(self)
