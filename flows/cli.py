"""The whole `pcakd` command: what the method can do, plus the stages on Ray and the flows."""

import sys

from pcakd.cli.main import COMMANDS, make_group, run

# Command name → (where it lives, its line in `pcakd --help`). Stages live in tasks/cli/, flows in flows/.
PIPELINE_COMMANDS: dict[str, tuple[str, str]] = {
    "shard": ("tasks.cli.shard:shard", "Turn a folder or bucket of photos into Parquet shards."),
    "fit-eigenbases": ("tasks.cli.fit_eigenbases:fit_eigenbases", "Fit a teacher's eigenbases over sharded photos."),
    "distill": ("tasks.cli.distill:distill", "Distil a student from a teacher and its eigenbases."),
    "stylize-bucket": ("tasks.cli.stylize_bucket:stylize_bucket", "Stylize a folder or bucket of photos, resumably."),
    "send-tracking": ("tasks.cli.send_tracking:send_tracking", "Send to MLflow what runs kept while it was away."),
}


def main() -> None:
    """Entry point of the `pcakd` console script."""
    sys.exit(run(make_group(COMMANDS | PIPELINE_COMMANDS)))


if __name__ == "__main__":
    main()
