"""`pcakd fit-eigenbases`."""

import click

from pcakd.cli.extra import need_pipeline
from pcakd.errors import EXIT_PARTIAL, UsageError


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
@click.option("--teacher", required=True, help="Name (see below) or file of the teacher; NAME=FILE also works.")
@click.option("--out", required=True, help="Folder or s3:// prefix for the results.")
@click.option(
    "--channels", type=WidthList(), help="Eigenvectors to keep at levels 0..3.  [default: the paper's widths]"
)
@click.option(
    "--variance",
    type=float,
    help="Instead: as many as a PCA of one photo needs on average for this share, such as 0.85.",
)
@click.option(
    "--split", type=click.Choice(["train", "val", "all"]), default="train", show_default=True, help="Which photos."
)
@click.option("--limit", type=click.IntRange(1), help="Use only the first so many photos.")
@click.option(
    "--crop",
    type=int,
    default=256,
    show_default=True,
    help="Side in pixels of the square cut from each photo; 0: whole photos.",
)
@click.option("--batch", type=int, help="Photos in one forward pass.  [default: 1 on a CPU, 16 on a GPU]")
@click.option("--targets", is_flag=True, help="Also write each photo's PCA targets (Parquet) for distillation.")
@click.option(
    "--workers", type=click.IntRange(1), help="Ray actors.  [default: one a GPU, else one for each --threads CPUs]"
)
@click.option("--threads", type=click.IntRange(1), default=1, show_default=True, help="CPU threads of each worker.")
def fit_eigenbases(
    shards: str,
    teacher: str,
    out: str,
    channels: tuple[int, ...] | None,
    variance: float | None,
    split: str,
    limit: int | None,
    crop: int,
    batch: int | None,
    targets: bool,
    workers: int | None,
    threads: int,
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
    from pcakd.cli.progress import progress
    from pcakd.eigenbases.extraction import Extraction
    from pcakd.eigenbases.pca import Widths
    from pcakd.storage import open_storage
    from tasks.eigenbases.job import EIGENBASES_FILE, FitConfig
    from tasks.eigenbases.job import fit_eigenbases as fit

    widths = None if channels is None and variance is None else Widths(channels=channels, variance=variance)
    config = FitConfig(
        shards=shards,
        teacher=teacher,
        widths=widths,
        split=split,  # type: ignore[arg-type]
        limit=limit,
        extraction=Extraction(crop=crop, batch=batch),
        targets=targets,
        workers=workers,
        threads=threads,
    )
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
