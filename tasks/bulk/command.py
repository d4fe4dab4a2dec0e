"""`pcakd stylize-bucket`."""

from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from pcakd.bulk.estimate import Prices, SizeSample
from pcakd.bulk.job import BucketJob, RunOptions, load_job
from pcakd.bulk.properties import ResultProperties
from pcakd.cli.extra import need_pipeline
from pcakd.cli.options import field_option, field_options, request_payer_option
from pcakd.errors import EXIT_OK, EXIT_PARTIAL
from pcakd.photos.options import WriteOptions
from pcakd.stylize.options import StylizeOptions
from pcakd.units import counted, shown_bytes
from pcakd.video.options import VideoOptions

EXAMPLES = """\b
Examples:
  pcakd stylize-bucket photos/ out/ --style evening.jpg
  pcakd stylize-bucket s3://in/album s3://out/album --style evening.jpg --style rain.jpg
      every photo in both styles: a.evening.jpg, a.rain.jpg
  pcakd stylize-bucket in/ out/ --style a.jpg --style b.jpg --combine mix --weight 3 --weight 1
      one style, pooled from two photos
  pcakd stylize-bucket s3://in s3://out --style evening.jpg --include '*.jpg' --dry-run
      list and plan, write nothing
  pcakd stylize-bucket --job job.toml --limit 100
      a job file; options given beside it win

\b
Job file (fields as the options, with _ for -; places count from the file's folder):
  source = "s3://in/album"
  dest = "s3://out/album"
  styles = ["evening.jpg", "rain=weather/04.jpg"]
  model = "models:/pcakd-vgg@champion"
  [run]
  workers = 4
  max_failed = "5%"

\b
Manifest (CSV or Parquet; only key is needed, empty is the job's own):
  key,style,transform,strength,smoothing
  a.jpg,evening,ot,0.7,none

\b
S3: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION as usual; PCAKD_S3_ENDPOINT_URL
for a server that is not AWS. Ray: RAY_ADDRESS attaches to a cluster, otherwise one is
started on this machine for the run.

\b
Interrupted? The same command goes on where it stopped. Finished? It lists SRC, does what is
new or changed since, and tries again what failed for a reason that may pass. Everything
known is under DEST/_pcakd/<job id>/; the last line says where the report is.

\b
Exit codes: 0 done, 2 usage, 3 some photos failed (the report says which and why),
4 gave up, a budget is spent or SIGTERM: the same command goes on, 5 fatal."""


@click.command("stylize-bucket", epilog=EXAMPLES, short_help="Stylize a folder or bucket of photos, resumably.")
@click.argument("source", metavar="SRC", required=False)
@click.argument("dest", metavar="DEST", required=False)
@click.option(
    "--job", "job_file", metavar="FILE", type=click.Path(path_type=Path), help="Job file (TOML) with what follows."
)
@field_option(BucketJob, "styles", "--style", metavar="[NAME=]PLACE", required=False)
@field_options(BucketJob, "combine", "look")
@field_options(BucketJob, "videos", *VideoOptions.__dataclass_fields__)
@field_option(BucketJob, "weights", "--weight", metavar="W")
@field_option(BucketJob, "manifest", metavar="PLACE")
@field_option(BucketJob, "inventory", metavar="PLACE")
@field_option(BucketJob, "include", metavar="GLOB")
@field_option(BucketJob, "exclude", metavar="GLOB")
@field_options(BucketJob, "limit", "overwrite", "restyle", "shared_dest")
@field_options(BucketJob, "model", *StylizeOptions.__dataclass_fields__, "precision")
@field_option(BucketJob, "template", metavar="T")
@field_options(BucketJob, "format", *WriteOptions.__dataclass_fields__, "max_side")
@field_options(ResultProperties, "keep_properties")
@field_option(ResultProperties, "storage_class", metavar="CLASS")
@field_option(ResultProperties, "sse", metavar="AES256|aws:kms[:KEY]")
@field_option(ResultProperties, "tags", "--tag", metavar="NAME=VALUE")
@field_options(RunOptions, "workers", "device", "memory_limit", "max_failed")
@field_options(RunOptions, "max_minutes", "max_gb_out")
@field_option(RunOptions, "max_rate", metavar="N/s|SIZE/s")
@field_option(RunOptions, "window", metavar="HH:MM-HH:MM")
@field_option(RunOptions, "to_webdataset", metavar="PLACE")
@field_option(RunOptions, "to_parquet", metavar="PLACE")
@field_option(RunOptions, "notify", metavar="URL")
@request_payer_option
@click.option("--dry-run", is_flag=True, help="List, plan and check for collisions; write nothing.")
@click.option("--estimate", is_flag=True, help="With --dry-run: measure 20 objects, and tell time, GB and cost.")
@click.option(
    "--price", multiple=True, metavar="NAME=X", help="Of the estimate: core_hour, gets, puts, lists, gb_month."
)
@click.pass_context
def stylize_bucket(
    ctx: click.Context, job_file: Path | None, dry_run: bool, estimate: bool, price: tuple[str, ...], **values: Any
) -> int:
    """Give every photo under SRC the style of other photos, under DEST.

    SRC and DEST are folders or s3://bucket/prefix. Every photo of SRC gets exactly one row in the report, every
    good one exactly one result, however often the command was interrupted and run again.
    """
    need_pipeline("pcakd stylize-bucket")
    job, options = read_job(ctx, job_file, values)
    if (estimate and not dry_run) or (price and not estimate):
        raise click.UsageError("--estimate goes with --dry-run, and --price with --estimate.", ctx)
    if dry_run:
        return _dry_run(job, options, Prices.parse(price) if estimate else None)
    return _run(job, options)


