"""A finished distillation in pictures: loss curves, and photos before and after training."""

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from pcakd.distillation.validation import transferred
from pcakd.student.network import Student

LOSSES = ("distill", "image", "feature", "perceptual", "graded", "style", "structure")
WINDOW = 25
"""Steps over which the curves are averaged."""


def loss_curves(history: Sequence[dict[str, Any]], *, title: str) -> bytes:
    """PNG: every loss against the step, and what was measured on held-out photos."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    for name in LOSSES:
        points = [(row["step"], row[name]) for row in history if name in row]
        if points:
            steps, values = zip(*points, strict=True)
            width = min(WINDOW, len(values))
            smooth = np.convolve(values, np.ones(width) / width, mode="valid")
            left.plot(steps[width - 1 :], smooth, label=name, linewidth=1.2)
    left.set(yscale="log", xlabel="step", title=f"losses, mean of {WINDOW} steps")
    left.legend()
    measured = [(row["step"], row["validation"]) for row in history if row.get("validation")]
    for name in ("reconstruction", "graded"):
        right.plot([step for step, _ in measured], [v[name] for _, v in measured], "o-", label=f"{name}, dB")
    right.set(xlabel="step", title="held-out photos", ylabel="PSNR, dB")
    right.legend()
    for axes in (left, right):
        axes.grid(alpha=0.3)
    figure.suptitle(title)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110, metadata={"Software": None})
    return buffer.getvalue()


@torch.no_grad()
def before_after(before: Student, after: Student, photos: Sequence[Tensor], graded: Sequence[Tensor]) -> bytes:
    """PNG, a row a photo: photo, reconstruction before and after training, its grade, transfer before and after.

    photos, graded: 1×3×H×W in [0, 1].
    """
    rows = []
    for photo, grade in zip(photos, graded, strict=True):
        shown = [photo, before(photo), after(photo), grade]
        shown += [transferred(before, photo, grade), transferred(after, photo, grade)]
        rows.append(np.concatenate([_pixels(x) for x in shown], axis=1))
    width = max(row.shape[1] for row in rows)
    rows = [np.pad(row, ((0, 0), (0, width - row.shape[1]), (0, 0)), constant_values=255) for row in rows]
    buffer = io.BytesIO()
    Image.fromarray(np.concatenate(rows)).save(buffer, "PNG")
    return buffer.getvalue()


def _pixels(x: Tensor) -> np.ndarray:
    return (x[0].clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()
