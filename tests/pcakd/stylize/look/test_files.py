import numpy as np
import pytest
import torch
from PIL import Image

from pcakd.errors import CheckpointError, UsageError
from pcakd.photos.images import read_photo
from pcakd.stylize.look.files import open_look, read_look, write_look
from pcakd.stylize.look.look import IDENTITY, Look, identity_grid
from pcakd.stylize.look.lut import Lut
from tests.corpus import photograph
from tests.pcakd.stylize.look.test_slicing import some_grade, some_grid

PHOTO = np.asarray(photograph(0, 60, 80)).copy()
WARM = Look(identity_grid() * 0.7 + 0.1, some_grade(0.3), strength=0.8)


@pytest.mark.parametrize("look", [WARM, Look(some_grid(0), some_grade(0.4), strength=0.6)])
def test_a_grid_file_gives_the_same_bytes_as_the_look(look, tmp_path):
    write_look(look, tmp_path / "a.safetensors")
    assert np.array_equal(read_look(tmp_path / "a.safetensors").apply(PHOTO), look.apply(PHOTO))


@pytest.mark.parametrize("name", ["a.cube", "a.png"])
def test_a_table_gives_what_the_look_gives_nearly(name, tmp_path):
    write_look(WARM, tmp_path / name)
    error = np.abs(open_look(tmp_path / name).apply(PHOTO).astype(int) - WARM.apply(PHOTO))
    assert error.mean() < 0.5
    assert error.max() <= 6


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float32])
def test_the_identitys_table_changes_nothing(kind, tmp_path):
    write_look(IDENTITY, tmp_path / "a.cube")
    photo = (
        PHOTO.astype(np.float32) / 255 if kind is np.float32 else PHOTO.astype(kind) * (257 if kind is np.uint16 else 1)
    )
    difference = np.abs(open_look(tmp_path / "a.cube").apply(photo).astype(np.float64) - photo)
    assert difference.max() <= {np.uint8: 0, np.uint16: 1, np.float32: 1e-5}[kind]


@pytest.mark.parametrize("size", [17, 33, 65])
def test_opencolorio_applies_a_cube_file_as_it_is_applied_here(size, tmp_path):
    ocio = pytest.importorskip("PyOpenColorIO")
    write_look(WARM, tmp_path / "a.cube", size=size)
    transform = ocio.FileTransform(str(tmp_path / "a.cube"), interpolation=ocio.INTERP_LINEAR)
    processor = ocio.Config.CreateRaw().getProcessor(transform).getDefaultCPUProcessor()
    theirs = PHOTO.astype(np.float32) / 255
    ours = open_look(tmp_path / "a.cube").apply(theirs)
    processor.applyRGB(theirs)
    assert np.abs(theirs.clip(0, 1) - ours).max() < 1e-3
    assert np.abs(ours * 255 - PHOTO).mean() > 3


def test_pillow_applies_the_table_as_it_is_applied_here():
    from PIL import ImageFilter

    lut = Lut.of(WARM, 33)
    theirs = Image.fromarray(PHOTO).filter(ImageFilter.Color3DLUT(33, lut.table.reshape(-1).tolist()))
    assert np.abs(np.asarray(theirs).astype(int) - lut.apply(PHOTO)).max() <= 1


def test_a_haldclut_is_a_png_of_sixteen_bits(tmp_path):
    write_look(WARM, tmp_path / "a.png")
    photo = read_photo(tmp_path / "a.png")
    assert (photo.size, photo.rgb.dtype) == ((512, 512), np.uint16)


def test_domains_comments_and_other_sizes_of_foreign_cubes_are_read(tmp_path):
    lines = ['TITLE "a # b"', "# by hand", "LUT_3D_SIZE 2", "DOMAIN_MIN 0 0 0", "DOMAIN_MAX 2 2 2", ""]
    lines += [f"{r * 2} {g * 2} {b * 2}" for b in (0, 1) for g in (0, 1) for r in (0, 1)]
    (tmp_path / "a.cube").write_text("\r\n".join(lines))
    assert np.array_equal(open_look(tmp_path / "a.cube").apply(PHOTO), PHOTO)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "has 0 colours"),
        ("LUT_3D_SIZE 2\n0 0 0\n", "has 1 colours for LUT_3D_SIZE 2, which wants 8"),
        ("LUT_1D_SIZE 16\n", "LUT_1D"),
        ("LUT_3D_SIZE 2\nhello\n", "line 2 is 'hello'"),
        ("LUT_3D_SIZE 1000000\n0 0 0\n", "has 1 colours"),
        ("LUT_3D_SIZE 2\n" + "nan 0 0\n" * 8, "no numbers"),
        ("LUT_3D_SIZE 2\nDOMAIN_MAX 0 0 0\n" + "0 0 0\n" * 8, "domain"),
    ],
)
def test_a_file_that_is_no_cube_is_refused_in_one_line(text, said, tmp_path):
    (tmp_path / "a.cube").write_text(text)
    with pytest.raises(CheckpointError, match=r"a\.cube") as error:
        open_look(tmp_path / "a.cube")
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_other_files_are_refused(tmp_path):
    Image.fromarray(PHOTO).save(tmp_path / "photo.png")
    with pytest.raises(CheckpointError, match="no HaldCLUT"):
        open_look(tmp_path / "photo.png")
    from safetensors.torch import save_file

    save_file({"a": torch.zeros(1)}, tmp_path / "a.safetensors")
    with pytest.raises(CheckpointError, match="is not a saved look"):
        open_look(tmp_path / "a.safetensors")
    with pytest.raises(CheckpointError, match="no such file"):
        open_look(tmp_path / "b.safetensors")
    with pytest.raises(UsageError, match="suffix"):
        write_look(WARM, tmp_path / "a.lut")


def test_a_look_that_knows_place_has_no_table(tmp_path):
    with pytest.raises(UsageError, match="differs by place"):
        write_look(Look(some_grid(0)), tmp_path / "a.cube")
    with pytest.raises(UsageError, match="regions"):
        write_look(Look(identity_grid(), regions={"a": identity_grid()}), tmp_path / "a.safetensors")
