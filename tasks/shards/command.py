"""`pcakd shard`."""

from typing import Any

import click

from pcakd.cli.extra import need_pipeline
from pcakd.cli.options import field_option, field_options, request_payer_option
from pcakd.errors import EXIT_OK, EXIT_PARTIAL
from pcakd.photos.outcomes import OK, SHARD_STATUSES
from pcakd.shards.config import ShardConfig
from pcakd.units import shown_bytes

EXAMPLES = """\b
Examples:
  pcakd shard photos/ shards/
  pcakd shard s3://photos s3://shards/photos-512 --shard-size 256
  pcakd shard photos/ shards/ --retry-failed      take what failed and may pass
  pcakd shard s3://photos shards/ --dry-run       list and count, write nothing

\b
S3: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION as usual; PCAKD_S3_ENDPOINT_URL
for a server that is not AWS. Ray: RAY_ADDRESS attaches to a cluster, otherwise one is
started on this machine for the run.

The same command again takes in what is new or changed in SRC and drops what has gone;
finished shards stay as they are, and so do older generations.

\b
Interrupted? The same command goes on where it stopped, and the result is the same
to the byte. DEST then holds train/ and val/ with the shards, objects.parquet with one
row for every object of SRC, stats.json, overview.png and, last, manifest.json."""


@click.command(epilog=EXAMPLES, short_help="Turn a folder or bucket of photos into Parquet shards.")
@click.argument("source", metavar="SRC")
@click.argument("dest", metavar="DEST")
@field_option(ShardConfig, "shortest_side")
@field_option(ShardConfig, "shard_mb", "--shard-size", metavar="MB")
@field_options(ShardConfig, "limit", "val_fraction")
@click.option(
    "--retry-failed",
    is_flag=True,
    help="Take again what was archived, or failed for a reason that may pass: missing, denied, unreachable, crashed, "
    "no-memory.",
)
@request_payer_option
@click.option("--dry-run", is_flag=True, help="List and count SRC, write nothing.")
def shard(source: str, dest: str, retry_failed: bool, dry_run: bool, **options: Any) -> int:
    """Turn SRC, a folder or s3://bucket/prefix of photos, into Parquet shards under DEST.

    Photos are decoded whole, turned upright, shrunk and written as JPEG. Every object of SRC gets a
    status: ok, or the reason why it was left out. Same pictures count once.
    """
    need_pipeline("pcakd shard")
    config = ShardConfig(source=source, dest=dest, **options)
    if dry_run:
        return _dry_run(config)
    from pcakd.cli.progress import progress
    from tasks.shards import shard_dataset

    report = shard_dataset(config, retry_failed=retry_failed, progress=progress)
    _summary(report, dest, retry_failed)
    return EXIT_PARTIAL if report.failed else EXIT_OK


def _dry_run(config) -> int:
    from tasks.shards import dry_run

    click.echo("\n".join(dry_run(config).lines()))
    return EXIT_OK


def _summary(report, dest: str, retried: bool) -> None:
    counts = report.counts
    for status, meaning in SHARD_STATUSES.items():
        if count := counts["status"].get(status):
            click.echo(f"  {status:<14} {count:>12,}  {meaning}")
    click.echo(f"  {'seen':<14} {counts['objects']:>12,}  {shown_bytes(counts['source_bytes'])}")
    shards = {name: split["shards"] for name, split in report.manifest["splits"].items()}
    splits = ", ".join(
        f"{counts['split'].get(name, 0):,} {name} in {len(files)} shards" for name, files in shards.items()
    )
    click.echo(f"{counts['status'].get(OK, 0):,} photos ({splits}), {shown_bytes(counts['photo_bytes'])}: {dest}")
    if report.processed:
        rate = report.processed / report.seconds
        click.echo(f"{report.processed:,} objects in {report.seconds:.1f} s, {rate:,.1f} photos/s")
    else:
        click.echo("nothing new; nothing to do")
    if retried:
        click.echo(f"retried: {report.recovered:,} photos recovered")
    elif report.may_pass:
        click.echo(f"{report.may_pass:,} failed for a reason that may pass: `pcakd shard` again with --retry-failed")