def read_job(ctx: click.Context, job_file: Path | None, values: dict[str, Any]) -> tuple[BucketJob, RunOptions]:
    """The job of a command line. Raises UsageError."""
    given = {
        name: value
        for name, value in values.items()
        if value is not None and ctx.get_parameter_source(name) is not ParameterSource.DEFAULT
    }
    if job_file is not None:
        return load_job(job_file, **given)
    for name, word in (("source", "SRC"), ("dest", "DEST")):
        if not values[name]:
            raise click.UsageError(f"Missing argument {word!r}; give it, or --job FILE.", ctx)
    if not values["styles"]:
        raise click.UsageError("Missing option '--style'; give at least one style photo.", ctx)
    run = {name: given.pop(name) for name in RunOptions.__dataclass_fields__ if name in given}
    return BucketJob(**given), RunOptions(**run)


def _dry_run(job: BucketJob, options: RunOptions, prices: Prices | None) -> int:
    from pcakd.bulk.followed import follow
    from pcakd.bulk.plan import dry_run
    from pcakd.storage import open_places, shown

    _, dest = open_places(job.source, job.dest, listed=job.inventory is None)
    resolved, _ = follow(job, dest, tell=_told)
    sample = SizeSample()
    plan = dry_run(resolved, pending=sample.add if prices else lambda item: None)
    click.echo("\n".join(plan.tally.lines()))
    click.echo(
        f"{counted(plan.items, 'result')} by {plan.model}, in style {', '.join(job.style_specs())}; job {plan.job_id}"
    )
    if plan.inventory:
        click.echo(f"as the inventory of {plan.inventory:%Y-%m-%d %H:%M} UTC lists them")
    for key, _, output in plan.sample:
        click.echo(f"  {shown(key)}  →  {shown(output)}")
    if (more := plan.items - plan.left_out - len(plan.sample)) > 0:
        click.echo(f"  ... and {more:,} more")
    if plan.left_out:
        click.echo(f"{plan.left_out:,} of them no photos, by their names: left out")
    if plan.finished:
        click.echo(f"{plan.finished:,} of them an earlier run has finished")
    if prices and sample.count:
        from tasks.bulk import BulkProgress
        from tasks.bulk.estimate import measure

        with BulkProgress(show=True) as progress:
            found = measure(resolved, options, sample, prices, progress=progress)
        click.echo("\n".join(filter(None, found.lines())))
    return EXIT_OK


def _told(words: str) -> None:
    click.echo(f"pcakd: {words}", err=True)


def _run(job: BucketJob, options: RunOptions) -> int:
    from pcakd.bulk.report import Report
    from pcakd.photos.outcomes import BULK_STATUSES, OK
    from pcakd.storage import shown
    from tasks.bulk import BulkProgress, stylize_bucket
    from tasks.lease import waiting_for

    written: list[Report] = []
    try:
        with BulkProgress(show=True) as progress:
            report = stylize_bucket(
                job,
                options,
                progress=progress,
                waiting=lambda who: click.echo(waiting_for(who, "this job"), err=True),
                reported=written.append,
                moved=_told,
                untold=_told,
            )
    except BaseException:
        for one in written:
            click.echo(f"report: {shown(one.page)}", err=True)
        raise
    totals = report.totals
    for status, count in sorted(totals.status.items(), key=lambda pair: (pair[0] != OK, -pair[1])):
        click.echo(f"  {status:<14} {count:>12,}  {BULK_STATUSES.get(status, '')}")
    click.echo(
        f"  {'all':<14} {totals.items:>12,}  {shown_bytes(totals.bytes_in)} in, {shown_bytes(totals.bytes_out)} out"
    )
    if report.reused:
        click.echo("finished before; nothing to do")
    elif report.processed:
        rate = report.processed / report.seconds
        first = written[-1].numbers["run"]["first_s"]
        done = f"{counted(report.processed, 'result')} in {report.seconds:,.1f} s"
        click.echo(f"{done}, the first after {first:,.1f} s; {rate:,.2f}/s" if first is not None else done)
    if totals.passing:
        click.echo(f"{totals.passing:,} failed for a reason that may pass: the same command tries them again")
    for packed in report.packed:
        there = ", there already" if packed.reused else ""
        click.echo(f"shards: {packed.place}: {counted(packed.shards, 'shard')}, {packed.rows:,} results{there}")
    click.echo(f"report: {report.page}")
    return EXIT_PARTIAL if report.failed else EXIT_OK
