"""Graded pairs: content and style photos for which the right answer is known.

A photo gets a random smooth colour grade, as a photographer would give it; the grade is the style
to transfer, and the graded photo is the truth that a result is measured against.

    same    content = the photo,            style = truth = the graded photo
    across  content = its left 60 percent,  style = the graded right 60 percent,  truth = the graded left 60 percent
    apart   as *across*, with halves: content and style share no place at all
    self    content = a jittered crop,      style = another crop,                 truth = the crop before the jitter

*self* is the protocol of CanonCGT (CVPR 2026): crops of the photo as it is, without overlap, enlarged to one size.
*same* measures how faithful a method is when content and style show the same things; *across* and *apart* add
what a real pair has, other content.
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

import numpy as np
from PIL import Image
from skimage.color import hsv2rgb, rgb2hsv

from pcakd.checks import one_of
from pcakd.errors import UsageError
from pcakd.luma import REC_601

Kind = Literal["same", "across", "apart", "self"]
KINDS: tuple[Kind, ...] = get_args(Kind)
LUMA = np.array(REC_601)
CROP = 448
"""Side of the squares of *self*, pixels."""
AREAS = (0.1, 0.36)
"""Between which shares of the photo's area they lie before they are enlarged."""
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
    one_of("kind", kind, KINDS)
    if kind == "self":
        return _self_pair(rgb, name, np.random.default_rng(seed))
    graded = Grade.random(seed).apply(rgb)
    if kind == "same":
        return GradedPair(name, rgb, graded, graded)
    part = round(rgb.shape[1] * PARTS[kind])
    return GradedPair(name, rgb[:, :part], graded[:, -part:], graded[:, :part])


def _self_pair(rgb: np.ndarray, name: str, rng: np.random.Generator) -> GradedPair:
    height, width = rgb.shape[:2]
    truth, style = (
        np.asarray(Image.fromarray(rgb[y : y + side, x : x + side]).resize((CROP, CROP), Image.Resampling.BICUBIC))
        for y, x, side in apart_squares(height, width, rng)
    )
    return GradedPair(name, jittered(truth, rng), style, truth)


def apart_squares(height: int, width: int, rng: np.random.Generator) -> list[tuple[int, int, int]]:
    """(top, left, side) of two squares in a photo that do not overlap, each of a share `AREAS` of its area.

    Smaller ones in a photo so long and narrow that those have no room. Raises UsageError for a single pixel.
    """
    if max(height, width) < 2:
        raise UsageError("a photo of one pixel has no two crops: leave it out, or the kind self")
    smaller = 1.0
    while True:
        squares = []
        for share in rng.uniform(*AREAS, 2):
            side = max(1, min(int((share * height * width) ** 0.5 * smaller), height, width))
            squares.append((int(rng.integers(height - side + 1)), int(rng.integers(width - side + 1)), side))
        (y0, x0, a), (y1, x1, b) = squares
        if y0 + a <= y1 or y1 + b <= y0 or x0 + a <= x1 or x1 + b <= x0:
            return squares
        smaller *= 0.999


def jittered(rgb: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A copy of uint8 H×W×3 with brightness, contrast and saturation changed by 10 to 40 %, hue by 0.01 to 0.05 of the
    circle, each up or down."""
    brightness, contrast, saturation = 1 + rng.uniform(0.1, 0.4, 3) * rng.choice((-1, 1), 3)
    turn = rng.uniform(0.01, 0.05) * rng.choice((-1, 1))
    x = np.clip(rgb / 255 * brightness, 0, 1)
    x = np.clip((x @ LUMA).mean() * (1 - contrast) + x * contrast, 0, 1)
    x = np.clip((x @ LUMA)[..., None] * (1 - saturation) + x * saturation, 0, 1)
    hsv = rgb2hsv(x)
    hsv[..., 0] = (hsv[..., 0] + turn) % 1
    return np.rint(hsv2rgb(hsv) * 255).astype(np.uint8)
