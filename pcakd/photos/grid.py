"""Pictures side by side, with a heading for each column."""

from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont, ImageOps

_MARGIN = 6
_HEADING = 26


def photo_grid(
    rows: Sequence[Sequence[Image.Image]], *, header: Sequence[str], cell: tuple[int, int] = (360, 240)
) -> Image.Image:
    """Rows of photos as one RGB picture; each photo is scaled to fit a cell of (width, height) pixels."""
    width, height = cell
    columns = max([len(header), *(len(row) for row in rows)])
    size = (columns * (width + _MARGIN) + _MARGIN, _HEADING + len(rows) * (height + _MARGIN) + _MARGIN)
    grid = Image.new("RGB", size, "white")
    draw, font = ImageDraw.Draw(grid), ImageFont.load_default(size=16)
    for column, text in enumerate(header):
        centre = _MARGIN + column * (width + _MARGIN) + width // 2
        draw.text((centre, _HEADING // 2 + 1), text, fill="black", font=font, anchor="mm")
    for i, row in enumerate(rows):
        for column, photo in enumerate(row):
            fitted = ImageOps.contain(photo.convert("RGB"), cell, Image.Resampling.LANCZOS)
            left = _MARGIN + column * (width + _MARGIN) + (width - fitted.width) // 2
            top = _HEADING + i * (height + _MARGIN) + (height - fitted.height) // 2
            grid.paste(fitted, (left, top))
    return grid
