"""`pcakd fit-eigenbases`."""

from typing import Any

import click

from pcakd.cli.extra import need_pipeline
from pcakd.cli.options import field_option, field_options
from pcakd.eigenbases.options import Extraction, Widths
from pcakd.errors import EXIT_PARTIAL, UsageError
from tasks.eigenbases.config import FitConfig


class WidthList(click.ParamType):
    """Four whole numbers with commas."""

    name = "A,B,C,D"

    def convert(self, value, param, ctx):
        if isinstance(value, tuple):
            return value
        try:
            return tuple(int(part) for part in value.split(","))
        except ValueError:
            self.fail(f"{value!r} is not four whole numbers with commas, such as 10,20,58,64", param, ctx)


@click.command("fit-eigenbases")
@click.argument("shards")
@field_option(FitConfig, "teacher", metavar="T")
@click.option("--out", required=True, help="Folder or s3:// prefix for the results.")
@field_option(Widths, "channels", type=WidthList(), multiple=False, metavar=None)
@field_option(Widths, "variance")
@field_options(FitConfig, "split", "limit")
@field_options(Extraction, "crop", "batch")
@field_options(FitConfig, "workers", "threads")
def fit_eigenbases(
    out: str, channels: tuple[int, ...] | None, variance: float | None, crop: int, batch: int | None, **options: Any
) -> int:
    """Fit the global eigenbases of a teacher's features, exactly, in one pass over sharded photos.

    Writes eigenbases.safetensors (eigenbases.0 ... eigenbases.3, each C×k), spectrum.csv and spectrum.png, and
    moments.safetensors, from which other widths follow at once: run it again with another --channels or --variance.

    Teachers: vgg19, vgg19-caffe, vgg19-normalised, mobilenet-v1, mobilenet-v2, or a student checkpoint. Their
    weights are looked for in the folder PCAKD_TEACHERS (safetensors files, known by their content); vgg19 and
    mobilenet-v2 are downloaded by torchvision otherwise.

    Runs on the Ray cluster at RAY_ADDRESS, or on one started here.

    \b
    Examples:
      pcakd fit-eigenbases shards/ --teacher vgg19-normalised --out bases/
      pcakd fit-eigenbases shards/ --teacher vgg19-normalised --out bases/ --variance 0.85
      pcakd fit-eigenbases s3://bucket/shards --teacher mobilenet-v1 --channels 10,19,37,54 --out s3://bucket/bases
    """
    need_pipeline("pcakd fit-eigenbases")
    if channels is not None and variance is not None:
        raise UsageError("--channels and --variance exclude each other: give one")
    widths = None if channels is None and variance is None else Widths(channels=channels, variance=variance)
    config = FitConfig(widths=widths, extraction=Extraction(crop=crop, batch=batch), **options)

    from pcakd.cli.progress import progress
    from pcakd.storage import open_storage
    from tasks.eigenbases.job import EIGENBASES_FILE
    from tasks.eigenbases.job import fit_eigenbases as fit

    output = open_storage(out)
    result = fit(config, output, progress=progress)

    manifest = result.manifest
    for warning in manifest["warnings"]:
        click.echo(f"pcakd: warning: {warning}", err=True)
    click.echo("level  kept  of   explained")
    rows = zip(manifest["channels"], manifest["teacher_channels"], manifest["explained"], strict=True)
    for level, (k, c, share) in enumerate(rows):
        click.echo(f"{level:5}  {k:4}  {c:3}  {share:8.1%}")
    left_out = "".join(f", {count} left out ({reason})" for reason, count in manifest["left_out"].items())
    speed = {
        "all": "fitted before",
        "moments": "from saved moments",
        "nothing": f"{result.photos_per_second or 0:.1f}/s",
    }
    click.echo(f"{manifest['photos']:,} photos ({speed[result.reused]}){left_out}")
    click.echo(output.uri(EIGENBASES_FILE))
    return EXIT_PARTIAL if manifest["left_out"].get("unreadable") else 0
