"""Teachers: frozen ImageNet encoders, each cut into four blocks (levels 0..3).

    teacher = load_teacher("vgg19-normalised")
    f0, f1, f2, f3 = teacher.features(photo)     # photo N×3×H×W, RGB in [0, 1]

`TEACHERS` says of each name where its weights come from, under which licence, and what input they expect.
"""

from pcakd.teacher.catalogue import TEACHERS, TeacherInfo, teacher_info
from pcakd.teacher.load import load_teacher
from pcakd.teacher.networks import Teacher

__all__ = ["TEACHERS", "Teacher", "TeacherInfo", "load_teacher", "teacher_info"]
