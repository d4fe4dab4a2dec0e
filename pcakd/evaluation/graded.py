"""Graded pairs: content and style photos for which the right answer is known.

A photo gets a random smooth colour grade, as a photographer would give it; the grade is the style
to transfer, and the graded photo is the truth that a result is measured against.

    same    content = the photo,            style = truth = the graded photo
    across  content = its left 60 percent,  style = the graded right 60 percent,  truth = the graded left 60 percent
    apart   as *across*, with halves: content and style share no place at all

*same* measures how faithful a method is when content and style show the same things; *across* and *apart* add
what a real pair has, other content.
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from pcakd.checks import one_of
from pcakd.errors import UsageError

Kind = Literal["same", "across", "apart"]
KINDS: tuple[Kind, ...] = ("same", "across", "apart")
LUMA = np.array([0.299, 0.587, 0.114])
PARTS: dict[str, float] = {"across": 0.6, "apart": 0.5}
"""Share of the photo's width that content and style each show."""


class GradedPair(NamedTuple):
    """One pair, all uint8 H×W×3 RGB; truth has the content's size."""

    name: str
    content: np.ndarray
    style: np.ndarray
    truth: np.ndarray


@dataclass(frozen=True, kw_only=True)
class Grade:
    """One smooth colour grade; the defaults change nothing."""

    gains: tuple[float, float, float] = (1.0, 1.0, 1.0)
    """Factor of red, green, blue: white balance and exposure."""
    gamma: float = 1.0
    """Exponent of the samples: above 1 darkens the middle tones."""
    contrast: float = 0.0
    """Weight of an S-curve, -1 (flat) to 1 (steep)."""
    saturation: float = 1.0
    """Factor of the distance from grey."""
    shadows: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Tint added where the photo is dark (split toning)."""
    highlights: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Tint added where the photo is bright."""

    def __post_init__(self) -> None:
        if min(self.gains) <= 0 or self.gamma <= 0 or self.saturation < 0:
            raise UsageError(f"grade {self}: gains and gamma are above 0, saturation is 0 or more")
        if not -1 <= self.contrast <= 1:
            raise UsageError(f"contrast is {self.contrast}: give a number from -1 to 1")

    @classmethod
    def random(cls, seed: int | tuple[int, ...]) -> "Grade":
        """A grade of ordinary strength; the same for the same seed on every machine."""
        rng = np.random.default_rng(seed)
        exposure = np.exp(rng.normal(0, 0.15))
        gains = exposure * np.exp(rng.normal(0, 0.18, 3))
        tint = rng.normal(0, 0.06, (2, 3))
        tint -= tint.mean(axis=1, keepdims=True)
        return cls(
            gains=tuple(map(float, gains)),  # type: ignore[arg-type]
            gamma=float(np.exp(rng.normal(0, 0.30))),
            contrast=float(rng.uniform(-0.6, 0.6)),
            saturation=float(np.exp(rng.normal(0, 0.40))),
            shadows=tuple(map(float, tint[0])),  # type: ignore[arg-type]
            highlights=tuple(map(float, tint[1])),  # type: ignore[arg-type]
        )

    def apply(self, rgb: np.ndarray) -> np.ndarray:
        """Graded copy of a photo, uint8 H×W×3; samples that leave the range are clipped."""
        x = rgb.astype(np.float64) / 255
        x = np.clip(x * np.array(self.gains), 0, 1) ** self.gamma
        x += self.contrast * (3 * x**2 - 2 * x**3 - x)  # smoothstep; its mirror image below zero
        luma = (x @ LUMA)[..., None]
        x = luma + self.saturation * (x - luma)
        x += (1 - luma) ** 2 * np.array(self.shadows) + luma**2 * np.array(self.highlights)
        return np.rint(x.clip(0, 1) * 255).astype(np.uint8)


def graded_pair(rgb: np.ndarray, kind: Kind, *, name: str, seed: int | tuple[int, ...]) -> GradedPair:
    """The pair of one photo, uint8 H×W×3, and one seed."""
    graded = Grade.random(seed).apply(rgb)
    if kind == "same":
        return GradedPair(name, rgb, graded, graded)
    one_of("kind", kind, KINDS)
    part = round(rgb.shape[1] * PARTS[kind])
    return GradedPair(name, rgb[:, :part], graded[:, -part:], graded[:, :part])
