"""What a student is measured by while it trains, on photos that it does not train on."""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from pcakd.distillation.colouring import colourings, match_statistics
from pcakd.distillation.data import PhotoSet
from pcakd.distillation.grading import random_grade
from pcakd.distillation.recipe import Recipe
from pcakd.eigenbases.pca import Eigenbases, lift
from pcakd.errors import UsageError
from pcakd.evaluation.decibels import decibels
from pcakd.student.network import LEVELS, Student
from pcakd.teacher import Teacher

LONGEST = 256
"""Side of the square that is cut from a photo's middle, at most, pixels."""


class Validation:
    """The first photos of a held-out set, and a fixed grade for each."""

    def __init__(self, photos: PhotoSet, teacher: Teacher, bases: Eigenbases, recipe: Recipe) -> None:
        self.teacher, self.bases = teacher, bases
        count = min(recipe.validation_photos, len(photos))
        self.photos = [middle(photos[i]) for i in np.linspace(0, len(photos) - 1, count).astype(int)]
        self.graded = [random_grade(photo, torch.Generator().manual_seed(i)) for i, photo in enumerate(self.photos)]

    @torch.no_grad()
    def measure(self, student: Student, device: torch.device | str = "cpu") -> dict[str, float]:
        """Means over photos: "reconstruction" (PSNR, dB), "graded" (PSNR of transfers to a photo's own grade, no
        smoothing, dB), "distill.0" … "distill.3" (see `unexplained`)."""
        student = student.to(device)
        found: dict[str, list[float]] = {"reconstruction": [], "graded": []}
        shares = [[0.0, 0.0] for _ in range(LEVELS)]
        for photo, graded in zip(self.photos, self.graded, strict=True):
            photo, graded = photo.to(device), graded.to(device)
            found["reconstruction"].append(reconstruction(student, photo))
            found["graded"].append(_psnr(transferred(student, photo, graded), graded))
            for level, (error, power) in enumerate(distillation_errors(student, self.teacher, self.bases.bases, photo)):
                shares[level][0] += error
                shares[level][1] += power
        values = {name: sum(numbers) / len(numbers) for name, numbers in found.items()}
        values |= {f"distill.{level}": error / max(power, 1e-12) for level, (error, power) in enumerate(shares)}
        return {name: round(value, 5) for name, value in values.items()}


def middle(photo: np.ndarray) -> Tensor:
    """The middle of a photo, sides multiples of 16 up to `LONGEST`, as 1×3×H×W in [0, 1]."""
    height, width = (min(side, LONGEST) // 16 * 16 for side in photo.shape[:2])
    if min(height, width) < 32:
        raise UsageError(f"a validation photo has {photo.shape[1]}×{photo.shape[0]} pixels: use 32×32 or more")
    y, x = (photo.shape[0] - height) // 2, (photo.shape[1] - width) // 2
    part = np.ascontiguousarray(photo[y : y + height, x : x + width])
    return torch.from_numpy(part).permute(2, 0, 1)[None].float() / 255


def _psnr(result: Tensor, truth: Tensor) -> float:
    return decibels(float(F.mse_loss(result.clamp(0, 1), truth)))


def reconstruction(student: Student, photo: Tensor) -> float:
    """PSNR in dB of a photo 1×3×H×W in [0, 1] through encoder and decoder."""
    return _psnr(student(photo), photo)


def transferred(student: Student, content: Tensor, style: Tensor) -> Tensor:
    """Content 1×3×H×W with the style's statistics at all levels (ZCA), no smoothing, unclipped."""
    encoded, styles = student.encode(content), colourings(student.encode(style).features)
    x = encoded.features[-1]
    for level in reversed(range(LEVELS)):
        x = student.decode_block(level, match_statistics(x, styles[level]), encoded.residuals[level])
    return x


@torch.no_grad()
def distillation_errors(
    student: Student, teacher: Teacher, bases: list[Tensor], photo: Tensor
) -> list[tuple[float, float]]:
    """Level l: (Σ‖F̄ - V s̄‖², Σ‖F̄‖²) of a photo 1×3×H×W, both centred over positions, divided by positions."""
    ours, theirs = student.encode(photo).features, teacher.features(photo)
    found = []
    for s, f, basis in zip(ours, theirs, bases, strict=True):
        s, f = s - s.mean((2, 3), keepdim=True), f - f.mean((2, 3), keepdim=True)
        error = (f - lift(s, basis.to(s))).square().sum(1).mean()
        found.append((float(error), float(f.square().sum(1).mean())))
    return found


def unexplained(student: Student, teacher: Teacher, bases: list[Tensor], photos: list[Tensor]) -> list[float]:
    """Level l: share of the teacher's centred feature variance that the student, lifted by V_l, leaves unexplained."""
    totals = torch.zeros(LEVELS, 2, dtype=torch.float64)
    for photo in photos:
        totals += torch.tensor(distillation_errors(student, teacher, bases, photo), dtype=torch.float64)
    return (totals[:, 0] / totals[:, 1].clamp_min(1e-12)).tolist()
