import dataclasses

import numpy as np
import torch

from pcakd.distillation.students import measure_student
from pcakd.distillation.validation import middle
from pcakd.teacher.student import StudentTeacher, student_info
from tests.corpus import photograph
from tests.models import random_checkpoint

PHOTOS = [middle(np.array(photograph(i, 64, 80))) for i in range(3)]


def with_origin(**teacher: str):
    checkpoint = random_checkpoint("vgg")
    bases = {level: torch.eye(width) for level, width in enumerate(checkpoint.metadata.spec.channels)}
    return checkpoint._replace(eigenbases=bases, metadata=dataclasses.replace(checkpoint.metadata, teacher=teacher))


def test_a_student_that_is_its_own_teacher_leaves_nothing_unexplained():
    checkpoint = with_origin(id="itself")
    itself = StudentTeacher(checkpoint.student, student_info(checkpoint.student, "itself", "MIT"))
    found = measure_student(checkpoint, PHOTOS, [itself])
    assert all(found[f"unexplained.{level}"] < 1e-6 for level in range(4))
    assert 0 < found["reconstruction"] < 40


def test_without_its_teacher_a_student_is_measured_by_its_reconstruction_alone():
    checkpoint = with_origin(id="itself", digest="of other weights")
    itself = StudentTeacher(checkpoint.student, student_info(checkpoint.student, "itself", "MIT"))
    itself.digest = "of these"
    for teachers in ([], [itself]):
        assert list(measure_student(checkpoint, PHOTOS, teachers)) == ["reconstruction"]
