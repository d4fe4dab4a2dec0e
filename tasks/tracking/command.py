"""`pcakd send-tracking`."""

import click

from pcakd.cli.extra import need_pipeline

EXAMPLES = """\b
Examples:
  pcakd send-tracking
  MLFLOW_TRACKING_URI=http://127.0.0.1:5000 PCAKD_HOME=/data/pcakd pcakd send-tracking"""


@click.command("send-tracking", epilog=EXAMPLES)
def send_tracking() -> int:
    """Send to MLflow what runs kept on this machine's disk while it did not answer.

    The next run on this machine does the same by itself. A run whose process died ends as KILLED. With
    MLFLOW_TRACKING_URI set all go there, else each to the address that its run had.
    """
    need_pipeline("pcakd send-tracking")
    from pcakd.errors import TransientError
    from pcakd.units import counted
    from tasks.settings import Settings, quiet_environment, shown_uri
    from tasks.tracking import send_leftovers

    quiet_environment()
    settings = Settings.read()
    done = send_leftovers(settings)
    if done.sent or not done.kept:
        click.echo(f"{counted(done.sent, 'run')} sent" if done.sent else "nothing was waiting")
    if done.kept:
        uri, (count, said) = next(iter(done.kept.items()))
        more = sum(number for number, _ in done.kept.values()) - count
        raise TransientError(
            f"{counted(count, 'run')} still waiting: MLflow at {shown_uri(uri)} does not answer ({said})"
            + (f", nor do others that {more} more wait for" if more else "")
            + f"; kept in {settings.journals}, set MLFLOW_TRACKING_URI to send them elsewhere"
        )
    return 0
