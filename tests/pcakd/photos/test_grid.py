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
