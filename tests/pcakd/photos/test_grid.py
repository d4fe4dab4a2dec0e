import numpy as np
from PIL import Image

from pcakd.photos.grid import photo_grid
from tests.corpus import photograph


def test_photos_of_any_size_stand_in_equal_cells_under_their_headings():
    rows = [[photograph(0, 30, 40), photograph(1, 300, 100)], [Image.new("RGBA", (5, 5), "red")]]
    grid = photo_grid(rows, header=["content", "style"], cell=(80, 60))
    assert grid.mode == "RGB"
    assert grid.width == 2 * 80 + 3 * 6
    assert grid.height == 26 + 2 * 66 + 6
    assert len(grid.crop((0, 0, grid.width, 26)).getcolors(10_000)) > 1  # the headings are drawn


def test_a_grid_without_rows_is_its_headings():
    assert photo_grid([], header=["content"]).height == 32


def test_each_column_has_its_heading_above_it_and_photos_of_other_shapes_fit_their_cells():
    def photo(width: int, height: int) -> Image.Image:
        return Image.new("RGB", (width, height), (0, 90, 200))

    rows = [[photo(30, 20), photo(400, 10)], [photo(5, 300)]]
    without, named = (
        np.asarray(photo_grid(rows, header=header, cell=(90, 60))) for header in (["", ""], ["", "truth"])
    )
    changed = np.argwhere((without != named).any(axis=2))
    left = named.shape[1] // 2
    assert len(changed) > 20
    assert changed[:, 0].max() < 26  # above the photos
    assert changed[:, 1].min() > left
    assert (named == (0, 90, 200)).all(axis=2).sum() == 90 * 60 + 90 * 2 + 1 * 60
