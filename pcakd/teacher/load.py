"""From a name or a file to a frozen teacher.

A file is known by its content: the names and shapes of its tensors. Names are looked up in the folder
PCAKD_TEACHERS first, as NAME.safetensors, then as any file there whose content is that teacher.
"""

import os
import urllib.error
from collections.abc import Iterator, Mapping
from pathlib import Path

from safetensors import SafetensorError, safe_open
from torch import Tensor

from pcakd.environment import setting
from pcakd.errors import CheckpointError, TransientError, UsageError
from pcakd.student.address import is_address
from pcakd.student.checkpoint import builtin_models, digest_tensors, read_tensors
from pcakd.teacher.catalogue import TEACHERS, TeacherInfo, teacher_info
from pcakd.teacher.networks import BUILDERS, Teacher
from pcakd.teacher.student import student_teacher

# Layout → two tensors, first and last, that tell it from all others.
_MARKS: dict[str, dict[str, tuple[int, ...]]] = {
    "vgg-torchvision": {"features.0.weight": (64, 3, 3, 3), "features.19.weight": (512, 256, 3, 3)},
    "vgg-normalised": {"preprocess.weight": (3, 3, 1, 1), "conv4_1.weight": (512, 256, 3, 3)},
    "mobilenet-v1": {"conv1.weight": (32, 3, 3, 3), "conv_dw_6.weight": (256, 1, 3, 3)},
    "mobilenet-v2": {"features.0.0.weight": (32, 3, 3, 3), "features.7.conv.1.0.weight": (192, 1, 3, 3)},
}


def load_teacher(source: str | os.PathLike) -> Teacher:
    """A frozen teacher on the CPU.

    source: a name in `TEACHERS`; the path of a safetensors file; NAME=PATH, where a file's content leaves
    open which teacher it is (vgg19 and vgg19-caffe have the same tensors); a student checkpoint's path or
    built-in name, whose encoder is the teacher then.
    Raises UsageError for an unknown name or missing file, CheckpointError for a file that is no teacher,
    TransientError where a download fails.
    """
    text = os.fspath(source)
    name, separator, path = text.partition("=")
    if separator and name in TEACHERS:
        return _from_file(Path(path), teacher_info(name))
    if text in TEACHERS:
        return _from_name(teacher_info(text))
    if text in builtin_models() or is_address(text):
        return student_teacher(text)
    if Path(text).is_file():
        return _from_file(Path(text), None)
    raise UsageError(
        f"teacher {text!r} is neither a known name ({', '.join(TEACHERS)}) nor a file, "
        f"nor a built-in student ({', '.join(builtin_models()) or 'none in this build'})"
    )


def _from_name(info: TeacherInfo) -> Teacher:
    for path in _candidates(info):
        return _from_file(path, info)
    if info.torchvision:
        return _build(info, _download(info))
    raise UsageError(
        f"teacher {info.name!r} has no weights here: put a safetensors file of it into the folder that "
        f"PCAKD_TEACHERS names, or give the file's path ({info.source})"
    )


def _candidates(info: TeacherInfo) -> Iterator[Path]:
    """Files in PCAKD_TEACHERS that are this teacher, the one of its name first."""
    folder = setting("PCAKD_TEACHERS")
    if not folder:
        return
    if not Path(folder).is_dir():
        raise UsageError(f"PCAKD_TEACHERS is {folder!r}: no such folder")
    named = Path(folder) / f"{info.name}.safetensors"
    if named.is_file():
        yield named
    for path in sorted(Path(folder).glob("*.safetensors")):
        if path.stem not in TEACHERS and _layout(path) == info.layout and recognise(path) == info.name:
            yield path


def recognise(path: Path) -> str | None:
    """Name of the teacher that a safetensors file holds: one of `TEACHERS`, "student", or None.

    Raises CheckpointError for a file that is no safetensors file, UsageError where two teachers share the
    layout and the digest is not a known one.
    """
    layout = _layout(path)
    names = [info.name for info in TEACHERS.values() if info.layout == layout]
    if layout == "student" or not names:
        return layout
    if len(names) == 1:
        return names[0]
    digest = _build(TEACHERS[names[0]], read_tensors(path)[0]).digest
    for name in names:
        if digest in TEACHERS[name].digests:
            return name
    choices = " or ".join(f"{name}={path}" for name in names)
    raise UsageError(f"{path}: could be {' or '.join(names)}; say which: {choices}")


def _layout(path: Path) -> str | None:
    try:
        with safe_open(path, "pt") as file:
            shapes = {key: tuple(file.get_slice(key).get_shape()) for key in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path}: is not a safetensors file ({error})") from None
    if "encoder.block0.conv0.weight" in shapes and "encoder.block3.conv0.weight" in shapes:
        return "student"
    for layout, marks in _MARKS.items():
        if all(shapes.get(key) == shape for key, shape in marks.items()):
            return layout
    return None


def _from_file(path: Path, info: TeacherInfo | None) -> Teacher:
    if not path.is_file():
        raise UsageError(f"{path}: no such file")
    if info is None:
        found = recognise(path)
        if found == "student":
            return student_teacher(path)
        if found is None:
            raise CheckpointError(f"{path}: holds none of the known teachers ({', '.join(TEACHERS)}), nor a student")
        info = teacher_info(found)
    elif _layout(path) != info.layout:
        raise CheckpointError(f"{path}: does not hold {info.name} (its tensors are not those of {info.layout})")
    return _build(info, read_tensors(path)[0])


class _Taken(dict[str, Tensor]):
    """A state dict that notes which of its tensors are used: what lies past level 3 has no say in the digest."""

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        super().__init__(tensors)
        self.used: set[str] = set()

    def __getitem__(self, key: str) -> Tensor:
        self.used.add(key)
        return super().__getitem__(key)


def _build(info: TeacherInfo, tensors: Mapping[str, Tensor]) -> Teacher:
    taken = _Taken(tensors)
    teacher = BUILDERS[info.layout](info, taken)
    teacher.digest = digest_tensors({key: tensors[key] for key in taken.used})
    return teacher


def _download(info: TeacherInfo) -> Mapping[str, Tensor]:
    """Torchvision's weights, from its cache or its server."""
    import torchvision

    assert info.torchvision is not None
    weights = torchvision.models.get_weight(info.torchvision)
    try:
        return weights.get_state_dict(progress=False, check_hash=True, map_location="cpu")
    except (urllib.error.URLError, OSError, RuntimeError) as error:
        raise TransientError(
            f"teacher {info.name!r} could not be downloaded from {weights.url} ({error}); try again, or put a "
            f"safetensors file of it into the folder that PCAKD_TEACHERS names as {info.name}.safetensors"
        ) from None
