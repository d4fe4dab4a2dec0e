import pytest
import torch
from safetensors.torch import save_file

from pcakd.errors import CheckpointError
from pcakd.student.checkpoint import Metadata, load_checkpoint, save_checkpoint
from pcakd.student.network import StudentSpec
from tests.models import random_checkpoint


@pytest.fixture
def saved(tmp_path):
    checkpoint = random_checkpoint("mobilenet")
    metadata = Metadata(
        spec=checkpoint.metadata.spec,
        teacher={"id": "mobilenet-v1", "digest": "ab"},
        metrics={"psnr": 31.5},
        commit="c0ffee",
        licence="MIT",
    )
    bases = {level: torch.randn(8, k) for level, k in enumerate(metadata.spec.channels)}
    path = tmp_path / "model.safetensors"
    digest = save_checkpoint(path, checkpoint.student, metadata, bases)
    return path, checkpoint, metadata, bases, digest


def test_a_checkpoint_comes_back_with_weights_bases_and_provenance(saved):
    path, checkpoint, metadata, bases, digest = saved
    loaded = load_checkpoint(path)
    assert loaded.metadata == metadata
    assert loaded.digest == digest
    for name, tensor in checkpoint.student.state_dict().items():
        assert torch.equal(loaded.student.state_dict()[name], tensor)
    for level in bases:
        assert torch.equal(loaded.eigenbases[level], bases[level])


def test_saving_the_same_model_twice_gives_the_same_bytes(saved, tmp_path):
    path, checkpoint, metadata, bases, _ = saved
    again = tmp_path / "again.safetensors"
    save_checkpoint(again, checkpoint.student.to(memory_format=torch.channels_last), metadata, bases)
    assert again.read_bytes() == path.read_bytes()


def test_a_file_cut_short_is_refused_by_name(saved, tmp_path):
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(saved[0].read_bytes()[:-100])
    with pytest.raises(CheckpointError, match=r"cut\.safetensors: is not a whole safetensors file"):
        load_checkpoint(cut)


def test_a_file_of_something_else_is_refused(tmp_path):
    other = tmp_path / "other.safetensors"
    save_file({"x": torch.zeros(3)}, str(other))
    with pytest.raises(CheckpointError, match="not a pcakd model"):
        load_checkpoint(other)
    text = tmp_path / "text.safetensors"
    text.write_text("hello")
    with pytest.raises(CheckpointError, match="is not a whole safetensors file"):
        load_checkpoint(text)


def test_a_missing_model_is_refused_with_the_built_in_choices():
    with pytest.raises(CheckpointError, match="no such model"):
        load_checkpoint("no-such-model")


def test_weights_that_are_not_finite_are_never_saved(tmp_path):
    checkpoint = random_checkpoint()
    with torch.no_grad():
        next(checkpoint.student.parameters())[0] = float("nan")
    with pytest.raises(CheckpointError, match="not finite"):
        save_checkpoint(tmp_path / "nan.safetensors", checkpoint.student, checkpoint.metadata)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ('{"format": "pcakd-student", "format_version": 99}', "newer"),
        ('{"format": "another"}', "not that of a pcakd model"),
        ("no json", "not that of a pcakd model"),
        ('{"format": "pcakd-student", "format_version": 1, "backbone": "vgg", "channels": [1]}', "channels"),
    ],
)
def test_headers_that_cannot_be_are_refused(tmp_path, header, message):
    path = tmp_path / "model.safetensors"
    save_file({"x": torch.zeros(1)}, str(path), metadata={"pcakd": header})
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(path)


def test_missing_and_misshapen_tensors_are_named(tmp_path):
    checkpoint = random_checkpoint(channels=(4, 5, 6, 7))
    wider = Metadata(spec=StudentSpec(backbone="vgg", channels=(4, 5, 6, 9)))
    path = tmp_path / "model.safetensors"
    save_checkpoint(path, checkpoint.student, wider)
    with pytest.raises(CheckpointError, match=r"encoder\.block3\.conv3\.weight"):
        load_checkpoint(path)
