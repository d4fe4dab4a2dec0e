"""Options that several commands share."""

import click

from pcakd.errors import UsageError
from pcakd.photos.photo import DEPTHS, GAMUTS
from pcakd.stylize.options import COMPATS, DEVICES, SMOOTHINGS, TRANSFORMS
from pcakd.units import parse_memory


class MemorySize(click.ParamType):
    """Bytes, written as 1500MB, 2GB or 2.5GiB."""

    name = "SIZE"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        try:
            return parse_memory(str(value))
        except UsageError as error:
            self.fail(str(error), param, ctx)


model_option = click.option(
    "--model",
    default="vgg",
    show_default=True,
    help="Built-in name (vgg, mobilenet), checkpoint file, or models:/NAME@ALIAS.",
)
transform_option = click.option(
    "--transform",
    type=click.Choice(TRANSFORMS),
    default="zca",
    show_default=True,
    help="How each level's features take the style's statistics.",
)
strength_option = click.option(
    "--strength", type=float, default=1.0, show_default=True, help="0: the content, encoded and decoded; 1: full style."
)
smoothing_option = click.option(
    "--smoothing",
    type=click.Choice(SMOOTHINGS),
    default="guided",
    show_default=True,
    help="guided: a guided filter restores the content's edges.",
)
compat_option = click.option(
    "--compat",
    type=click.Choice(COMPATS),
    default="auto",
    show_default=True,
    help="released: the paper's method alone. pcakd: where the photos show the same things, a colour grade read off "
    "matching places takes over. auto: released for imported models, else pcakd.",
)
depth_option = click.option(
    "--depth",
    type=click.Choice(DEPTHS),
    default="same",
    show_default=True,
    help="Bits a channel of PNG and TIFF results: same as the content's, 8 or 16.",
)
colour_option = click.option(
    "--colour",
    type=click.Choice(GAMUTS),
    default="srgb",
    show_default=True,
    help="Colour space of results; source: the content's own (Display P3, Adobe RGB, ...), colours outside sRGB kept.",
)
device_option = click.option("--device", type=click.Choice(DEVICES), default="auto", show_default=True)
precision_option = click.option(
    "--precision",
    type=click.Choice(["auto", "fp32", "bf16"]),
    default="auto",
    show_default=True,
    help="fp32: exact; bf16: fastest; auto: bf16 where it hardly shows (docs/performance.md).",
)
