import pytest
import torch
from safetensors import safe_open

from pcakd.eigenbases.files import eigenbases_bytes, eigenbases_digest, load_eigenbases, moments_bytes, moments_from
from pcakd.eigenbases.pca import Moments, Widths, fit
from pcakd.errors import CheckpointError

TEACHER = {"id": "t", "digest": "0" * 64}


@pytest.fixture
def moments():
    moments = Moments.zeros((4, 5, 6, 7))
    moments.update([torch.rand(3, c, 9, 9, generator=torch.Generator().manual_seed(c)) for c in moments.channels])
    return moments


@pytest.fixture
def bases(moments):
    return fit(moments, Widths(channels=(1, 2, 3, 4)), teacher=TEACHER, data_digest="d")


def test_eigenbases_come_back_as_they_were_saved(tmp_path, bases):
    path = tmp_path / "eigenbases.safetensors"
    path.write_bytes(eigenbases_bytes(bases))
    loaded = load_eigenbases(path)
    for name in ("bases", "spectra", "explained", "own"):
        assert all(torch.equal(a, b) for a, b in zip(getattr(loaded, name), getattr(bases, name), strict=True))
    assert (loaded.photos, loaded.teacher, loaded.data_digest) == (3, TEACHER, "d")
    assert eigenbases_digest(loaded) == eigenbases_digest(bases)


def test_the_file_has_one_c_by_k_matrix_a_level(tmp_path, bases):
    path = tmp_path / "x.safetensors"
    path.write_bytes(eigenbases_bytes(bases))
    with safe_open(path, "pt") as file:
        assert [file.get_tensor(f"eigenbases.{i}").shape for i in range(4)] == [(4, 1), (5, 2), (6, 3), (7, 4)]


def test_equal_bases_give_equal_files(bases):
    assert eigenbases_bytes(bases) == eigenbases_bytes(bases)


def test_moments_come_back_as_they_were_saved_and_give_the_same_bases(moments, bases):
    loaded, header = moments_from(moments_bytes(moments, teacher=TEACHER, data_digest="d"), "x")
    assert header["teacher"] == TEACHER
    assert eigenbases_digest(fit(loaded, Widths(channels=(1, 2, 3, 4)))) == eigenbases_digest(bases)


@pytest.mark.parametrize("damage", ["cut", "other-kind", "missing", "text"])
def test_a_file_that_is_no_eigenbases_file_is_refused_with_its_name(tmp_path, moments, bases, damage):
    path = tmp_path / "x.safetensors"
    data = eigenbases_bytes(bases)
    if damage != "missing":
        content = {
            "cut": data[: len(data) // 2],
            "other-kind": moments_bytes(moments, teacher=TEACHER, data_digest=""),
            "text": b"hello",
        }
        path.write_bytes(content[damage])
    with pytest.raises(CheckpointError, match=r"x\.safetensors"):
        load_eigenbases(path)
