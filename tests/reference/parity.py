"""Small reference pictures of the released students, and how they are made.

    python -m tests.reference.parity RELEASED [DEMO]

RELEASED holds the authors' checkpoint files in `vgg/` and `mobilenet/`. Each picture is made along the plain path in
float64. DEMO (`official_demo/reference/`) holds arrays that the authors' own TensorFlow code computed: the plain path
is held against these first, and nothing is written where it is further from them than `TOLERANCE`; it was within 8e-5,
on average 8e-6 (half a step of what they are stored in).

The photographs come with scikit-image: `coffee` (Rachel Michetti, CC0) and `astronaut` (NASA, public domain).
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from pcakd.student.network import Student
from pcakd.student.released import import_released
from pcakd.stylize.style import Style
from pcakd.stylize.transforms import Transform
from tests.reference import plain

ARRAYS = Path(__file__).parent / "arrays"
BACKBONES = ("vgg", "mobilenet")
TRANSFORMS: tuple[Transform, ...] = ("zca", "ot", "adain")
SIZES = {"small": ((48, 64), (64, 48)), "large": ((80, 112), (96, 96))}
"""Name → (height, width) of content and style; multiples of 16, as the authors' demo has them for MobileNet."""
TOLERANCE = {"vgg": (2e-3, 5e-5), "mobilenet": (2e-4, 2e-5)}
"""Largest and mean difference from a reference, on 0..1."""
FULL = 32767
"""What 1.0 is stored as: uint16 = round(x · FULL)."""


def references(backbone: str) -> Iterator[tuple[str, np.ndarray, np.ndarray, dict[str, Tensor]]]:
    """Of each size: (name, content and style uint8 H×W×3, transform → picture float32 3×H×W in [0, 1], unfiltered)."""
    for size in SIZES:
        with np.load(ARRAYS / f"{backbone}-{size}.npz") as stored:
            yield size, stored["content"], stored["style"], {name: unpacked(stored[name]) for name in TRANSFORMS}


def unpacked(stored: np.ndarray) -> Tensor:
    """uint16 H×W×3 → float32 3×H×W in [0, 1]."""
    return torch.from_numpy(stored.astype(np.float32) / FULL).permute(2, 0, 1)


@torch.no_grad()
def plainly(student: Student, content: np.ndarray, style: np.ndarray, transform: Transform) -> Tensor:
    """The plain path in float64: 3×H×W in [0, 1], before the filter. content, style: uint8 H×W×3."""
    photos = [torch.from_numpy(rgb).permute(2, 0, 1)[None].double() / 255 for rgb in (content, style)]
    levels = plain.encode_statistics(student.double(), photos[1])
    return plain.transfer(student, photos[0], Style(levels=levels, model=""), transform=transform)[0]


def shrunk(rgb: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The middle of a photograph as uint8 of (height, width): means of whole squares of pixels."""
    factor = min(rgb.shape[axis] // size[axis] for axis in (0, 1))
    height, width = (side * factor for side in size)
    top, left = (rgb.shape[0] - height) // 2, (rgb.shape[1] - width) // 2
    squares = rgb[top : top + height, left : left + width].reshape(size[0], factor, size[1], factor, 3)
    return np.rint(squares.mean(axis=(1, 3))).astype(np.uint8)


def distance(ours: Tensor, theirs: Tensor) -> tuple[float, float]:
    """Largest and mean difference."""
    difference = (ours.double() - theirs.double()).abs()
    return float(difference.max()), float(difference.mean())


def main(released: str, demo: str = "") -> None:
    from skimage import data

    photographs = data.coffee(), data.astronaut()
    for backbone in BACKBONES:
        student = import_released(Path(released) / backbone).student
        for path in sorted(Path(demo).glob(f"{backbone}_*.npz")) if demo else ():
            with np.load(path) as stored:
                for name in TRANSFORMS:
                    ours = plainly(student, stored["content"], stored["style"], name)
                    found = distance(ours, unpacked(stored[name]))
                    print(f"{path.name} {name}: largest {found[0]:.1e}, mean {found[1]:.1e}", flush=True)
                    if any(one > most for one, most in zip(found, TOLERANCE[backbone], strict=True)):
                        sys.exit(f"{path}: the plain path is not what the authors' code computes")
        for size, sides in SIZES.items():
            content, style = (shrunk(rgb, side) for rgb, side in zip(photographs, sides, strict=True))
            pictures = {
                name: (plainly(student, content, style, name) * FULL).round().permute(1, 2, 0).numpy().astype(np.uint16)
                for name in TRANSFORMS
            }
            ARRAYS.mkdir(exist_ok=True)
            np.savez_compressed(ARRAYS / f"{backbone}-{size}.npz", content=content, style=style, **pictures)  # type: ignore[arg-type]


if __name__ == "__main__":
    main(*sys.argv[1:])
