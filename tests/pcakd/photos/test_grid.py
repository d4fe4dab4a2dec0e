"""Photos side by side."""

import numpy as np
from PIL import Image

from pcakd.photos.grid import photo_grid


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
