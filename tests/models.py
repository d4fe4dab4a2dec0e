"""Small students for tests that need no trained weights."""

import torch

from pcakd.student.checkpoint import Checkpoint, Metadata, digest_tensors, student_tensors
from pcakd.student.network import Student, StudentSpec


def random_checkpoint(backbone: str = "vgg", channels=(4, 5, 6, 7), seed: int = 0) -> Checkpoint:
    """A student with seeded random weights, in eval mode."""
    torch.manual_seed(seed)
    spec = StudentSpec(backbone=backbone, channels=channels)
    student = Student(spec).eval().requires_grad_(False)
    return Checkpoint(student, Metadata(spec=spec), {}, digest_tensors(student_tensors(student)))
