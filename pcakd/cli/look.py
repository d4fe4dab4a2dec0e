"""`pcakd look` and `pcakd apply`: looks as files."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from pcakd.cli.options import field_option, field_options
from pcakd.cli.stylize import (
    contents_argument,
    find_photos,
    for_each_photo,
    load_stylizer,
    plan_outputs,
    style_option,
    write_photo,
)
from pcakd.errors import UsageError
from pcakd.fields import chosen
from pcakd.photos.images import max_pixels_default, read_photo
from pcakd.photos.options import WriteOptions
from pcakd.photos.photo import Photo
from pcakd.photos.write import check_writable, format_for
from pcakd.stylize.options import MachineLimits, ModelChoice, StylizeOptions

if TYPE_CHECKING:
    from pcakd.stylize.look.look import Look
    from pcakd.stylize.style import Style
    from pcakd.stylize.stylizer import Stylizer

COMPARED = 16
"""Photos that a table's distance is measured on, at most."""


@click.command("look")
@contents_argument
@style_option
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="NAME.cube: a table of colours; NAME.png: the same as HaldCLUT; NAME.safetensors: a grid, for `pcakd apply`.",
)
@click.option(
    "--size", type=click.Choice(["17", "33", "65"]), default="33", show_default=True, help="Of a .cube table."
)
@field_option(ModelChoice, "model")
@field_options(StylizeOptions, "transform", "balance", "strength", "compat")
@field_option(MachineLimits, "device")
def look_command(contents: tuple[Path, ...], styles: tuple[Path, ...], out: Path, size: str, **declared: Any) -> int:
    """Save what a style does to a photo, or to a series of photos.

    A table (.cube, .png) is one function of colour, whatever the place: for one content the nearest to its result, for
    several the look that they share (as `stylize --same-look`). How far it is from what `pcakd stylize` makes of the
    contents is printed: where place matters, the 95th percentile says so. A grid (.safetensors) of one content keeps
    place; of several, it is the shared look.

    \b
    Examples:
      pcakd look street.jpg --style evening.jpg --out evening.cube
      pcakd look album/ --style evening.jpg --out album.png
    """
    from pcakd.stylize.look.files import check_suffix, write_look

    suffix = check_suffix(out)
    options = chosen(StylizeOptions, declared | {"render": "look"})
    photos, _, _ = find_photos(contents)
    stylizer = load_stylizer(chosen(ModelChoice, declared | {"precision": "auto"}), chosen(MachineLimits, declared))
    style = pooled_style(stylizer, styles)
    if suffix == ".safetensors" and len(photos) == 1:
        look = stylizer.look(photos[0], style, options)
    else:
        look = stylizer.colour_look(photos, style, options)
    write_look(look, out, size=int(size))
    click.echo(str(out))
    if not look.knows_place:
        mean, high, count = distance(stylizer, look, photos, style, options)
        click.echo(
            f"from the full result on {count} photo{'s' * (count > 1)}: ΔE {mean:.1f} in the mean, "
            f"{high:.1f} at the 95th percentile (around 1 is just seen)"
        )
    return 0


def pooled_style(stylizer: "Stylizer", styles: tuple[Path, ...]) -> "Style":
    """The style of style photos and saved styles together, for looks."""
    from pcakd.stylize.style import Style, mix_styles

    return mix_styles(
        [Style.load(path) if path.suffix == ".safetensors" else stylizer.style(path, render="look") for path in styles]
    )


def distance(
    stylizer: "Stylizer", look: "Look", photos: tuple[Path, ...], style: "Style", options: StylizeOptions
) -> tuple[float, float, int]:
    """(mean, 95th percentile, photos) of the CIEDE2000 differences of a look from each photo's own, on small copies."""
    from skimage.color import deltaE_ciede2000, rgb2lab

    from pcakd.photos.hidden import without_hidden
    from pcakd.stylize.look.decide import Small, spread_over

    found = []
    for number in spread_over(len(photos))[:COMPARED]:
        photo = without_hidden(read_photo(photos[number]))
        small = np.ascontiguousarray(Small.of(photo).pixels.numpy())
        own = stylizer.look(photo, style, options).apply(small)
        found.append(deltaE_ciede2000(rgb2lab(own), rgb2lab(look.apply(small))).ravel())
    together = np.concatenate(found)
    return float(together.mean()), float(np.quantile(together, 0.95)), len(found)


@click.command("apply")
@click.argument("look", type=click.Path(path_type=Path), metavar="LOOK")
@click.argument("contents", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="CONTENT...")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="File for one content; folder for several (made if missing).  [default: NAME.stylized.SUFFIX here]",
)
@click.option("--strength", type=click.FloatRange(0, 1), help="0: the content as it is; 1: the whole look.")
@field_options(StylizeOptions, "depth")
@field_options(WriteOptions)
@click.option("--max-pixels", type=click.IntRange(1), help="Refuse photos of more pixels.  [default: 268435456]")
def apply_command(
    look: Path,
    contents: tuple[Path, ...],
    out: Path | None,
    strength: float | None,
    max_pixels: int | None,
    **declared: Any,
) -> int:
    """Give photos a look: a grid of `pcakd look`, any 3D .cube, or a HaldCLUT picture. No model is needed.

    \b
    Examples:
      pcakd apply evening.cube album/*.jpg --out graded/
      pcakd apply street.safetensors street-large.tif --out street-evening.tif
    """
    from pcakd.stylize.look.files import open_look
    from pcakd.stylize.look.look import Look

    depth, writing = declared["depth"], chosen(WriteOptions, declared)
    photos, names, left_out = find_photos(contents)
    targets = plan_outputs(photos, out, names)
    opened = open_look(look)
    if isinstance(opened, Look):
        opened = opened if strength is None else opened.at(strength)
    elif strength is not None:
        raise UsageError("--strength mixes the maps of a grid; a table has the strength that it was saved with")
    limit = max_pixels or max_pixels_default()

    def one(content: Path, target: Path) -> None:
        photo = read_photo(content, max_pixels=limit, depth=depth)
        check_writable(photo, format_for(target), str(content))
        write_photo(in_look(photo), content, target, writing.quality)

    def in_look(photo: Photo) -> Photo:
        pages = [page.with_pixels(opened.apply(page.rgb, out=page.rgb)) for page in photo.pages]
        return replace(pages[0], frames=tuple(pages[1:]), timing=photo.timing)

    return for_each_photo(one, list(zip(photos, targets, strict=True)), left_out)
