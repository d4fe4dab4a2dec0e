import io

import numpy as np
import pytest
import torch
from PIL import Image

from pcakd.errors import PhotoError, UsageError
from pcakd.stylize.masks import read_mask


def test_flat_colours_are_labels_and_black_is_none():
    picture = np.zeros((4, 6, 3), np.uint8)
    picture[:, :2], picture[:, 2:4] = (255, 0, 0), (0, 200, 0)
    mask = read_mask(picture)
    assert set(mask.labels) == {"255,0,0", "0,200,0"}
    assert torch.allclose(mask.weights.sum(0)[:, :4], torch.ones(4, 4), atol=1e-4)
    assert mask.weights.sum(0)[:, 4:].max() < 1e-4


def test_grey_levels_of_a_label_picture_are_labels():
    mask = read_mask(np.array([[0, 1, 2, 2]], np.uint8))
    assert mask.labels == ("1,1,1", "2,2,2")
    assert mask.weights.tolist() == [[[0, 1, 0, 0]], [[0, 0, 1, 1]]]


def palette_mask(format: str | None = None):
    """Indices 0, 1, 1, 3; index 0 is red. As a PIL image, or as a file's bytes."""
    palette = Image.new("P", (4, 1))
    palette.putdata([0, 1, 1, 3])
    palette.putpalette([255, 0, 0, 200, 10, 10, 0, 0, 0, 10, 10, 200])
    if format is None:
        return palette
    buffer = io.BytesIO()
    palette.save(buffer, format)
    return buffer.getvalue()


@pytest.mark.parametrize("format", [None, "PNG", "GIF", "TIFF", "path"])
def test_palette_index_0_is_no_label_through_every_door(format, tmp_path):
    mask = palette_mask("PNG" if format == "path" else format)
    if format == "path":
        (tmp_path / "mask.png").write_bytes(mask)
        mask = tmp_path / "mask.png"
    found = read_mask(mask)
    assert set(found.labels) == {"200,10,10", "10,10,200"}
    assert found.weights.sum(0)[0, 0] < 1e-4
    assert found.weights.sum(0)[0, 1:].min() > 0.99


def test_transparent_parts_are_no_label():
    picture = np.full((2, 4, 4), 255, np.uint8)
    picture[:, :2, :3], picture[:, 2:, :3] = (255, 0, 0), (0, 0, 255)
    picture[:, :2, 3] = 0
    assert read_mask(picture).labels == ("0,0,255",)


def test_a_jpeg_whose_noise_makes_labels_is_refused_in_one_line(tmp_path):
    picture = np.zeros((64, 64), np.uint8)
    picture[:, 20:40], picture[:, 40:] = 90, 200
    path = tmp_path / "labels.jpg"
    Image.fromarray(picture).save(path, quality=60)
    with pytest.raises(UsageError, match=r"labels\.jpg: the noise of its lossy format"):
        read_mask(path)
    Image.fromarray(picture).save(path.with_suffix(".png"))
    assert len(read_mask(path.with_suffix(".png")).labels) == 2


def test_a_smooth_grey_picture_is_one_soft_region():
    ramp = np.arange(256, dtype=np.uint8)[None].repeat(3, 0)
    mask = read_mask(ramp)
    assert mask.labels == ("255,255,255",)
    torch.testing.assert_close(mask.weights[0, 0], torch.linspace(0, 1, 256))


def test_soft_borders_between_colours_are_shared_by_both():
    small = np.zeros((20, 20, 3), np.uint8)
    small[:, :10], small[:, 10:] = (255, 0, 0), (0, 0, 255)
    soft = np.asarray(Image.fromarray(small).resize((400, 400), Image.Resampling.BILINEAR))
    mask = read_mask(soft)
    assert set(mask.labels) == {"255,0,0", "0,0,255"}
    middle = mask.weights[:, 200, 195:205]
    assert (middle > 0.01).all()
    torch.testing.assert_close(mask.weights.sum(0), torch.ones(400, 400), atol=1e-3, rtol=0)


def test_weights_keep_their_shares_at_any_size():
    mask = read_mask(np.array([[1, 2], [2, 2]], np.uint8))
    for size in [(1, 1), (2, 2), (7, 9)]:
        weights = mask.resized(*size)
        assert weights.shape == (2, *size)
        torch.testing.assert_close(weights.sum(0), torch.ones(size))


@pytest.mark.parametrize("empty", [np.zeros((8, 8), np.uint8), Image.new("RGB", (8, 8)), Image.new("RGBA", (8, 8))])
def test_a_mask_without_any_label_is_one_line(empty):
    with pytest.raises(UsageError, match="has no label: all of it is black or transparent"):
        read_mask(empty, name="m.png")


def test_a_photograph_is_no_mask():
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    with pytest.raises(UsageError, match="flat colour"):
        read_mask(noise)


def test_a_damaged_mask_is_refused_as_a_photo_is():
    buffer = io.BytesIO()
    Image.new("RGB", (50, 50), "red").save(buffer, "PNG")
    with pytest.raises(PhotoError):
        read_mask(buffer.getvalue()[:40])
