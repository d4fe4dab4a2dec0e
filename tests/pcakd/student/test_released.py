import shutil

import pytest
import torch
from safetensors.torch import load_file

from pcakd.errors import CheckpointError
from pcakd.student.checkpoint import digest_tensors, student_tensors
from pcakd.student.released import import_released

DIGESTS = {
    "vgg": "50e02e66749041574aa0f4708e7d0d5fa09c34e9e51b7675c4da22e149718c15",
    "mobilenet": "fc5d58061d68cb99e8e09972c2b288086753d26e23099ea976e0de2b77780317",
}
"""`digest_tensors` of the tensors that TensorFlow itself reads from the files."""


@pytest.mark.parametrize("backbone", ["vgg", "mobilenet"])
def test_the_tensors_are_those_that_tensorflow_reads(assets, backbone):
    checkpoint = import_released(assets / f"released_tf/{backbone}")
    assert digest_tensors(student_tensors(checkpoint.student, checkpoint.eigenbases)) == DIGESTS[backbone]


@pytest.mark.parametrize("backbone", ["vgg", "mobilenet"])
def test_every_tensor_of_the_tensorflow_files_is_read_to_the_bit(assets, backbone):
    checkpoint = import_released(assets / f"released_tf/{backbone}")
    tensors = student_tensors(checkpoint.student, checkpoint.eigenbases)
    expected = load_file(assets / f"released/{backbone}.safetensors")
    assert tensors.keys() == expected.keys()
    assert all(torch.equal(tensors[name], expected[name]) for name in expected)
    assert checkpoint.metadata.compat == "released"


def test_a_missing_file_is_named(assets, tmp_path):
    folder = tmp_path / "ckpts"
    shutil.copytree(assets / "released_tf/vgg", folder)
    (folder / "sdecoder.index").chmod(0o644)
    (folder / "sdecoder.index").unlink()
    with pytest.raises(CheckpointError, match=r"sdecoder\.index: no such file"):
        import_released(folder)


@pytest.mark.parametrize("name", ["sencoder.index", "sencoder.data-00000-of-00001"])
def test_files_cut_short_are_refused(assets, tmp_path, name):
    for file in (assets / "released_tf/vgg").iterdir():
        shutil.copyfile(file, tmp_path / file.name)
    data = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(data[: len(data) // 2])
    with pytest.raises(CheckpointError, match="sencoder"):
        import_released(tmp_path)


def test_garbage_under_the_right_names_is_refused(tmp_path):
    for name in ("sencoder", "sdecoder"):
        (tmp_path / f"{name}.index").write_bytes(b"\0" * 100)
        (tmp_path / f"{name}.data-00000-of-00001").write_bytes(b"\0" * 100)
    with pytest.raises(CheckpointError, match="not a TensorFlow checkpoint index"):
        import_released(tmp_path)
