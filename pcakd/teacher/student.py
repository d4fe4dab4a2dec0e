"""A distilled student's encoder as a teacher: cascaded distillation, or no other weights at hand."""

import os
from pathlib import Path

from torch import Tensor

from pcakd.student.address import is_address
from pcakd.student.checkpoint import digest_tensors, load_checkpoint
from pcakd.student.network import Student
from pcakd.teacher.catalogue import TeacherInfo
from pcakd.teacher.networks import Teacher


class StudentTeacher(Teacher):
    """The four encoder blocks of a student."""

    def __init__(self, student: Student, info: TeacherInfo) -> None:
        super().__init__(info)
        self.student = student
        tensors = {k: v for k, v in student.state_dict().items() if not k.startswith("decoder.")}
        self.digest = digest_tensors(tensors)
        self.freeze()

    def block(self, level: int, x: Tensor) -> Tensor:
        return self.student.encode_block(level, x)


def student_teacher(source: str | os.PathLike) -> StudentTeacher:
    """The encoder of a student checkpoint, by path or name, as a teacher."""
    checkpoint = load_checkpoint(source)
    name = checkpoint.source if is_address(checkpoint.source) else Path(os.fspath(source)).stem
    return StudentTeacher(checkpoint.student, student_info(checkpoint.student, name, checkpoint.metadata.licence))


def student_info(student: Student, name: str, licence: str) -> TeacherInfo:
    """The registry entry of a student that serves as teacher."""
    return TeacherInfo(
        name=name,
        backbone=student.spec.backbone,
        layout="student",
        channels=student.spec.channels,
        taps=("encoder.block0", "encoder.block1", "encoder.block2", "encoder.block3"),
        source="a distilled student's encoder",
        licence=licence,
        input="RGB in [0, 1]",
        padding="reflect",
    )
