"""What a student is by itself, before any transfer: how it gives a photo back, and what it keeps of its teacher."""

from collections.abc import Sequence

import torch

from pcakd.distillation.validation import reconstruction, unexplained
from pcakd.student.checkpoint import Checkpoint
from pcakd.student.network import LEVELS
from pcakd.teacher import Teacher


@torch.inference_mode()
def measure_student(
    checkpoint: Checkpoint, photos: Sequence[torch.Tensor], teachers: Sequence[Teacher]
) -> dict[str, float]:
    """Scores by name: "reconstruction" (mean PSNR, dB) and, where the checkpoint has its bases and its teacher is among
    `teachers`, "unexplained.0" ... "unexplained.3" (see `pcakd.distillation.validation.unexplained`).

    photos: 1×3×H×W in [0, 1], see `pcakd.distillation.validation.middle`.
    """
    student = checkpoint.student.cpu()
    found = {"reconstruction": sum(reconstruction(student, photo) for photo in photos) / len(photos)}
    own = checkpoint.metadata.teacher
    # Models imported from the paper's files know their teacher's name alone.
    teacher = next((t for t in teachers if t.name == own.get("id") and own.get("digest", t.digest) == t.digest), None)
    if teacher is not None and len(checkpoint.eigenbases) == LEVELS:
        bases = [checkpoint.eigenbases[level] for level in range(LEVELS)]
        shares = unexplained(student, teacher, bases, list(photos))
        found |= {f"unexplained.{level}": share for level, share in enumerate(shares)}
    return found
