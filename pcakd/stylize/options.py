"""How a photo is stylized, as options: without PyTorch, so that a mistake in them is told at once."""

from dataclasses import dataclass
from typing import Literal

from pcakd.checks import one_of
from pcakd.errors import UsageError
from pcakd.photos.photo import DEPTHS, GAMUTS, Depth, Gamut

Transform = Literal["zca", "ot", "adain"]
TRANSFORMS: tuple[Transform, ...] = ("zca", "ot", "adain")
Smoothing = Literal["guided", "none"]
Compat = Literal["auto", "released", "pcakd"]
Device = Literal["auto", "cpu", "cuda"]
COMPATS: tuple[Compat, ...] = ("auto", "released", "pcakd")
SMOOTHINGS: tuple[Smoothing, ...] = ("guided", "none")
DEVICES: tuple[Device, ...] = ("auto", "cpu", "cuda")


@dataclass(frozen=True, kw_only=True)
class StylizeOptions:
    """How a photo is stylized."""

    transform: Transform = "zca"
    """Feature transform: "zca", "ot" (optimal transport) or "adain"."""
    strength: float = 1.0
    """0: the content through encoder and decoder; 1: the full style."""
    smoothing: Smoothing = "guided"
    """"guided": a guided filter restores the content's edges; "none": the decoder's output as it is."""

    compat: Compat = "auto"
    """"released": the paper's method alone; "pcakd": where the photos show the same things, a grade read off
    matching places takes over (see `pcakd.stylize.matched_grade`); "auto": what the model's checkpoint says."""

    depth: Depth = "same"
    """Bits a channel of the result: "same" as the content's, "8" or "16", where the format has them."""

    colour: Gamut = "srgb"
    """Colour space of the result: "srgb", or "source": the content's own RGB space, with what lies outside sRGB."""

    def __post_init__(self) -> None:
        one_of("depth", self.depth, DEPTHS)
        one_of("colour", self.colour, GAMUTS)
        if self.compat not in COMPATS:
            raise UsageError(f"compat is {self.compat!r}: use one of {', '.join(COMPATS)}")
        if self.transform not in TRANSFORMS:
            raise UsageError(f"transform is {self.transform!r}: use one of {', '.join(TRANSFORMS)}")
        if not 0 <= self.strength <= 1:
            raise UsageError(f"strength is {self.strength}: give a number from 0 to 1")
        if self.smoothing not in SMOOTHINGS:
            raise UsageError(f"smoothing is {self.smoothing!r}: use one of {', '.join(SMOOTHINGS)}")
