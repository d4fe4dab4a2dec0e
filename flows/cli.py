"""The `pcakd` command, which `python -m pcakd` runs too: the method's commands and the stages'."""

import sys

from pcakd.cli.main import COMMANDS, make_group, run

# Command name → (where it lives, its line in `pcakd --help`). A stage's command lives beside its job.
PIPELINE_COMMANDS: dict[str, tuple[str, str]] = {
    "shard": ("tasks.shards.command:shard", "Turn a folder or bucket of photos into Parquet shards."),
    "fit-eigenbases": ("tasks.eigenbases.command:fit_eigenbases", "Fit a teacher's eigenbases over sharded photos."),
    "distill": ("tasks.distillation.command:distill", "Distil a student from a teacher and its eigenbases."),
    "stylize-bucket": ("tasks.bulk.command:stylize_bucket", "Stylize a folder or bucket of photos, resumably."),
    "registry": ("tasks.registry.command:registry", "Registered students: who is champion; promote, roll back, pin."),
    "workspace": ("tasks.workspace.command:workspace", "What the workspace holds and who needs it; prune the rest."),
    "send-tracking": ("tasks.tracking.command:send_tracking", "Send to MLflow what runs kept while it was away."),
}


def main() -> None:
    """Entry point of the `pcakd` console script."""
    sys.exit(run(make_group(COMMANDS | PIPELINE_COMMANDS)))


if __name__ == "__main__":
    main()
